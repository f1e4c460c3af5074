"""Rung 5: the checks themselves. Each planted bug must be caught, each correct kernel must pass.

A few run always; all of them with `-m planted`.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from nnseq_kernels.registry import KERNELS
from nnseq_kernels.spec import KernelSpec

from tests.gpu_ladder.cusim import MODES
from tests.gpu_ladder.planted_bugs.bugs import BUGS, SMOKE
from tests.gpu_ladder.planted_bugs.case import Case
from tests.gpu_ladder.planted_bugs.good import GOOD
from tests.gpu_ladder.planted_bugs.verdict import is_caught, outcomes
from tests.gpu_ladder.sanitizer import run_python

PAIRS = [(case, mode) for case in BUGS for mode in case.caught]
BARRIERS = [
    pytest.param(spec, barrier.span(), id=f"{spec.name}-{i}")
    for spec in KERNELS
    for i, barrier in enumerate(re.finditer(r"__syncthreads\(\);", spec.sources[-1].read_text()))
]
SMOKE_PAIRS = [(case, mode) for case, mode in PAIRS if case.name in SMOKE]


@functools.cache
def all_outcomes(mode: str) -> dict[str, str]:
    """All cases of one mode in one process, which loads the sanitizer once."""
    return outcomes(mode, [case for case, m in PAIRS if m == mode] + list(GOOD))


def label(value: object) -> str:
    return value.name if isinstance(value, Case) else str(value)


def test_there_are_enough_planted_bugs() -> None:
    assert len({case.name for case in BUGS}) == len(BUGS) >= 33
    assert len(SMOKE_PAIRS) == len(SMOKE)
    assert {mode for _, mode in SMOKE_PAIRS} == set(MODES)


@pytest.mark.parametrize("mode", MODES)
def test_a_few_planted_bugs_are_caught(mode: str) -> None:
    cases = [case for case, m in SMOKE_PAIRS if m == mode]
    found = outcomes(mode, cases)
    for case in cases:
        assert is_caught(case, mode, found[case.name]), found[case.name]


@pytest.mark.planted
@pytest.mark.parametrize(("case", "mode"), PAIRS, ids=label)
def test_planted_bug_is_caught(case: Case, mode: str) -> None:
    outcome = all_outcomes(mode)[case.name]
    assert is_caught(case, mode, outcome), outcome


@pytest.mark.planted
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", GOOD, ids=label)
def test_correct_kernel_passes(case: Case, mode: str) -> None:
    assert all_outcomes(mode)[case.name] == "right"


@pytest.mark.planted
@pytest.mark.parametrize(("spec", "span"), BARRIERS)
def test_a_kernel_of_ours_without_one_barrier_is_caught(
    spec: KernelSpec, span: tuple[int, int], tmp_path: Path
) -> None:
    """Each barrier is needed, and the small TSan run of rung 4 sees when one is gone."""
    source = spec.sources[-1]
    code = source.read_text()
    mutant = tmp_path / source.name
    mutant.write_text(code[: span[0]] + code[span[1] :])
    sweep = ["-m", "tests.gpu_ladder.sweep", "tsan", "forward", "smoke", f"{spec.name}={mutant}"]
    done = run_python("tsan", sweep)
    line = code.count("\n", 0, span[0]) + 1
    assert done.returncode != 0
    assert "ThreadSanitizer: data race" in done.stderr, f"none without the barrier of line {line}"
