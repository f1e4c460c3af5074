"""Recording the launches of a sequence as a CUDA graph, on CuPy.

NNSEQ_CUDA_GRAPHS=0 in the environment launches every step one by one instead, and multiplies with
CuPy's own matmul: for sequences of ever new sizes, and to see whether a failure is the graph's.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from nnseq_kernels.graphs import Run
from nnseq_kernels.launcher import Launcher, cuda_launcher
from nnseq_kernels.recurrence.cublas import Cublas

VARIABLE = "NNSEQ_CUDA_GRAPHS"
LAUNCHERS = 4  # kept: one per stream and thread that uses recurrent cells


def graph_launcher() -> Launcher:
    """Returns the launcher for the current device, stream and thread, with its recorded graphs.

    A graph's arrays, and cuBLAS's workspace, must not be used by two streams at a time: therefore
    each stream and thread has its own.

    Raises:
        ImportError: CuPy is not installed.
        ValueError: NNSEQ_CUDA_GRAPHS is neither 0 nor 1.
        RuntimeError: cuBLAS cannot be called.
    """
    wanted = os.environ.get(VARIABLE, "1")
    if wanted not in ("0", "1"):
        raise ValueError(f"{VARIABLE} is {wanted!r}, expected 0 or 1 (the default)")
    launcher = cuda_launcher()
    if wanted == "0":
        return launcher
    cuda = launcher.xp.cuda
    stream = cuda.get_current_stream().ptr
    return _kept_launcher(cuda.runtime.getDevice(), stream, threading.get_ident())


@functools.lru_cache(LAUNCHERS)
def _kept_launcher(device: int, stream: int, thread: int) -> Launcher:
    plain = cuda_launcher()
    return Launcher(plain.xp, plain.load, Cublas(plain.xp).multiply, record)


def record(run: Run) -> Run:
    """Records what run() launches and multiplies; returns what launches it on the current stream.

    Raises:
        RuntimeError: it cannot be recorded; the message says how to do without.
    """
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
    try:
        with stream:
            stream.begin_capture()
            graph = _until_end(stream, run)
    except Exception as error:
        raise RuntimeError(
            f"a recurrence was not recorded as a CUDA graph ({type(error).__name__}: {error}); "
            f"set {VARIABLE}=0 to launch its steps one by one, slowly"
        ) from error
    launch: Run = graph.launch
    return launch


def _until_end(stream: Any, run: Run) -> Any:
    """Runs and ends the capture, also after an error: else the stream stays in capture mode."""
    try:
        run()
    except BaseException:
        try:
            stream.end_capture()
        except Exception as error:  # noqa: BLE001  (the capture is invalid: run's error says why)
            del error
        raise
    return stream.end_capture()
