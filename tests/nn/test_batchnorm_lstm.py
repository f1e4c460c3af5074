"""BatchNormLSTM: values, counts, gradients, every option, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck_directional
from nnseq.nn.batchnorm_lstm import BatchNormLSTM

from . import reference_layers as owes
from .batchnorm_lstm_layers import C, W, X, make, statistics, trained
from .functional import as_function
from .layers import B, D, H, T, as_tuple, close, draw, outputs


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_in_training_every_step_is_normalised_with_the_batchs_own_statistics(eps):
    layer = make() if eps == 1e-5 else make(eps=eps)  # the default, and another
    x, h, c = draw(1, T, B, D), draw(2, B, H), draw(3, B, H)
    y, (h_T, c_T), cells = layer(x, (h[None], c[None]), return_cells=True)
    d, mean, var = layer.directions[0], np.empty((T, 9 * H)), np.empty((T, 9 * H))
    products = [(d.gamma_x.data, X), (d.gamma_h.data, W)]
    for t in range(T):
        q = d.b.data
        for s, (gamma, columns) in zip(
            (x[t] @ d.W_ih.data, h @ d.W_hh.data), products, strict=True
        ):
            mean[t, columns], var[t, columns] = s.mean(axis=0), s.var(axis=0)
            q = q + gamma * (s - s.mean(axis=0)) / np.sqrt(s.var(axis=0) + eps)
        i, f, g, o = np.split(q, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        mean[t, C], var[t, C] = c.mean(axis=0), c.var(axis=0)
        shown = d.gamma_c.data * (c - c.mean(axis=0)) / np.sqrt(c.var(axis=0) + eps)
        h = sigmoid(o) * np.tanh(shown + d.beta_c.data)
        close(y.data[t], h)
        close(cells.data[t], c)
    close(h_T.data[0], h)
    close(c_T.data[0], c)
    close(d.running_mean, mean)  # of the first batch, as they are
    close(d.running_var, var)


def test_initial_values():
    options = {"rng": np.random.default_rng(0), "dtype": np.float64}
    d = BatchNormLSTM(D, H, T, **options).directions[0]
    for gamma in (d.gamma_x, d.gamma_h, d.gamma_c):
        np.testing.assert_array_equal(gamma.data, 0.1)
    np.testing.assert_array_equal(d.b.data, np.repeat([0.0, 1.0, 0.0, 0.0], H))
    assert not d.beta_c.data.any()
    d = BatchNormLSTM(D, H, T, gamma_init=0.7, forget_init=-2.0, **options).directions[0]
    for gamma in (d.gamma_x, d.gamma_h, d.gamma_c):
        np.testing.assert_array_equal(gamma.data, 0.7)
    np.testing.assert_array_equal(d.b.data, np.repeat([0.0, -2.0, 0.0, 0.0], H))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 210),  # 4·5 (2 + 5) + 3 (4·5) + 2·5
        ({"num_steps": 9}, 210),
        ({"learn_states": True}, 220),
        ({"bidirectional": True}, 420),
        ({"num_layers": 2}, 480),  # and 4·5 (5 + 5) + 3 (4·5) + 2·5
    ],
)
def test_parameters_are_counted_and_running_statistics_are_not(options, count):
    assert make(**options).num_parameters() == count


# ---- gradients and options ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"learn_states": True},
        {"reverse": True, "zoneout_h": 0.3, "zoneout_c": 0.4, "zoneout_masks": "shared"},
        {"reverse": True, "zoneout_h": 0.4, "zoneout_masks": "static", "seq_len": T},
        {"output": "last", "initial_noise": 0.5},
    ],
)
@pytest.mark.parametrize("is_training", [True, False])
def test_gradients_of_every_parameter_input_and_state(options, is_training):
    layer = make(hidden_size=2, eps=0.1, **options)
    layer = layer if is_training else trained(layer)
    owes.check_gradients(layer, states="learn_states" not in options)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(1, 3), st.integers(1, 3)),
    num_layers=st.integers(1, 2), is_training=st.booleans(), is_padded=st.booleans(),
    directions=st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]),
    masks=st.sampled_from([None, "fresh", "shared", "static"]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_under_any_options(
    sizes, num_layers, is_training, is_padded, directions, masks, seed
):
    T, B, D, H = sizes
    rng = np.random.default_rng(seed)
    options = {"num_layers": num_layers, "eps": 0.1, "num_steps": 2, **directions}
    if masks:
        options |= {"zoneout_h": 0.3, "zoneout_c": 0.3, "zoneout_masks": masks}
        options |= {"seq_len": 3, "p_dropconnect": 0.3} if masks == "static" else {}
    layer = make(seed, D, H, **options)
    layer = layer if is_training else trained(layer, steps=3)
    pads = {}
    if is_padded:
        pads["mask"] = rng.random((T, B)) < 0.6
        pads["mask"][0, :2] = True  # a step with more than one sequence
        pads["mask"][rng.integers(T, size=B), range(B)] = True
    f, parameters = as_function(
        layer, lambda l, x: outputs(l(x, rng=np.random.default_rng(1), **pads))
    )
    gradcheck_directional(f, *parameters, rng.normal(size=(T, B, D)), rng=rng, atol=1e-6)


OPTIONS = [
    {},
    {"eps": 0.5},
    {"zoneout_h": 0.5},
    {"zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "shared"},
    {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "static", "seq_len": T},
    {"p_dropconnect": 0.5},
    {"initial_noise": 0.5},
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


STATIC = {"zoneout_h": 0.5, "zoneout_c": 0.3, "zoneout_masks": "static", "seq_len": T}


@pytest.mark.parametrize("options", [{}, STATIC])
def test_padding(options):
    layer = make(num_layers=2, bidirectional=True, **options)
    owes.check_garbage(layer)
    trained(layer)
    owes.check_lengths(layer)
    if not options:  # a static mask belongs to steps of the sequence, padded or not
        owes.check_gap(layer)


def test_states_carried_in_evaluation_continue_with_statistics_of_the_first_steps():
    layer, x = trained(make()), draw(1, T, B, D)
    start = owes.starts_for(layer)
    once, again = layer(x, start)[0].data, layer(x, start)[0].data
    np.testing.assert_array_equal(once, again)
    first, states = layer(x[:2], start)
    close(first.data, once[:2])
    second, _ = layer(x[2:], states)
    assert np.abs(second.data - once[2:]).max() > 1e-3  # rows 0 and 1, not 2 and 3


def test_stacks_learned_states_dtypes_and_zoneout():
    owes.check_stack(make)
    owes.check_learned_states(make)
    owes.check_dtypes(make)
    owes.check_zoneout_in_evaluation(make)


def test_description_and_state_dict_give_the_layer_again_with_its_statistics():
    layer = make(num_layers=2, bidirectional=True, momentum=0.3, initial_noise=0.1)
    trained(layer, steps=3)
    owes.check_round_trip(layer)
    state = layer.state_dict()
    assert state["directions.3.trained_steps"].tolist() == [3]
    assert state["directions.3.running_var"].shape == (T, 9 * H)
    again = make(num_layers=2, bidirectional=True, seed=5)
    again.load_state_dict(state)
    x = draw(1, 6, B, D)
    for a, b in zip(outputs(again.eval()(x)), outputs(layer.eval()(x)), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    with pytest.raises(ValueError, match=r"misshapen: directions\.0\.running_mean"):
        make(num_layers=2, bidirectional=True, num_steps=9).load_state_dict(state)


def test_float32_statistics_stay_float32():
    layer = make(dtype=np.float32)
    for k in range(2):
        y, states = layer(draw(k, T, B, D).astype(np.float32))
    assert {y.dtype, *(s.dtype for s in as_tuple(states))} == {np.dtype(np.float32)}
    d = layer.directions[0]
    assert (d.running_mean.dtype, d.running_var.dtype) == (np.float32, np.float32)
    assert layer.astype(np.float64).directions[0].running_mean.dtype == np.float64
    assert layer.directions[0].trained_steps.dtype == np.int64


# ---- refusals ----------------------------------------------------------------------------------


def test_training_on_single_sequences_is_refused_and_evaluation_is_not():
    layer = make()
    message = r"^BatchNormLSTM: in training a step's averages need more than one sequence, but got"
    with pytest.raises(ValueError, match=message):
        layer(draw(1, T, 1, D))
    with pytest.raises(ValueError, match=message):  # no two sequences at any step of their own
        layer(draw(1, T, 1, D), lengths=[3])
    assert statistics(layer)[2] == 0
    assert np.isfinite(layer.eval()(draw(1, T, 1, D))[0].data).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size is 0, expected at least 1"),
        ({"hidden_size": 0}, ValueError, "hidden_size is 0, expected at least 1"),
        ({"num_steps": 0}, ValueError, "num_steps is 0, expected at least 1"),
        ({"num_steps": 2.0}, TypeError, "num_steps is 2.0, expected a whole number"),
        ({"rng": None}, TypeError, "rng is None, expected a generator"),
        ({"num_layers": 0}, ValueError, "num_layers is 0"),
        ({"p_drop": 0.5}, ValueError, "p_drop is 0.5, but .* num_layers is 1"),
        ({"momentum": 1.5}, ValueError, r"momentum is 1.5, expected a number in \[0.0, 1.0\]"),
        ({"zoneout_c": 1.5}, ValueError, "zoneout_c is 1.5, expected a number in"),
        ({"zoneout_masks": "static"}, ValueError, "zoneout_masks is 'static' .* leave them out"),
        ({"p_dropconnect": 1.0}, ValueError, "p_dropconnect is 1.0"),
        ({"gamma_init": np.nan}, ValueError, "gamma_init is nan"),
        ({"forget_init": "one"}, TypeError, "forget_init is 'one', expected a number"),
        ({"initial_noise": -0.1}, ValueError, "initial_noise is -0.1"),
        ({"eps": 0.0}, ValueError, r"eps is 0.0, expected a number in \(0.0"),
        ({"dtype": np.int64}, TypeError, "dtype is int64"),
        ({"W_hh_init": None}, TypeError, "W_hh_init is None, expected an initializer"),
    ],
)
def test_bad_arguments_are_refused_by_the_layers_name(options, error, message):
    good = {"input_size": D, "hidden_size": H, "num_steps": T, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=f"^BatchNormLSTM: .*{message}"):
        BatchNormLSTM(**good | options)


def test_bad_input_is_refused_by_the_layers_name():
    x = draw(1, T, B, D)
    for call, message in (
        (lambda l: l(draw(0, T, B, H)), r"x has shape \(4, 3, 5\), .* with D = 2"),
        (lambda l: l(x.astype(np.float32)), "x has dtype float32, expected float64"),
        (lambda l: l(x, lengths=[1, 0, 2]), r"lengths .* expected 3 numbers in \[1, 4\]"),
        (lambda l: l(x, draw(0, 1, B, H)), r"states is a ndarray, expected a tuple \(h, c\)"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^BatchNormLSTM: .*{message}"):
            call(make())
