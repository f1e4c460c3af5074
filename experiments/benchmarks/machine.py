"""The machine: what it is, and how fast it copies and multiplies, measured in the same run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from nnseq import machine
from nnseq.backend import device_module

PEERS = ("torch", "jax", "jaxlib")
COPIED_BYTES = 128 << 20  # far above any cache
GEMM_SIZE = {"cpu": 2048, "cuda": 8192}


class Limits(NamedTuple):
    """Rates, the best of several tries each.

    Attributes:
        copy_warm: bytes per second, read plus written, into memory that was touched before.
        copy_fresh: the same into memory that the system hands over zeroed at first touch.
        sgemm: float32 operations per second with the run's threads; sgemm_1: with one thread.
    """

    copy_warm: float
    copy_fresh: float
    sgemm: float
    sgemm_1: float


def measure(device: str, threads: int, is_quick: bool) -> Limits:
    """Measure the limits of "cpu" or "cuda"."""
    size, n = COPIED_BYTES, GEMM_SIZE[device]
    if is_quick:
        size, n = size // 16, n // 4
    if device == "cuda":
        return _cuda(size, n)
    sgemm = _sgemm(n, best)
    with ThreadpoolController().limit(limits=1):
        sgemm_1 = _sgemm(n, best)
    return Limits(_copy(size, threads, False), _copy(size, threads, True), sgemm, sgemm_1)


def best(work: Callable[[], Any], tries: int = 7) -> float:
    """The least seconds of several tries, after one more that warms up."""
    work()
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _copy(size: int, threads: int, is_fresh: bool) -> float:
    """NumPy's copy, one slice per thread: it releases the interpreter's lock."""
    x, y = np.ones(size, np.uint8), np.ones(size, np.uint8)
    cuts = [size * k // threads for k in range(1, threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            z = np.empty_like(y) if is_fresh else y
            list(pool.map(np.copyto, np.split(z, cuts), np.split(x, cuts)))

        return 2 * size / best(copy)


def _sgemm(n: int, timer: Callable[[Callable[[], Any]], float], xp: Any = np) -> float:
    x = xp.ones((n, n), np.float32)
    y, z = xp.ones_like(x), xp.empty_like(x)
    return 2 * n**3 / timer(lambda: xp.matmul(x, y, out=z))


def _cuda(size: int, n: int) -> Limits:
    xp = device_module("cuda")

    def timer(work: Callable[[], Any]) -> float:
        def synchronised() -> None:
            work()
            xp.cuda.get_current_stream().synchronize()

        return best(synchronised)

    x, y = xp.ones(4 * size, np.uint8), xp.empty(4 * size, np.uint8)
    copy = 8 * size / timer(lambda: xp.copyto(y, x))
    sgemm = _sgemm(n, timer, xp)
    return Limits(copy, copy, sgemm, sgemm)  # a pool hands out memory, and there are no threads


def describe(device: str, threads: int, limits: Limits, pinning: dict[str, str]) -> dict[str, Any]:
    """What "machine" holds in the JSON file."""
    return {
        "device": device,
        "name": _gpu() if device == "cuda" else processor(),
        "cpus": machine.usable_cpus(),
        "threads": threads,
        "threads_set_by": pinning,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "limits": limits._asdict(),
    }


def versions() -> dict[str, str]:
    """Of Python, of what nnseq stands on, and of the peers that are installed."""
    found = machine.versions()
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # not measured against, then
    return found


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str:
    properties = device_module("cuda").cuda.runtime.getDeviceProperties(0)
    return str(properties["name"].decode())
