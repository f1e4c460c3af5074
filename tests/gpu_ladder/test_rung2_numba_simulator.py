"""Rung 2 for Numba: Numba-CUDA kernels in the completed simulator, and the simulator itself."""

from __future__ import annotations

from typing import Any

import pytest
from nnseq_kernels.registry import KERNELS

from tests.gpu_ladder.processes import run_module

SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1"}
OBJECTION = {
    "bug_divergent_barrier": "divergent barrier: syncthreads at lines",
    "bug_return_before_barrier": "a thread returned while others wait",
    "bug_missing_barrier": "wrong in order",
    "bug_unset_shared": "wrong in order",
    "bug_out_of_bounds": "IndexError: tid=[63, 0, 0] ctaid=[0, 0, 0]: index 64",
    "bug_negative_index": "negative index -1",
    "bug_negative_shared_index": "negative index -1",
    "bug_lane_takes_no_part": "lane 20 takes no part",
    "bug_lane_not_in_mask": "lane 16 is not in mask 0xffff",
    "bug_mask_names_returned_lane": "names a returned lane",
    "bug_warp_against_barrier": "deadlock: 16 threads at syncwarp",
    "bug_block_skips_grid_barrier": "a thread returned while others wait: 32 threads at grid.sync",
    "bug_relies_on_block_order": "wrong in order reverse",
}


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_numba_cuda_kernels_agree_with_the_reference(order: str) -> None:
    examples = run_module("numba_sweep", order, variables=SIMULATOR)
    assert set(examples) == {spec.name for spec in KERNELS}
    assert all(count >= 12 for count in examples.values())


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    found: dict[str, str] = run_module("simulated_kernels", variables=SIMULATOR)
    return found


def test_simulator_runs_correct_kernels_in_every_order(outcomes: dict[str, str]) -> None:
    good = {name: outcome for name, outcome in outcomes.items() if name.startswith("good_")}
    assert len(good) == 4
    assert set(good.values()) == {"right"}


@pytest.mark.parametrize("bug", OBJECTION)
def test_simulator_objects_to(bug: str, outcomes: dict[str, Any]) -> None:
    assert OBJECTION[bug] in outcomes[bug]
