"""What is random in the recurrent layers, weight normalisation, and layers made again."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq import nn

from .layers import LAYERS, B, D, H, T, as_tuple, close, draw, each, make, outputs, starts

RANDOM = {"zoneout_h": 0.5, "p_dropconnect": 0.5}


@each
@pytest.mark.parametrize("option", RANDOM)
def test_what_is_random_needs_a_generator_in_training_only(name, option):
    layer, x = make(name, **{option: RANDOM[option]}), draw(1, T, B, D)
    with pytest.raises(TypeError, match=r"in training .* rng is None, expected a generator"):
        layer(x)
    one, two = (layer(x, rng=np.random.default_rng(s))[0].data for s in (0, 1))
    assert (one != two).any()
    np.testing.assert_array_equal(layer(x, rng=np.random.default_rng(0))[0].data, one)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x, rng=np.random.default_rng(0))[0].data)
    plain = make(name)
    plain.load_state_dict(layer.state_dict())
    is_same = bool((plain(x)[0].data == layer(x)[0].data).all())
    assert is_same == (option == "p_dropconnect")  # zoneout takes expectations


@each
def test_zoneout_keeps_every_unit_at_probability_one_and_none_at_zero(name):
    x, layer = draw(1, T, B, D), make(name, zoneout_h=1.0)
    start = starts(layer)
    y, *finals = outputs(layer(x, start, rng=np.random.default_rng(0)))
    h0 = as_tuple(start)[0]
    np.testing.assert_array_equal(y.data, np.broadcast_to(h0[0], (T, B, H)))
    np.testing.assert_array_equal(finals[0].data, h0)


@each
def test_static_zoneout_belongs_to_the_steps_of_the_sequence_in_both_directions(name):
    """Held units are those of row t at step t, however much padding follows."""
    options = {"zoneout_h": 0.5, "zoneout_masks": "static", "seq_len": 7, "bidirectional": True}
    layer, x = make(name, **options), draw(1, T, B, D)
    y = layer(x)[0].data
    longer = np.concatenate([x, draw(2, 2, B, D)])
    padded = layer(longer, lengths=[T] * B)[0].data
    close(padded[:T], y)
    assert (padded[T:] == 0).all()
    np.testing.assert_array_equal(layer.eval()(x)[0].data, y)  # no expectation: still the wiring
    for k, (own, step) in enumerate(zip((y[..., :H], y[..., H:]), (-1, 1), strict=True)):
        held = layer.directions[k].zoneout.held[0]
        before = np.roll(own, -step, axis=0)
        before[0 if k == 0 else -1] = 0.0  # the initial state
        is_held = (own == before).all(axis=1)
        np.testing.assert_array_equal(is_held[own.any(axis=1)], held[:T][own.any(axis=1)])
    with pytest.raises(ValueError, match="the sequence has 8 steps, expected at most seq_len = 7"):
        layer(draw(1, 8, B, D))


@each
def test_weight_norm_starts_where_the_plain_layer_is_and_then_ignores_lengths(name):
    x = draw(1, T, B, D)
    rng = np.random.default_rng
    plain = LAYERS[name](D, H, rng=rng(0), dtype=np.float64)
    layer = LAYERS[name](D, H, rng=rng(0), dtype=np.float64, weight_norm=True)
    close(layer(x)[0].data, plain(x)[0].data)
    added = sum(getattr(layer.directions[0], W).shape[1] for W in ("W_ih", "W_hh"))
    assert layer.num_parameters() == plain.num_parameters() + added
    layer.directions[0].W_hh.data[:] *= 3.0
    layer.directions[0].W_ih.data[:] *= 0.2
    close(layer(x)[0].data, plain(x)[0].data)
    layer.directions[0].norm_hh.g.data[:] *= 2.0
    layer.directions[0].norm_ih.g.data[:] *= 0.5
    plain.directions[0].W_hh.data[:] *= 2.0
    plain.directions[0].W_ih.data[:] *= 0.5
    close(layer(x)[0].data, plain(x)[0].data)


@each
def test_dropped_connections_are_those_of_the_normalised_matrix_for_the_whole_call(name):
    x, p = draw(1, T, B, D), 0.3
    layer = make(name, weight_norm=True, p_dropconnect=p)
    direction = layer.directions[0]
    mask = nn.DropConnect(p)(np.ones(direction.W_hh.shape), np.random.default_rng(5))
    assert set(np.unique(mask)) == {0, 1 / (1 - p)}
    plain = make(name)
    others = {k: v for k, v in layer.state_dict().items() if ".norm_" not in k}
    plain.load_state_dict(others)
    for letter in ("W_ih", "W_hh"):
        W, g = getattr(direction, letter).data, getattr(direction, f"norm{letter[1:]}").g.data
        getattr(plain.directions[0], letter).data[:] = g * W / np.linalg.norm(W, axis=0)
    plain.directions[0].W_hh.data[:] *= mask
    close(layer(x, rng=np.random.default_rng(5))[0].data, plain(x)[0].data)


# ---- descriptions ------------------------------------------------------------------------------


@each
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True, "residual": True, "p_drop": 0.25},
        {"reverse": True, "bias": False, "learn_states": True, "output": "last"},
        {"zoneout_h": 0.2, "zoneout_masks": "static", "seq_len": 9, "W_hh_init": nn.Normal(0.1)},
        {"weight_norm": True, "p_dropconnect": 0.5},
    ],
)
def test_a_description_and_a_state_dict_make_the_same_layer(name, options):
    layer, x = make(name, **options), draw(1, T, B, D)
    twin = nn.build(nn.describe(layer))
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer).replace("<class 'numpy.float64'>", "'float64'")
    twin.load_state_dict(layer.state_dict())
    for found, right in zip(outputs(twin.eval()(x)), outputs(layer.eval()(x)), strict=True):
        np.testing.assert_array_equal(found.data, right.data)


@each
def test_the_generator_alone_decides_where_a_layer_starts(name):
    def fresh(seed, dtype=np.float64):
        layer = LAYERS[name](D, H, rng=np.random.default_rng(seed), num_layers=2, dtype=dtype)
        return layer.state_dict()

    one, same, other, single = fresh(0), fresh(0), fresh(1), fresh(0, np.float32)
    for key, array in one.items():
        np.testing.assert_array_equal(array, same[key])
        np.testing.assert_array_equal(array.astype(np.float32), single[key])
        assert ".W_" not in key or (array != other[key]).all()
    assert "directions.0.W_ih" in one
    assert "directions.1.W_hh" in one
