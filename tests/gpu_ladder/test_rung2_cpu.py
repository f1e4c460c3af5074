"""Rung 2: the CUDA sources, run on the CPU in three orders, give what the reference gives."""

from __future__ import annotations

from typing import Any

import pytest
from nnseq_kernels.registry import KERNELS
from nnseq_kernels.spec import KernelSpec, Sizes

from tests.gpu_ladder.cusim import ORDERS
from tests.gpu_ladder.examples import examples
from tests.gpu_ladder.sweep import Sweep

DTYPES = ("float32", "float64")
CASES = [
    pytest.param(spec, sizes, id=f"{spec.name}-{'-'.join(f'{k}{n}' for k, n in sizes.items())}")
    for spec in KERNELS
    for sizes in spec.examples
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("spec", "sizes"), CASES)
def test_cuda_source_agrees_with_the_reference(spec: KernelSpec, sizes: Sizes, order: str) -> None:
    sweep = Sweep("fast", order)
    for dtype in DTYPES:
        sweep.run(spec, sizes, dtype)
    assert set(sweep.launches) == {entry.name for entry in spec.entries}  # every entry was run


@pytest.mark.parametrize("spec", KERNELS, ids=lambda spec: spec.name)
def test_a_wrong_gradient_is_seen(spec: KernelSpec, monkeypatch: Any) -> None:
    """The comparison itself: a kernel wrong by one part in a thousand does not pass."""
    load = Sweep._load

    def slightly_wrong(self: Sweep, spec: Any, entry: Any) -> Any:
        kernel = load(self, spec, entry)
        outputs = [i for i, p in enumerate(entry.parameters) if p.role == "out"]

        def launch(grid: Any, block: Any, arguments: Any, shared_mem: int) -> None:
            kernel(grid, block, arguments, shared_mem=shared_mem)
            arguments[outputs[0]].flat[-1] *= 1.001

        return launch

    monkeypatch.setattr(Sweep, "_load", slightly_wrong)
    with pytest.raises(AssertionError, match="differs by"):
        Sweep("fast", "forward").run(spec, spec.examples[-1], "float32")


def test_examples_are_not_all_alike() -> None:
    """Every kernel has inputs here, with and without its optional arrays."""
    for spec in KERNELS:
        found = list(examples(spec.name, spec.examples[0], "float64"))
        assert len({example.label for example in found}) == len(found) > 1
        given = [[x is not None for x in example.doutputs] for example in found]
        assert all(any(one) for one in given)
        assert not all(all(one) for one in given)
