"""LayerNormLSTM: values, initial values, options, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck_directional
from nnseq.nn.layernorm_lstm import LayerNormLSTM

from . import reference_layers as owes
from .functional import as_function
from .layers import LENGTHS, VALID, B, D, H, T, close, draw, outputs, randomise


def make(seed=0, input_size=D, hidden_size=H, **options):
    rng = np.random.default_rng(seed)
    layer = LayerNormLSTM(input_size, hidden_size, rng=rng, **{"dtype": np.float64} | options)
    randomise(layer, rng)
    return layer


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def norm(s, gain, bias, eps):
    centered = s - s.mean(axis=1, keepdims=True)
    return gain * centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + eps) + bias


@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_both_products_and_the_shown_cell_are_normalised(eps):
    layer = make() if eps == 1e-5 else make(eps=eps)  # the default, and another
    x, h, c = draw(1, T, B, D), draw(2, B, H), draw(3, B, H)
    y, (h_T, c_T), cells = layer(x, (h[None], c[None]), return_cells=True)
    d = layer.directions[0]
    for t in range(T):
        q = norm(x[t] @ d.W_ih.data, d.gain_x.data, d.bias_x.data, eps)
        q = q + norm(h @ d.W_hh.data, d.gain_h.data, d.bias_h.data, eps)
        i, f, g, o = np.split(q, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(norm(c, d.gain_c.data, d.bias_c.data, eps))
        close(y.data[t], h)
        close(cells.data[t], c)
    close(h_T.data[0], h)
    close(c_T.data[0], c)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 230),  # 4·5 (2 + 5) + 4 (4·5) + 2·5
        ({"learn_states": True}, 240),
        ({"bidirectional": True}, 460),
        ({"num_layers": 2}, 520),  # and 4·5 (5 + 5) + 4 (4·5) + 2·5
    ],
)
def test_parameters_are_counted(options, count):
    layer = make(**options)
    assert layer.num_parameters() == count
    assert not any(name.endswith(".b") for name, _ in layer.named_parameters())


def test_initial_values():
    options = {"rng": np.random.default_rng(0), "dtype": np.float64}
    d = LayerNormLSTM(D, H, **options).directions[0]
    for gain in (d.gain_x, d.gain_h, d.gain_c):
        np.testing.assert_array_equal(gain.data, 1)
    np.testing.assert_array_equal(d.bias_x.data, np.repeat([0.0, 1.0, 0.0, 0.0], H))
    assert not d.bias_h.data.any()
    assert not d.bias_c.data.any()
    d = LayerNormLSTM(D, H, gain_init=0.5, forget_init=-2.0, **options).directions[0]
    for gain in (d.gain_x, d.gain_h, d.gain_c):
        np.testing.assert_array_equal(gain.data, 0.5)
    np.testing.assert_array_equal(d.bias_x.data, np.repeat([0.0, -2.0, 0.0, 0.0], H))


OPTIONS = [
    {},
    {"eps": 0.5},
    {"zoneout_h": 0.5},
    {"zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "shared"},
    {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "static", "seq_len": T},
    {"p_dropconnect": 0.5},
    {"reverse": True},
    {"num_layers": 2},
    {"num_layers": 2, "residual": True},
    {"num_layers": 2, "p_drop": 0.5},
]


def test_every_option_changes_the_result():
    x = draw(1, T, B, D)
    found = [make(**options)(x, rng=np.random.default_rng(0))[0].data for options in OPTIONS]
    for k, one in enumerate(found):
        for other in found[:k]:
            assert np.abs(one - other).max() > 1e-3, OPTIONS[k]


@pytest.mark.parametrize(
    "options",
    [
        {"learn_states": True},
        {"reverse": True, "zoneout_h": 0.3, "zoneout_c": 0.4, "zoneout_masks": "shared"},
        {"output": "last"},
    ],
)
def test_gradients_of_every_parameter_input_and_state(options):
    layer = make(hidden_size=3, **options)
    owes.check_gradients(layer, states="learn_states" not in options)


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 3, st.integers(2, 3)), num_layers=st.integers(1, 2),
    directions=st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]),
    is_padded=st.booleans(), masks=st.sampled_from([None, "fresh", "shared", "static"]),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_under_any_options(sizes, num_layers, directions, is_padded, masks, seed):
    T, B, D, H = sizes
    rng = np.random.default_rng(seed)
    options = {"num_layers": num_layers, "eps": 0.1, **directions}
    if masks:
        options |= {"zoneout_h": 0.3, "zoneout_c": 0.3, "zoneout_masks": masks}
        options |= {"seq_len": T, "p_dropconnect": 0.3} if masks == "static" else {}
    layer = make(seed, D, H, **options)
    lengths = rng.integers(1, T + 1, B) if is_padded else None
    f, parameters = as_function(
        layer, lambda l, x: outputs(l(x, lengths=lengths, rng=np.random.default_rng(1)))
    )
    gradcheck_directional(f, *parameters, rng.normal(size=(T, B, D)), rng=rng, atol=1e-6)


def test_padding():
    layer = make(num_layers=2, bidirectional=True)
    owes.check_lengths(layer)
    owes.check_gap(layer)
    owes.check_garbage(layer)


def test_static_zoneout_belongs_to_the_steps_of_the_sequence():
    options = {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "static", "seq_len": T}
    layer = make(reverse=True, **options)
    x, held = draw(1, T, B, D), layer.directions[0].zoneout.held
    y, _, c = layer(x, owes.starts_for(layer), return_cells=True)
    for t in range(T - 1):
        assert (y.data[t][:, held[0, t]] == y.data[t + 1][:, held[0, t]]).all()
        assert (c.data[t][:, held[1, t]] == c.data[t + 1][:, held[1, t]]).all()


def test_stacks_learned_states_dtypes_and_zoneout():
    owes.check_stack(make)
    owes.check_learned_states(make)
    owes.check_dtypes(make)
    owes.check_zoneout_in_evaluation(make)


def test_description_and_state_dict_give_the_layer_again():
    owes.check_round_trip(make(num_layers=2, bidirectional=True, zoneout_h=0.2, eps=1e-3))
    static = {"zoneout_h": 0.5, "zoneout_masks": "static", "seq_len": T}
    owes.check_round_trip(make(seed=3, **static))  # its masks are saved


def test_cells_are_zero_at_padded_steps():
    _, _, c = make()(draw(1, T, B, D), lengths=LENGTHS, return_cells=True)
    assert (c.data[~VALID] == 0).all()
    assert (c.data[VALID] != 0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size is 0, expected at least 1"),
        ({"hidden_size": 0}, ValueError, "hidden_size is 0, expected at least 1"),
        ({"rng": None}, TypeError, "rng is None, expected a generator"),
        ({"num_layers": 0}, ValueError, "num_layers is 0"),
        ({"p_drop": 0.5}, ValueError, "p_drop is 0.5, but .* num_layers is 1"),
        ({"zoneout_c": 1.5}, ValueError, "zoneout_c is 1.5, expected a number in"),
        ({"zoneout_masks": "static"}, ValueError, "zoneout_masks is 'static' .* leave them out"),
        ({"p_dropconnect": 1.0}, ValueError, "p_dropconnect is 1.0"),
        ({"gain_init": np.nan}, ValueError, "gain_init is nan"),
        ({"forget_init": "one"}, TypeError, "forget_init is 'one', expected a number"),
        ({"eps": 0.0}, ValueError, r"eps is 0.0, expected a number in \(0.0"),
        ({"dtype": np.int64}, TypeError, "dtype is int64"),
        ({"W_init": 0.1}, TypeError, "W_init is 0.1, expected an initializer"),
    ],
)
def test_bad_arguments_are_refused_by_the_layers_name(options, error, message):
    good = {"input_size": D, "hidden_size": H, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=f"^LayerNormLSTM: .*{message}"):
        LayerNormLSTM(**good | options)


def test_bad_input_is_refused_by_the_layers_name():
    x = draw(1, T, B, D)
    for call, message in (
        (lambda l: l(draw(0, T, B, H)), r"x has shape \(4, 3, 5\), .* with D = 2"),
        (lambda l: l(x.astype(np.float32)), "x has dtype float32, expected float64"),
        (lambda l: l(x, lengths=[1, 0, 2]), r"lengths .* expected 3 numbers in \[1, 4\]"),
        (lambda l: l(x, draw(0, 1, B, H)), r"states is a ndarray, expected a tuple \(h, c\)"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^LayerNormLSTM: .*{message}"):
            call(make())
