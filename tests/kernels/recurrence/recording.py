"""A launcher on NumPy arrays whose launches can be recorded and replayed, as a CUDA graph would.

The kernels are the .cu files, compiled for the CPU. While it records, a launch or a product is put
on a tape and not done; what a sequence would do besides launching is therefore not on the tape, and
a replay without it gives wrong values, as on a GPU.
"""

from __future__ import annotations

import functools
import importlib
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from nnseq_kernels.graphs import Graphs
from nnseq_kernels.launcher import Launcher
from nnseq_kernels.spec import Entry, KernelSpec

from tests.gpu_ladder.sweep import NanFilled, compiled

Run = Callable[[], None]


class Recorder:
    """Makes the launcher, and counts what it launches, multiplies, records and replays.

    Args:
        limit: of the recorded sequences; None: nothing is recorded.
        order: in which threads run.
    """

    def __init__(self, limit: int | None = 4, order: str = "forward") -> None:
        self.counts: Counter[str] = Counter()
        self.order = order
        self.tape: list[Run] | None = None
        record = None if limit is None else self.record
        graphs = Graphs(4 if limit is None else limit)
        self.launcher = Launcher(NanFilled(), self.load, self.multiply, record, graphs)

    def implementation(self, op: str) -> Any:
        """The op's forward and backward on this launcher."""
        host = importlib.import_module(f"nnseq_kernels.{op}.cupy_raw")
        return SimpleNamespace(
            forward=functools.partial(host.forward_on, self.launcher),
            backward=functools.partial(host.backward_on, self.launcher),
        )

    def load(self, spec: KernelSpec, entry: Entry) -> Callable[..., None]:
        names = tuple(entry.name for entry in spec.entries)
        kernel = compiled(spec.sources, spec.options, names, "fast").get_function(entry.name)

        def launch(grid: Any, block: Any, arguments: Any, *, shared_mem: int) -> None:
            run = functools.partial(
                kernel, grid, block, arguments, shared_mem=shared_mem, order=self.order
            )
            self.do(entry.name.partition("<")[0], run)

        return launch

    def multiply(self, x: Any, W: Any, out: Any) -> None:
        self.do("product", lambda: np.matmul(x, W, out=out))

    def do(self, name: str, work: Run) -> None:
        """Does the work, or puts it on the tape."""
        if self.tape is None:
            self.counts[name] += 1
            work()
        else:
            self.tape.append(work)

    def record(self, run: Run) -> Run:
        self.counts["recorded"] += 1
        self.tape = []
        run()
        tape, self.tape = self.tape, None

        def replay() -> None:
            self.counts["replayed"] += 1
            for work in tape:
                work()

        return replay
