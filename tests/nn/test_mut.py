"""MUT1, MUT2 and MUT3: values unit by unit, the map of the input, starts, counts, options."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnseq import nn

from .layers import LAYERS, B, D, H, T, close, draw, make

VARIANTS = (1, 2, 3)
muts = pytest.mark.parametrize("variant", VARIANTS)


def sigmoid(s):
    return 1 / (1 + math.exp(-s))


def unit_by_unit(direction, x, h):
    """All h of one direction, written with sums over units."""
    H, variant, W, U = len(h[0]), direction.variant, direction.W_ih.data, direction.W_hh.data
    b = direction.b.data
    b_x = np.zeros(H) if direction.b_x is None else direction.b_x.data
    x = x if direction.W_map is None else x @ direction.W_map.data
    out = np.zeros((len(x), *h.shape))

    def seen(x_tb, k, j):  # gate k of W_ih
        return b[k * H + j] + sum(x_tb[i] * W[i, k * H + j] for i in range(H))

    def remembered(s, k, j):  # gate k of W_hh
        return sum(s[i] * U[i, k * H + j] for i in range(H))

    for t, row in np.ndindex(len(x), h.shape[0]):
        v, old = x[t, row], (out[t - 1, row] if t else h[row])
        r, z = np.zeros(H), np.zeros(H)
        for j in range(H):
            if variant == 1:
                r[j] = sigmoid(seen(v, 0, j) + remembered(old, 0, j))
                z[j] = sigmoid(seen(v, 1, j))
            elif variant == 2:
                r[j] = sigmoid(v[j] + b_x[j] + remembered(old, 0, j))
                z[j] = sigmoid(seen(v, 0, j) + remembered(old, 1, j))
            else:
                r[j] = sigmoid(seen(v, 0, j) + remembered(old, 0, j))
                z[j] = sigmoid(seen(v, 1, j) + remembered(np.tanh(old), 1, j))
        for j in range(H):
            if variant == 1:
                n = math.tanh(remembered(r * old, 1, j) + math.tanh(v[j]) + b_x[j])
            else:
                n = math.tanh(remembered(r * old, 2, j) + seen(v, 1 if variant == 2 else 2, j))
            out[t, row, j] = z[j] * n + (1 - z[j]) * old[j]
    return out


@muts
@pytest.mark.parametrize("input_size", [D, H])
def test_it_is_the_paper_unit_by_unit(variant, input_size):
    layer = make("mut1", variant=variant, input_size=input_size)
    x, h = draw(1, T, B, input_size), draw(2, B, H)
    y, h_T = layer(x, h[None])
    expected = unit_by_unit(layer.directions[0], x, h)
    close(y.data, expected)
    close(h_T.data, expected[-1:])


@muts
def test_one_map_without_bias_stands_before_the_cell_where_the_sizes_differ(variant):
    same = make("mut1", variant=variant, input_size=H)
    other = make("mut1", variant=variant)
    assert same.directions[0].W_map is None
    assert other.directions[0].W_map.shape == (D, H)
    x = draw(1, T, B, D)
    state = {k: v for k, v in other.state_dict().items() if not k.endswith("W_map")}
    same.load_state_dict(state)
    close(other(x)[0].data, same(x @ other.directions[0].W_map.data)[0].data)
    stack = make("mut1", variant=variant, num_layers=2)
    assert stack.directions[1].W_map is None
    wide = make("mut1", variant=variant, num_layers=2, bidirectional=True)
    assert wide.directions[3].W_map.shape == (2 * H, H)


COUNTS = [  # H = 5
    (1, 5, {}, 115),  # 2·25 + 2·25 + 2·5 + 5
    (2, 5, {}, 140),  # 2·25 + 3·25 + 2·5 + 5
    (3, 5, {}, 165),  # 3·25 + 3·25 + 3·5
    (1, 2, {}, 125),  # + 2·5
    (2, 2, {}, 150),
    (3, 2, {}, 175),
    (1, 5, {"bias": False}, 100),
    (2, 5, {"bias": False}, 125),
    (3, 5, {"bias": False}, 150),
    (3, 5, {"learn_states": True}, 170),
    (2, 5, {"weight_norm": True}, 165),
    (1, 2, {"num_layers": 2}, 240),
    (1, 2, {"num_layers": 2, "bidirectional": True}, 580),  # 2·125 + 2 (115 + 10·5)
]


@pytest.mark.parametrize(("variant", "input_size", "options", "count"), COUNTS)
def test_parameter_counts(variant, input_size, options, count):
    rng = np.random.default_rng(0)
    layer = nn.MUT(input_size, 5, rng=rng, variant=variant, **options)
    assert layer.num_parameters() == count


@muts
def test_biases_of_the_gates_start_at_one_and_those_of_candidates_at_zero(variant):
    direction = nn.MUT(D, H, rng=np.random.default_rng(0), variant=variant).directions[0]
    starts = {1: ([1, 1], 0), 2: ([1, 0], 1), 3: ([1, 1, 0], None)}  # r z; z n and r; r z n
    gates, b_x = starts[variant]
    np.testing.assert_array_equal(
        direction.b.data.reshape(-1, H), np.repeat(gates, H).reshape(-1, H)
    )
    if b_x is None:
        assert direction.b_x is None
    else:
        assert (direction.b_x.data == b_x).all()


OPTIONS = [
    {"zoneout_h": 0.5},
    {"zoneout_h": 0.5, "zoneout_masks": "static", "seq_len": T},
    {"p_dropconnect": 0.5},
    {"bias": False},
    {"residual": True, "num_layers": 2},
    {"p_drop": 0.5, "num_layers": 2},
    {"reverse": True},
    {"num_layers": 2},
]


def test_every_option_and_every_variant_changes_the_result():
    x, found = draw(1, T, B, D), []
    for variant in VARIANTS:
        for options in [{}, *OPTIONS]:
            layer = make("mut1", variant=variant, **options)
            found.append(layer(x, rng=np.random.default_rng(0))[0].data)
    for k, one in enumerate(found):
        assert all(np.abs(one - other).max() > 1e-3 for other in found[:k]), k


@muts
def test_zoneout_in_evaluation_is_the_expectation_of_a_step(variant):
    layer = LAYERS[f"mut{variant}"](
        D, H, rng=np.random.default_rng(0), zoneout_h=0.3, dtype=np.float64
    ).eval()
    x, h = draw(1, 1, B, D), draw(2, B, H)
    inner = unit_by_unit(layer.directions[0], x, h)[0]
    close(layer(x, h[None])[0].data[0], 0.3 * h + 0.7 * inner)


@pytest.mark.parametrize("variant", [0, 4, "1", None])
def test_other_variants_are_refused(variant):
    with pytest.raises(ValueError, match=r"MUT: variant is .*, expected one of 1, 2, 3"):
        make("mut1", variant=variant)
