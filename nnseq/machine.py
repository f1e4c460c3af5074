"""What a run stands on: device, CPU threads, the versions of everything below it, its command."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from nnseq.backend import DeviceError, device_module

PACKAGES = ("nnseq", "numpy", "scipy", "numba", "h5py", "threadpoolctl", "matplotlib", "numba-cuda")
CUPY_WHEELS = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
DRIVER = "libcuda.so.1"
CHECKOUT = Path(__file__).resolve().parents[1]


def usable_cpus() -> int:
    """How many CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The versions of Python and of the packages a result depends on, without importing them."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *CUPY_WHEELS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an optional package, or nnseq run from a bare checkout
    return found


@cache
def commit() -> str | None:
    """The commit of the checkout that nnseq is imported from, with -dirty where files differ.

    Returns:
        What `git describe --always --dirty` said when this process first asked; None without git,
        and where nnseq is installed, even inside another checkout.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    said = []
    for argv in (["rev-parse", "--show-toplevel"], ["describe", "--always", "--dirty"]):
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", "-C", str(CHECKOUT), *argv],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        said.append(done.stdout.strip())
        if Path(said[0]) != CHECKOUT:
            return None
    return said[1]


def command() -> str:
    """The command line of this process: `python`, a script as it stands in the checkout, its flags.

    Where a program calls an experiment's main, it is that program's own.
    """
    script = Path(sys.argv[0])
    inside = script.resolve().is_relative_to(CHECKOUT)
    name = str(script.resolve().relative_to(CHECKOUT)) if inside else script.name
    return shlex.join([*["python"] * (script.suffix == ".py"), name, *sys.argv[1:]])


def choose_device(name: str) -> str:
    """Turns "auto" into "cuda" where CuPy finds a GPU and into "cpu" elsewhere.

    Raises:
        DeviceError: "cuda" was asked for and cannot be used.
    """
    if name == "auto":
        # Without a driver there is no GPU, and importing CuPy to learn that takes most of a second.
        if not has_driver():
            return "cpu"
        try:
            device_module("cuda")
        except DeviceError:
            return "cpu"
        return "cuda"
    device_module(name)
    return name


def has_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def most_threads() -> int:
    """The most CPU threads a run may ask for: what Numba was started with."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Inside the block Numba and BLAS use this many threads, 1 to most_threads()."""
    import numba
    from threadpoolctl import ThreadpoolController

    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        # One controller for the whole run: each scan of the loaded libraries takes milliseconds.
        with ThreadpoolController().limit(limits=count):
            yield
    finally:
        numba.set_num_threads(before)


def keep_freed_memory() -> None:
    """Lets this process keep the memory that it frees, for its next arrays (glibc; else nothing).

    A training step allocates the arrays that the step before it freed. glibc gives large ones back
    to the system at once, which then zeroes and maps new pages for the next step: on a virtual
    machine, eight arrays of 20 MB took 90 ms to fill anew and 20 ms when the memory was kept.
    """
    M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
