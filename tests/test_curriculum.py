"""nnseq.curriculum: lengths grow when the loss is small, the learning rate falls when it is not."""

from __future__ import annotations

import json

import pytest

from nnseq.curriculum import Curriculum


def curriculum(target: int = 300) -> Curriculum:
    return Curriculum(
        target, 1e-3, start=50, growth=2.0, power=1.0, window=2, threshold=0.01, patience=2, cut=0.5
    )


def observe(c: Curriculum, *losses: float) -> None:
    for loss in losses:
        c.observe(loss)


def test_stages_grow_to_the_target_with_their_learning_rates() -> None:
    c, seen = curriculum(), []
    while not c.is_finished:
        seen.append((c.stage, c.T, c.lr))
        observe(c, 0.009, 0.011)
    assert [s[:2] for s in seen] == [(0, 50), (1, 100), (2, 200), (3, 300)]
    assert [s[2] for s in seen] == pytest.approx([1e-3 * 50 / T for _, T, _ in seen])


def test_observe_says_when_the_length_changed() -> None:
    c = curriculum()
    assert [c.observe(x) for x in (0.5, 0.5, 0.001, 0.001)] == [False, False, False, True]


def test_the_mean_of_a_window_decides_not_a_single_loss() -> None:
    c = curriculum()
    observe(c, 0.0, 0.5)
    assert c.T == 50


def test_a_plateau_cuts_the_learning_rate_and_progress_does_not() -> None:
    c = curriculum()
    observe(c, *[0.5, 0.5], *[0.4, 0.4], *[0.3, 0.3])
    assert c.lr == 1e-3
    observe(c, *[0.29, 0.29], *[0.3, 0.3])
    assert c.lr == 5e-4


def test_a_stage_that_no_learning_rate_helps_is_left() -> None:
    c = Curriculum(100, 1e-3, start=50, window=1, patience=1, cut=0.1, min_lr=1e-5)
    observe(c, *[0.5] * 4)
    assert c.stage == 1
    observe(c, *[0.5] * 10)
    assert c.is_finished


def test_a_target_below_the_start_is_one_stage() -> None:
    c = curriculum(20)
    assert (c.T, c.lr) == (20, 1e-3)
    observe(c, 0.0, 0.0)
    assert c.is_finished


def test_state_dict_continues_exactly() -> None:
    losses = [0.5, 0.4, 0.001, 0.001, 0.3, 0.3, 0.31, 0.3, 0.3, 0.4, 0.2, 0.002, 0.003]
    whole, first = curriculum(), curriculum()
    observe(whole, *losses)
    for k in range(len(losses)):
        first.observe(losses[k])
        second = curriculum()
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        observe(second, *losses[k + 1 :])
        assert second.state_dict() == whole.state_dict()
