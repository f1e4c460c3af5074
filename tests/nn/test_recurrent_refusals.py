"""What the recurrent layers refuse, by name."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq import nn

from .layers import LAYERS, LENGTHS, VALID, B, D, H, T, draw, each, make, outputs

X = draw(0, T, B, D)
CONSTRUCTIONS = [
    ({"input_size": 0}, ValueError, "LAYER: input_size is 0, expected at least 1"),
    ({"hidden_size": 0}, ValueError, "LAYER: hidden_size is 0, expected at least 1"),
    ({"hidden_size": 2.0}, TypeError, "LAYER: hidden_size is 2.0, expected a whole number"),
    ({"rng": 3}, TypeError, "LAYER: rng is 3, expected a generator"),
    ({"rng": None}, TypeError, "LAYER: rng is None, expected a generator"),
    ({"num_layers": 0}, ValueError, "LAYER: num_layers is 0, expected at least 1"),
    ({"output": "first"}, ValueError, "LAYER: output is 'first', expected one of 'all', 'last'"),
    ({"bidirectional": True, "reverse": True}, ValueError, "LAYER: both bidirectional and reverse"),
    ({"residual": True}, ValueError, "LAYER: residual is True, but .* num_layers is 1"),
    ({"p_drop": 0.5}, ValueError, "LAYER: p_drop is 0.5, but .* num_layers is 1"),
    (
        {"p_drop": 1.0, "num_layers": 2},
        ValueError,
        r"LAYER: p_drop is 1.0, expected .* \[0.0, 0.99",
    ),
    ({"zoneout_h": 1.5}, ValueError, r"LAYER: zoneout_h is 1.5, expected a number in \[0.0, 1.0\]"),
    ({"zoneout_h": "0.5"}, TypeError, "LAYER: zoneout_h is '0.5', expected a number"),
    ({"zoneout_masks": "static"}, ValueError, "LAYER: zoneout_masks is 'static' .* leave them out"),
    ({"seq_len": 9}, ValueError, "LAYER: zoneout_masks .* seq_len is 9, but zoneout_h.* 0"),
    (
        {"seq_len": 9, "zoneout_h": 0.5},
        ValueError,
        "LAYER: seq_len is 9, but zoneout_masks is 'fresh'; leave it out, or choose zoneout_masks=",
    ),
    (
        {"zoneout_h": 0.5, "zoneout_masks": "static"},
        TypeError,
        "LAYER: zoneout_masks is 'static', but seq_len is None; give seq_len the number of steps",
    ),
    (
        {"zoneout_h": 0.5, "zoneout_masks": "static", "seq_len": 0},
        ValueError,
        "LAYER: seq_len is 0, expected at least 1",
    ),
    ({"zoneout_h": 0.5, "zoneout_masks": "old"}, ValueError, "LAYER: zoneout_masks is 'old'"),
    ({"p_dropconnect": 1.0}, ValueError, "LAYER: p_dropconnect is 1.0, expected a number in"),
    ({"dtype": np.int64}, TypeError, "LAYER: dtype is int64, expected float32 or float64"),
    ({"W_init": None}, TypeError, "LAYER: W_init is None, expected an initializer"),
    ({"W_hh_init": 0.1}, TypeError, "LAYER: W_hh_init is 0.1, expected an initializer"),
    *(
        ({flag: "no"}, TypeError, f"LAYER: {flag} is 'no', expected True or False")
        for flag in ("bidirectional", "reverse", "residual", "learn_states", "bias", "weight_norm")
    ),
    ({"bidirectional": 1}, TypeError, "LAYER: bidirectional is 1, expected True or False"),
]


@each
@pytest.mark.parametrize(("options", "error", "message"), CONSTRUCTIONS)
def test_bad_arguments_are_refused_by_the_layers_name(name, options, error, message):
    sizes = {"input_size": D, "hidden_size": H, "rng": np.random.default_rng(0)}
    who = type(make(name)).__name__
    with pytest.raises(error, match=message.replace("LAYER", f"^{who}")):
        LAYERS[name](**sizes | options)


CALLS = [
    (lambda l: l([[[1.0, 2.0]]]), TypeError, "x is a list, expected an array or a Tensor"),
    (lambda l: l(None), TypeError, "x is a NoneType, expected an array or a Tensor"),
    (lambda l: l(draw(0, B, D)), ValueError, r"x has shape \(3, 2\), expected \(T, B, D\)"),
    (lambda l: l(draw(0, T, B, H)), ValueError, r"x has shape \(4, 3, 5\), .* with D = 2"),
    (lambda l: l(np.ones((T, B, D), int)), TypeError, "x has dtype int64, expected float64"),
    (lambda l: l(np.ones((T, B, D), "f4")), TypeError, "x has dtype float32, expected float64"),
    (lambda l: l(X, lengths=[1, 5, 2]), ValueError, r"lengths .* expected 3 numbers in \[1, 4\]"),
    (lambda l: l(X, lengths=[1, 0, 2]), ValueError, r"lengths .* expected 3 numbers in \[1, 4\]"),
    (lambda l: l(X, lengths=[1, 2]), ValueError, "lengths are .* expected 3 numbers"),
    (lambda l: l(X, lengths=[1.0, 2.0, 3.0]), TypeError, "lengths are float64, expected whole"),
    (lambda l: l(X, lengths=LENGTHS, mask=VALID), ValueError, "both a mask and lengths"),
    (lambda l: l(X, mask=VALID.T), ValueError, r"mask is bool \(3, 4\), expected"),
    (lambda l: l(X, mask=np.where(VALID, 1.0, np.nan)), ValueError, "mask has NaN, expected 0 or"),
    (lambda l: l(X, mask=VALID & [1, 0, 1]), ValueError, r"no step of the sequences \[1\] counts"),
]


@each
@pytest.mark.parametrize(("call", "error", "message"), CALLS)
def test_bad_input_is_refused_by_the_layers_name(name, call, error, message):
    layer = make(name)
    with pytest.raises(error, match=f"{type(layer).__name__}: .*{message}"):
        call(layer)


@each
def test_bad_states_are_refused(name):
    layer, who = make(name, bidirectional=True), type(make(name)).__name__
    letters = list(layer.state_sizes)
    form = "h" if len(letters) == 1 else r"a tuple \(h, c\)"

    def call(*states):
        layer(X, states if len(letters) > 1 else states[0])

    right = [draw(1, 2, B, H) for _ in letters]
    with pytest.raises(ValueError, match=rf"{who}: h of states has shape \(2, 5\), .* \(2, 3, 5\)"):
        call(draw(1, 2, H), *right[1:])
    with pytest.raises(TypeError, match=f"{who}: h of states has dtype float32, expected float64"):
        call(right[0].astype(np.float32), *right[1:])
    with pytest.raises(TypeError, match=f"{who}: h of states is a float, expected an array"):
        call(1.0, *right[1:])
    if len(letters) > 1:
        for wrong in (right[0], right[:1], 1.0):
            with pytest.raises(TypeError, match=f"{who}: states is a .* expected {form}"):
                layer(X, wrong)
    elif name != "lstm":
        with pytest.raises(TypeError, match=f"{who}: h of states is a tuple"):
            layer(X, tuple(right))


@each
def test_cells_are_refused_of_layers_without_them_and_the_last_of_no_steps(name):
    layer = make(name, output="last")
    if name != "lstm":
        with pytest.raises(ValueError, match=r"return_cells is True, but .* no cell state c"):
            layer(X, return_cells=True)
    with pytest.raises(ValueError, match="x has no step, so there is no last one"):
        layer(X[:0])
    y, *finals = outputs(make(name)(X[:0]))
    assert y.shape == (0, B, H)
    assert all((s.data == 0).all() for s in finals)


def test_flags_of_single_layers_are_true_or_false():
    sizes, rng = (D, H), np.random.default_rng(0)
    for cls, flag in (
        (nn.LSTM, "peepholes"),
        (nn.LSTM, "ogate_zoneout"),
        (nn.GRU, "reset_after"),
        (nn.IndRNN, "learn_h0"),
        (nn.IndRNN, "reverse"),
    ):
        message = f"{cls.__name__}: {flag} is 'False', expected True or False"
        with pytest.raises(TypeError, match=message):
            cls(*sizes, rng=rng, **{flag: "False"})
        cls(*sizes, rng=rng, **{flag: np.False_})
    for flag in ("bias", "peepholes", "learn_states"):
        with pytest.raises(TypeError, match=f"ProjectedLSTM: {flag} is 'no', expected True or"):
            nn.ProjectedLSTM(D, H, 3, rng=rng, **{flag: "no"})
    with pytest.raises(TypeError, match="Dropout: shared_over_time is 'no'"):
        nn.Dropout(0.5, shared_over_time="no")


def test_true_is_not_the_first_variant():
    for wrong in (True, "1", 4):
        with pytest.raises(ValueError, match=f"MUT: variant is {wrong!r}, expected one of 1, 2, 3"):
            nn.MUT(D, H, rng=np.random.default_rng(0), variant=wrong)


def test_layers_know_their_hidden_size():
    rng = np.random.default_rng(0)
    assert nn.LayerNormLSTM(D, H, rng=rng).hidden_size == H
    assert nn.LayerNormGRU(D, H, rng=rng).hidden_size == H
    assert nn.BatchNormLSTM(D, H, T, rng=rng).hidden_size == H
