"""Zoneout in every recurrent cell, against what it means."""

import itertools

import numpy as np
import pytest

from tests.cells.recurrent_cases import CELLS, CONSTANT, INPUTS, OUTPUTS, draw
from tests.cells.recurrent_checks import (
    assert_close,
    every_cell,
    named,
    run,
    states_of,
    variant_named,
)


def with_zoneout(op, inputs, value):
    """The same inputs with all zoneout weights equal to value, or None."""
    arrays = named(op, inputs)
    z = None if value is None else np.full((1, 1, len(arrays["W_hh"])), value)
    return tuple(z if name in ("z_h", "z_c") else x for name, x in arrays.items())


@every_cell
def test_zoneout_of_0_is_the_plain_cell(op):
    inputs, options, doutputs = draw(op, variant_named(op, "plain"))
    plain = run(op, with_zoneout(op, inputs, None), options, doutputs)
    never = run(op, with_zoneout(op, inputs, 0.0), options, doutputs)
    for name, right in plain.items():
        np.testing.assert_array_equal(never[name], right, err_msg=name)


@every_cell
def test_zoneout_of_1_keeps_the_initial_states_for_ever(op):
    inputs, options, doutputs = draw(op, variant_named(op, "plain"))
    got = run(op, with_zoneout(op, inputs, 1.0), options, doutputs)
    arrays = named(op, inputs)
    n = len(doutputs) // 2
    for name, dy, dlast in zip(states_of(op), doutputs[:n], doutputs[n:], strict=True):
        for state in got[name]:
            np.testing.assert_array_equal(state, arrays[f"{name}0"])
        np.testing.assert_allclose(got[f"d{name}0"], dlast + dy.sum(axis=0), rtol=1e-12)
    assert not got["da"].any()
    assert not got["dW_hh"].any()


@every_cell
def test_one_training_step_averaged_over_all_masks_is_the_step_of_evaluation(op):
    """A step is linear in the mask, so the average over all 2^H (LSTM: 4^H) masks is exact."""
    B, H = 2, 3
    inputs, options, _ = draw(op, variant_named(op, "plain"), 1, B, H)
    p = {"z_h": np.array([0.1, 0.5, 0.7]), "z_c": np.array([0.6, 0.2, 0.9])}
    names = [name for name in INPUTS[op] if name in p]

    def step(weights):
        chosen = named(op, inputs) | weights
        return CELLS[op].forward(*chosen.values(), **options)[0]

    mean = [0.0] * len(OUTPUTS[op])
    for bits in itertools.product([0.0, 1.0], repeat=H * len(names)):
        masks = dict(zip(names, np.array(bits).reshape(-1, H), strict=True))
        chance = np.prod([np.where(m == 1, p[name], 1 - p[name]) for name, m in masks.items()])
        ys = step({name: m.reshape(1, 1, H) for name, m in masks.items()})
        mean = [total + chance * y for total, y in zip(mean, ys, strict=True)]
    evaluated = step({name: p[name].reshape(1, 1, H) for name in names})
    plain = step({})
    for total, y, without in zip(mean, evaluated, plain, strict=True):
        np.testing.assert_allclose(total, y, rtol=1e-13)
        assert (np.abs(y - without) > 1e-3).all()


@every_cell
def test_where_zoneout_draws_1_the_old_value_stands_to_the_last_bit(op):
    inputs, options, _ = draw(op, variant_named(op, "zoneout fresh"), 6, 3, 5)
    arrays = named(op, inputs)
    outputs, _ = CELLS[op].forward(*inputs, **options)
    for name, h in zip(states_of(op), outputs, strict=False):
        frozen = arrays[f"z_{name}"] == 1
        old = np.concatenate([arrays[f"{name}0"][None], h[:-1]])
        np.testing.assert_array_equal(h[frozen], old[frozen])
        assert (h[~frozen] != old[~frozen]).all()


@every_cell
def test_a_padded_step_is_a_step_whose_states_are_all_kept(op):
    inputs, options, doutputs = draw(op, variant_named(op, "mask"))
    mask = inputs[-1]
    padded = run(op, inputs, options, doutputs)
    kept = np.broadcast_to(~mask[:, :, None], (*mask.shape, 5)).astype(float)
    chosen = named(op, inputs) | {"mask": None}
    chosen |= {name: kept for name in ("z_h", "z_c") if name in chosen}
    assert_close(run(op, tuple(chosen.values()), options, doutputs), padded, 1e-13)


@pytest.mark.parametrize("lead", [(1, 3), (4, 1), (1, 1)])
@every_cell
def test_a_weight_may_have_an_axis_of_one_for_time_and_for_sequences(op, lead):
    rng = np.random.default_rng(4)
    inputs, options, doutputs = draw(op, variant_named(op, "all fresh"))
    arrays = named(op, inputs)
    weights = [name for name in CONSTANT if name in arrays and name != "mask"]
    small = {name: rng.random((*lead, 5)) for name in weights}
    large = {name: np.broadcast_to(z, (4, 3, 5)).copy() for name, z in small.items()}
    got, expected = (
        run(op, tuple((arrays | chosen).values()), options, doutputs) for chosen in (small, large)
    )
    assert_close(got, expected, 1e-14)
