"""Runs the CUDA sources of the registry on the CPU, through the very host code that CuPy uses.

In a process of its own for the sanitizers: `python -m tests.gpu_ladder.sweep MODE ORDER SCOPE`,
where SCOPE is "all" or "smoke" (one size with several blocks, one dtype). It prints the number of
launches of every entry as JSON. Further arguments OP=FILE.cu run these ops only, from other files.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nnseq_kernels.launcher import Launcher
from nnseq_kernels.registry import KERNELS
from nnseq_kernels.spec import Entry, KernelSpec, Sizes, joined

from .agreement import Pair, assert_agrees, reference
from .cusim import Module
from .examples import examples


class NanFilled:
    """NumPy, except that new arrays are full of NaN: what a kernel does not write shows."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty_like(self, array: Any) -> Any:
        return np.full_like(array, np.nan, order="C", subok=False)

    def empty(self, shape: Any, dtype: Any) -> Any:
        filling = np.nan if np.dtype(dtype).kind == "f" else 255
        return np.full(shape, filling, dtype)


@functools.cache
def compiled(
    sources: tuple[Path, ...], options: tuple[str, ...], names: tuple[str, ...], mode: str
) -> Module:
    """All entries of one source, compiled for the CPU once per process."""
    return Module(joined(sources), options, names, mode)


class Sweep:
    """Runs specs in one mode and order and counts the launches of each entry.

    `sources` replaces the .cu of an op, by name: the tests of the tests break kernels with it.
    """

    def __init__(self, mode: str, order: str, sources: Mapping[str, Path] | None = None) -> None:
        self.mode, self.order = mode, order
        self.sources = sources or {}
        self.launches: Counter[str] = Counter()

    def run(self, spec: KernelSpec, sizes: Sizes, dtype: str) -> None:
        """Compares all examples of one op at one size with the reference."""
        host = importlib.import_module(spec.host)
        launcher = Launcher(NanFilled(), self._load)
        ours = Pair(
            functools.partial(host.forward_on, launcher),
            functools.partial(host.backward_on, launcher),
        )
        for example in examples(spec.name, sizes, dtype):
            assert_agrees(ours, reference(spec.reference), example)

    def _load(self, spec: KernelSpec, entry: Entry) -> Any:
        self.launches[entry.name] += 1
        *shared, own = spec.sources
        sources = (*shared, self.sources.get(spec.name, own))
        names = tuple(entry.name for entry in spec.entries)
        module = compiled(sources, spec.options, names, self.mode)
        kernel = module.get_function(entry.name)
        return functools.partial(kernel, order=self.order)


def smoke_sizes(spec: KernelSpec) -> Sizes:
    """For the slow sanitizers: of a spec's sizes with several blocks the one with fewest threads.

    Of several such, the one with most elements: long sequences make warps wait for each other.
    """

    def blocks(sizes: Sizes) -> int:
        return max(math.prod(spec.launch(entry, sizes).grid) for entry in spec.entries)

    several = [sizes for sizes in spec.examples if blocks(sizes) > 1]
    return min(several, key=lambda sizes: (blocks(sizes), -math.prod(sizes.values())))


def main(mode: str, order: str, scope: str, *sources: str) -> None:
    replaced = {name: Path(path) for name, path in (source.split("=") for source in sources)}
    sweep = Sweep(mode, order, replaced)
    for spec in KERNELS:
        if replaced and spec.name not in replaced:
            continue
        every = scope == "all"
        for sizes in spec.examples if every else [smoke_sizes(spec)]:
            for dtype in ("float32", "float64") if every else ("float32",):
                sweep.run(spec, sizes, dtype)
    print(json.dumps(sweep.launches))


if __name__ == "__main__":
    main(*sys.argv[1:])
