"""Timing of ours and a peer in turn, after their results were found equal."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import elsewhere
from benchmarks.case import Results, Step
from benchmarks.worker import WARM_UP, Worker
from nnseq.backend import device_module

SETTLE_S = 0.05  # between two samples: threads that still spin for more work go to sleep


class Samples(NamedTuple):
    """Seconds of each sample, ours and the peer's, and the CPUs that other work used meanwhile."""

    ours: list[float]
    peer: list[float]
    cpus_elsewhere: float | None


class WrongResultError(AssertionError):
    """Ours and the peer disagree: their times mean nothing."""


def check_equal(who: str, ours: Results, peer: Results, tolerance: float) -> None:
    """Compare every result.

    Args:
        tolerance: of the norm of the difference, relative to the norm of the peer's array. Not of
            the largest entry: among millions of units a few stand so near the kink of relu that
            float32 rounding decides whether they pass a gradient on.

    Raises:
        WrongResultError: names the first that differs, or the names that only one side has.
    """
    if ours.keys() != peer.keys():
        raise WrongResultError(f"{who}: ours has {sorted(ours)}, the peer {sorted(peer)}")
    for name, x in ours.items():
        mine, theirs = (to_numpy(y).astype(np.float64) for y in (x, peer[name]))
        if mine.shape != theirs.shape:
            raise WrongResultError(f"{who}: {name} is {mine.shape}, the peer's {theirs.shape}")
        norm, wrong = (float(np.linalg.norm(y)) for y in (theirs, mine - theirs))
        if not wrong <= tolerance * norm:
            raise WrongResultError(
                f"{who}: {name} differs by {wrong:.3g} where the peer's norm is {norm:.3g}, "
                f"expected at most {tolerance:g} of that; no time is taken of a wrong result"
            )


def check_steps(who: str, ours: Step, peer: Step, tolerance: float, steps: int) -> None:
    """Compare the first steps of both, which also warms both up.

    Raises:
        WrongResultError: as check_equal.
    """
    for k in range(steps):
        check_equal(f"{who}, step {k + 1}", ours(), peer(), tolerance)


def alternate_processes(
    case: str, shape: Sequence[int], peer: str, threads: int, samples: int, kept: str
) -> Samples:
    """Time ours, the peer, ours, the peer, ... on the CPU, each in a process of its own."""
    task = {"case": case, "shape": shape, "device": "cpu", "threads": threads, "kept": kept}
    seconds: tuple[list[float], list[float]] = ([], [])
    with Worker(who="ours", **task) as ours, Worker(who=peer, **task) as theirs:
        own = [os.getpid(), ours.process.pid, theirs.process.pid]
        start = elsewhere.read(own)
        for _ in range(samples):
            for side, worker in enumerate((ours, theirs)):
                time.sleep(SETTLE_S)
                seconds[side].append(worker.seconds())
        return Samples(*seconds, elsewhere.cpus_between(start, elsewhere.read(own)))


def alternate_cuda(ours: Sequence[Step], peer: Sequence[Step], samples: int) -> Samples:
    """Time ours, the peer, ours, the peer, ... on the GPU, after WARM_UP steps on every input.

    Args:
        ours, peer: one step for each set of inputs; taken in turn.
        samples: of each.
    """
    turns: list[Iterator[Step]] = [itertools.cycle(ours), itertools.cycle(peer)]
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn, steps in zip(turns, (ours, peer), strict=True):
        for _ in range(WARM_UP * len(steps)):
            _cuda_seconds(next(turn))
    own = [os.getpid()]
    start = elsewhere.read(own)
    for _ in range(samples):
        for who, turn in enumerate(turns):
            gc.collect()
            seconds[who].append(_cuda_seconds(next(turn)))
    return Samples(*seconds, elsewhere.cpus_between(start, elsewhere.read(own)))


def _cuda_seconds(step: Step) -> float:
    """Between two events on the default stream, which CuPy and PyTorch both use."""
    cuda = device_module("cuda").cuda
    start, end = cuda.Event(), cuda.Event()
    cuda.runtime.deviceSynchronize()
    start.record()
    results = step()
    end.record()
    end.synchronize()
    del results
    return float(cuda.get_elapsed_time(start, end)) / 1000


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """An array of NumPy, CuPy, PyTorch or JAX, or a number, as NumPy's."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
    elif type(x).__module__.partition(".")[0] == "cupy":
        x = x.get()
    return np.asarray(x)
