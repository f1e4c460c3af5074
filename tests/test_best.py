"""Best: when lr is cut, model and optimiser are again those of the best evaluation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import checkpoint
from nnseq.best import Best
from nnseq.nn.module import Module, Parameter
from nnseq.optim import SGD, Adam, Optimizer, Plateau, RMSProp

NAN = float("nan")


class Toy(Module):
    """Two parameters and a running statistic, all moved by a step of training."""

    buffers: ClassVar = ("seen",)

    def __init__(self, rows: int = 3) -> None:
        rng = np.random.default_rng(7)
        self.W = Parameter(rng.normal(size=(rows, 2)))
        self.u = Parameter(rng.normal(size=2))
        self.seen = np.zeros(2)


def plateau(p: int = 2, **changes: Any) -> Plateau:
    """The schedule of IndRNN's recipes with --pThre p."""
    recipe = {"min_lr": 1e-3, "stop": True, "patience_factor": 0.5, "patience_added": 2}
    return Plateau(0.1, p, 0.1, **(recipe | changes))


def fresh(optimizer: Any = Adam, **changes: Any) -> Best:
    model = Toy()
    return Best(model, optimizer(model.named_parameters(), 0.1), plateau(**changes))


def step(best: Best, number: int) -> None:
    """One step of training whose gradients depend on its number alone."""
    rng = np.random.default_rng(number)
    for x in best.model.parameters():
        x.grad = rng.normal(size=x.shape)
    best.optimizer.step()
    best.model.seen += rng.normal(size=2)


def everything(best: Best) -> dict[str, Any]:
    """Model and optimiser, without lr."""
    state = best.optimizer.state_dict()
    slots = {f"{s}/{n}": x for s, arrays in state["slots"].items() for n, x in arrays.items()}
    return {**best.model.state_dict(), **slots, "step": state["step"]}


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for name, x in first.items():
        np.testing.assert_array_equal(x, second[name], err_msg=name)


# ---- when --------------------------------------------------------------------------------------

# By hand, from the rule of the authors' scripts with --pThre 3 and lr × 0.2. They count evaluations
# that do not improve in `patience`, and cut when it is above int(3 / reduced + 0.5) = 3, 2, 1, 0
# for reduced = 1, 2, 4, 8, before they count the one at hand; the run ends when lr is below 0.01.
# metric, lr afterwards, what happened
TABLE = [
    (5.0, 1.0, "best"),
    (6.0, 1.0, ""),  # patience 1
    (5.0, 1.0, ""),  # 2: equal is no improvement
    (4.0, 1.0, "best"),
    (4.5, 1.0, ""),  # 1
    (4.5, 1.0, ""),  # 2
    (4.5, 1.0, ""),  # 3
    (4.5, 1.0, ""),  # 4
    (4.5, 0.2, "cut"),  # 4 > 3
    (4.0, 0.2, ""),  # 1: what was best is still to be beaten
    (4.1, 0.2, ""),  # 2
    (3.9, 0.2, "best"),
    (NAN, 0.2, ""),  # 1
    (3.9, 0.2, ""),  # 2
    (3.9, 0.2, ""),  # 3
    (3.9, 0.04, "cut"),  # 3 > 2
    (3.9, 0.04, ""),  # 1
    (3.9, 0.04, ""),  # 2
    (3.9, 0.04, "stop"),  # 2 > 1, and 0.04 × 0.2 is below 0.01
]


def test_the_schedule_is_the_authors_evaluation_by_evaluation() -> None:
    model = Toy()
    schedule = Plateau(1.0, 3, 0.2, min_lr=0.01, stop=True, patience_factor=0.5, patience_added=2)
    best = Best(model, Adam(model.named_parameters(), 1.0), schedule)
    kept: dict[str, Any] = {}
    for n, (metric, lr, event) in enumerate(TABLE, 1):
        step(best, n)
        before = everything(best)
        assert best.observe(metric, n) == (event == "cut"), n
        assert best.optimizer.lr == pytest.approx(lr, rel=1e-12), n
        assert schedule.is_finished == (event == "stop")
        if event == "best":
            kept = before
            assert best.kept is not None
            assert best.kept[:2] == (n, metric)
        assert_same(everything(best), kept if event in ("cut", "stop") else before)
    assert best.kept is not None
    assert best.kept[:2] == (12, 3.9)


@given(st.integers(1, 7), st.lists(st.integers(0, 5), min_size=30, max_size=60))
def test_cuts_come_where_the_authors_count_has_them(p: int, metrics: list[int]) -> None:
    schedule = plateau(p, min_lr=0.0, stop=False)
    limit, count, lowest, expected = p, 0, 99, []
    for n, metric in enumerate(metrics):
        if metric < lowest:
            lowest, count = metric, 0
        elif count > limit:
            expected.append(n)
            limit, count = round(p / 2 ** len(expected) + 1e-9), 0
        else:
            count += 1
    assert [n for n, metric in enumerate(metrics) if schedule.observe(metric)] == expected


# ---- what --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Adam, RMSProp, SGD])
def test_after_a_cut_training_goes_on_as_from_the_best_with_the_lower_lr(
    kind: type[Optimizer],
) -> None:
    best, never_left = fresh(kind), fresh(kind)
    for n in range(1, 5):
        step(best, n)
        step(never_left, n)
    best.observe(1.0, 4)
    for n in range(5, 9):
        step(best, n)
        assert best.observe(2.0, n) == (n == 8)  # ⌊2 + ½⌋ + 2 = 4 evaluations later
    assert_same(everything(best), everything(never_left))
    assert best.optimizer.lr == pytest.approx(0.01)
    never_left.optimizer.lr = best.optimizer.lr
    for n in range(20, 23):
        step(best, n)
        step(never_left, n)
    assert_same(everything(best), everything(never_left))


def test_the_step_count_of_adam_goes_back_with_its_moments() -> None:
    best = fresh()
    step(best, 1)
    best.observe(1.0, 1)
    for n in range(2, 6):
        step(best, n)
        best.observe(2.0, n)
    assert best.optimizer.num_steps == 1


def test_what_is_kept_does_not_move_with_training() -> None:
    best = fresh()
    step(best, 1)
    best.observe(1.0, 1)
    before = best.model.state_dict()
    step(best, 2)
    assert best.kept is not None
    assert_same(dict(best.kept.state), before)
    assert not np.array_equal(best.model.W.data, before["W"])


def test_a_cut_before_any_evaluation_was_good_only_lowers_lr() -> None:
    best = fresh()
    for n in range(1, 5):
        step(best, n)
        before = everything(best)
        assert best.observe(NAN, n) == (n == 4)
    assert_same(everything(best), before)
    assert best.optimizer.lr == pytest.approx(0.01)
    assert best.kept is None


def test_what_is_kept_is_of_the_best_evaluation() -> None:
    best = fresh()
    assert best.kept is None
    step(best, 1)
    best.observe(NAN, 1)
    assert best.kept is None
    for n, metric in ((2, 3.0), (3, 2.0), (4, 2.5)):
        step(best, n)
        best.observe(metric, n)
        if n == 3:
            state, moments = best.model.state_dict(), best.optimizer.state_dict()["slots"]["m"]
    found = best.kept
    assert found is not None
    assert (found.step, found.metric) == (3, 2.0)
    assert_same(dict(found.state), state)
    assert_same(found.optimizer["slots"]["m"], moments)


# ---- its state ---------------------------------------------------------------------------------

METRICS = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.6, 1.9, 2.0, 2.0, 2.0, 2.0, 2.0]


def evaluations(best: Best, numbers: range) -> list[Any]:
    seen = []
    for n in numbers:
        step(best, n)
        seen.append((best.observe(METRICS[n], n), best.optimizer.lr, (best.kept or (0, 0))[:2]))
    return seen


def restarted(best: Best, path: Path, optimizer: Any = Adam) -> Best:
    """What a run has after a restart: model, optimiser, Best's own state, and what it kept."""
    checkpoint.write(path, {"best": best.state_dict()}, {})
    kept = copy.deepcopy(best.kept)
    again = fresh(optimizer)
    again.model.load_state_dict(best.model.state_dict())
    again.optimizer.load_state_dict(best.optimizer.state_dict())
    again.load_state_dict(checkpoint.read(path)[0]["best"], kept)
    return again


@pytest.mark.parametrize("kind", [Adam, SGD])
@pytest.mark.parametrize("at", [0, 1, 4, 6, 9])
def test_a_restart_from_a_checkpoint_continues_identically(
    tmp_path: Path, at: int, kind: type[Optimizer]
) -> None:
    whole, first = fresh(kind), fresh(kind)
    expected = evaluations(whole, range(len(METRICS)))
    assert sum(was_cut for was_cut, *_ in expected) == 2
    found = evaluations(first, range(at))
    second = restarted(first, tmp_path / "best.h5", kind)
    assert found + evaluations(second, range(at, len(METRICS))) == expected
    assert_same(everything(second), everything(whole))
    assert whole.kept is not None
    assert second.kept is not None
    assert_same(dict(second.kept.state), dict(whole.kept.state))


def test_the_state_of_another_model_or_schedule_is_refused_and_changes_nothing() -> None:
    best, other = fresh(), fresh()
    evaluations(best, range(3))
    evaluations(other, range(6))
    state, kept = other.state_dict(), other.kept
    assert kept is not None
    strange = kept._replace(state={**kept.state, "V": np.zeros(2)})
    with pytest.raises(ValueError, match="are of another Toy, only one of the two has V; build"):
        best.load_state_dict(state, strange)
    wrong = {**state, "plateau": {"num_steps": 3}}
    with pytest.raises(ValueError, match="Plateau: load_state_dict: got num_steps"):
        best.load_state_dict(wrong, kept)
    with pytest.raises(KeyError):
        best.load_state_dict({"step": 3}, kept)
    assert best.kept is not None
    assert (*best.kept[:2], best.plateau.num_bad) == (1, 2.0, 1)


def test_the_state_has_no_array() -> None:
    best = fresh()
    assert best.state_dict() == {"step": None, "metric": None, "plateau": plateau().state_dict()}
    evaluations(best, range(3))
    state = json.loads(json.dumps(best.state_dict()))
    assert (state["step"], state["metric"]) == (1, 2.0)
