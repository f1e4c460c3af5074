"""Recording the launches of a sequence as a CUDA graph, on CuPy.

NNSEQ_CUDA_GRAPHS in the environment is how many graphs each stream and thread keeps. 0 launches
every step one by one instead, and multiplies with CuPy's own matmul: for sequences of ever new
sizes, and to see whether a failure is the graph's.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections import OrderedDict
from typing import Any

from nnseq_kernels.graphs import LIMIT, VARIABLE, Graphs, Run
from nnseq_kernels.launcher import Launcher, cuda_launcher
from nnseq_kernels.recurrence.cublas import Cublas

STREAMS = 8  # of one thread, that keep their graphs and their cuBLAS


def graph_launcher() -> Launcher:
    """Returns the launcher for the current device, stream and thread, with its recorded graphs.

    A graph's arrays, and cuBLAS's workspace, must not be used by two streams at a time: therefore
    each stream and thread has its own. They are freed when the thread ends.

    Raises:
        ImportError: CuPy is not installed.
        ValueError: NNSEQ_CUDA_GRAPHS is no whole number from 0 on.
        RuntimeError: cuBLAS cannot be called.
    """
    wanted = os.environ.get(VARIABLE, str(LIMIT))
    if not (wanted.isascii() and wanted.isdigit()):
        raise ValueError(
            f"{VARIABLE} is {wanted!r}, expected the number of graphs to keep ({LIMIT} if it is "
            "not set), or 0 to record none"
        )
    plain = cuda_launcher()
    if int(wanted) == 0:
        return plain
    cuda = plain.xp.cuda
    if not hasattr(_thread, "kept"):
        _thread.kept = Kept()
    kept: Kept = _thread.kept
    launcher = kept.launcher(plain, cuda.runtime.getDevice(), cuda.get_current_stream().ptr)
    launcher.graphs.limit = int(wanted)
    return launcher


class Kept:
    """The launchers of one thread, of the devices and streams used last, at most STREAMS.

    A launcher's graphs refer to it. So they are cleared when it is dropped: then its memory and
    its cuBLAS handle go at once, and not in some later garbage collection, which might come while
    a stream captures.
    """

    def __init__(self) -> None:
        self._launchers: OrderedDict[tuple[int, int], Launcher] = OrderedDict()
        weakref.finalize(self, _clear, self._launchers).atexit = False

    def launcher(self, plain: Launcher, device: int, stream: int) -> Launcher:
        """Returns the launcher of this device and stream, made of the plain one if it is new."""
        key = device, stream
        if key not in self._launchers:
            while len(self._launchers) >= STREAMS:
                _, dropped = self._launchers.popitem(last=False)
                dropped.graphs.clear()
                warnings.warn(
                    f"a thread ran recurrences on more than {STREAMS} streams: the CUDA graphs of "
                    f"the one used longest ago are dropped, to be recorded anew, which is slow. "
                    f"Use fewer streams in a thread, or set {VARIABLE}=0",
                    RuntimeWarning,
                    stacklevel=2,
                )
            multiply = Cublas(plain.xp).multiply
            self._launchers[key] = Launcher(plain.xp, plain.load, multiply, record, Graphs())
        self._launchers.move_to_end(key)
        return self._launchers[key]


_thread = threading.local()  # .kept: Kept


def _clear(launchers: OrderedDict[tuple[int, int], Launcher]) -> None:
    for launcher in launchers.values():
        launcher.graphs.clear()
    launchers.clear()


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
