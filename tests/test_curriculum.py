"""nnseq.curriculum: a length doubles when it is solved; at the target the learning rate falls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nnseq.curriculum import Curriculum, FullLength, enter_stage
from nnseq.models import IndRNNOptions, LastStepReadout, PlainIndRNNBody, ResidualIndRNNBody
from nnseq.optim import Adam


def curriculum(target: int = 300, patience: int = 100) -> Curriculum:
    return Curriculum(target, 1e-3, start=50, window=2, threshold=0.01, patience=patience, final=4)


def observe(c: Curriculum, *losses: float) -> None:
    for loss in losses:
        c.observe(loss)


def test_a_solved_length_doubles_up_to_the_target() -> None:
    c, seen = curriculum(), []
    while not c.is_solved:
        seen.append((c.T, c.lr))
        observe(c, 0.008, 0.011)
    assert seen == [(50, 1e-3), (100, 1e-3), (200, 1e-3), (300, 1e-3)]


def test_observe_says_when_the_length_changed() -> None:
    c = curriculum(100)
    assert [c.observe(0.001) for _ in range(5)] == [False, True, False, False, False]


def test_the_last_losses_of_the_stage_decide_not_one_and_not_those_of_the_stage_before() -> None:
    c = curriculum()
    observe(c, 0.5, 0.001, 0.02)
    assert c.T == 50
    observe(c, 0.0)
    assert c.T == 50
    observe(c, 0.0)
    assert c.T == 100
    observe(c, 0.0)
    assert c.T == 100


def test_a_length_that_is_never_solved_is_left_when_patience_ends() -> None:
    c = curriculum(100, patience=3)
    observe(c, *[0.5] * 3)
    assert c.T == 100
    observe(c, *[0.5] * 3)
    assert c.is_solved


def test_after_the_target_the_learning_rate_falls_linearly_to_the_end() -> None:
    c = curriculum(50)
    observe(c, 0.0, 0.0)
    rates = []
    while not c.is_finished:
        rates.append(c.lr)
        observe(c, 0.5)
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def test_a_target_below_the_start_is_one_stage() -> None:
    c = curriculum(20)
    assert c.T == 20
    observe(c, 0.0, 0.0)
    assert (c.T, c.is_solved) == (20, True)


def test_state_dict_continues_exactly() -> None:
    losses = [0.5, 0.4, 0.001, 0.001, 0.3, 0.0, 0.0, 0.2, 0.002, 0.003, 0.0, 0.0, 0.1, 0.1, 0.1]
    whole, first = curriculum(), curriculum()
    observe(whole, *losses)
    for k in range(len(losses)):
        first.observe(losses[k])
        second = curriculum()
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        observe(second, *losses[k + 1 :])
        assert second.state_dict() == whole.state_dict()
        assert (second.T, second.lr) == (whole.T, whole.lr)


def test_a_stage_bounds_u_for_its_length_and_slows_the_last_layer() -> None:
    rng = np.random.default_rng(0)
    body = PlainIndRNNBody(2, 5, 3, IndRNNOptions(4), rng=rng)
    model = LastStepReadout(body, 1, rng=rng)
    assert max(float(block.rnn.u.data.max()) for block in body.layers) > 2 ** (1 / 16)
    optimizer = Adam(model.named_parameters(), 0.1)
    curriculum = Curriculum(100, 0.1, start=4)
    curriculum.T = 16
    enter_stage(curriculum, model, optimizer)
    assert body.options.seq_len == 16
    largest = max(float(np.abs(block.rnn.u.data).max()) for block in body.layers)
    assert largest <= 2 ** (1 / 16)
    slowed = {name: factor for name, factor in optimizer.lr_factors.items() if factor != 1}
    assert slowed == {"body.layers.2.rnn.u": 0.25, "body.layers.2.rnn.b": 0.25}


def test_a_body_that_a_curriculum_cannot_bound_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    model = LastStepReadout(ResidualIndRNNBody(2, 5, 1, IndRNNOptions(4), rng=rng), 1, rng=rng)
    optimizer = Adam(model.named_parameters(), 0.1)
    with pytest.raises(TypeError, match="enter_stage: the body is a ResidualIndRNNBody, expected"):
        enter_stage(Curriculum(100, 0.1), model, optimizer)


def test_full_length_divides_lr_after_200_evaluations_without_progress_and_ends_at_1e_6() -> None:
    recipe = FullLength(700, 1e-5)
    assert (recipe.T, recipe.lr) == (700, 1e-5)
    assert "T = 700" in recipe.describe()
    recipe.observe(0.5)
    cuts = [recipe.observe(0.5) for _ in range(200)]
    assert cuts == [False] * 199 + [True]
    assert recipe.lr == pytest.approx(1e-6)
    assert not recipe.is_finished
    for _ in range(200):
        assert not recipe.is_finished
        recipe.observe(0.5)
    assert recipe.is_finished
