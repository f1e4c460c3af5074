"""ProjectedLSTM: values, widths, options, PyTorch, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck_directional
from nnseq.nn.dropconnect import DropConnect
from nnseq.nn.projected_lstm import ProjectedLSTM
from nnseq.tensor import Tensor, grad

from . import reference_layers as owes
from .functional import as_function
from .layers import LENGTHS, VALID, B, D, H, T, as_tuple, close, draw, outputs, randomise

P = 4


def make(seed=0, input_size=D, hidden_size=H, proj_size=P, **options):
    rng = np.random.default_rng(seed)
    options = {"dtype": np.float64} | options
    layer = ProjectedLSTM(input_size, hidden_size, proj_size, rng=rng, **options)
    randomise(layer, rng)
    return layer


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


@pytest.mark.parametrize("forget_bias", [1.0, -0.5])
def test_the_output_is_projected_and_recurs(forget_bias):
    options = {} if forget_bias == 1.0 else {"forget_bias": forget_bias}  # 1 is the default
    layer = make(peepholes=True, **options)
    x, h, c = draw(1, T, B, D), draw(2, B, P), draw(3, B, H)
    y, (h_T, c_T), cells = layer(x, (h[None], c[None]), return_cells=True)
    direction = layer.directions[0]
    W_ih, W_hh, b, W_hr, p = (
        getattr(direction, name).data for name in ("W_ih", "W_hh", "b", "W_hr", "p")
    )
    for t in range(T):
        i, f, g, o = np.split(x[t] @ W_ih + h @ W_hh + b, 4, axis=1)
        c = sigmoid(f + forget_bias + p[1] * c) * c + sigmoid(i + p[0] * c) * np.tanh(g)
        h = (sigmoid(o + p[2] * c) * np.tanh(c)) @ W_hr
        close(y.data[t], h)
        close(cells.data[t], c)
    close(h_T.data[0], h)
    close(c_T.data[0], c)


def test_y_and_h_are_p_wide_and_c_is_h_wide():
    layer = make(num_layers=2, bidirectional=True)
    y, (h, c), cells = layer(draw(1, T, B, D), lengths=LENGTHS, return_cells=True)
    assert (y.shape, h.shape, c.shape) == ((T, B, 2 * P), (4, B, P), (4, B, H))
    assert cells.shape == (T, B, 2 * H)
    assert (cells.data[~VALID] == 0).all()
    assert [d.input_size for d in layer.directions] == [D, D, 2 * P, 2 * P]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 160),  # 4·5 (2 + 4 + 1) + 5·4
        ({"bias": False}, 140),
        ({"peepholes": True}, 175),
        ({"learn_states": True}, 169),
        ({"bidirectional": True}, 320),
        ({"num_layers": 2}, 360),  # 4·5 (4 + 4 + 1) + 5·4
    ],
)
def test_parameters_are_counted(options, count):
    assert make(**options).num_parameters() == count


def test_initial_values():
    layer = ProjectedLSTM(D, H, P, rng=np.random.default_rng(0), peepholes=True, dtype=np.float64)
    direction = layer.directions[0]
    assert not direction.b.data.any()
    assert not direction.p.data.any()
    for k in range(4):  # the block of a gate has orthonormal rows
        block = direction.W_hh.data[:, k * H : (k + 1) * H]
        np.testing.assert_allclose(block @ block.T, np.eye(P), atol=1e-12)
    bound = np.sqrt(6 / (H + P))
    assert 0.5 * bound < np.abs(direction.W_hr.data).max() <= bound


OPTIONS = [
    {},
    {"peepholes": True},
    {"cell_clip": 0.1},
    {"proj_clip": 0.1},
    {"forget_bias": 0.0},
    {"zoneout_h": 0.5},
    {"zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_masks": "static", "seq_len": T},
    {"p_dropconnect": 0.5},
    {"weight_norm": True},
    {"bias": False},
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
        {"learn_states": True, "bias": False},
        {"reverse": True, "peepholes": True, "zoneout_h": 0.3, "zoneout_c": 0.4, "cell_clip": 2.0},
        {"output": "last", "proj_clip": 3.0},
    ],
)
def test_gradients_of_every_parameter_input_and_state(options):
    layer = make(hidden_size=3, proj_size=2, **options)
    owes.check_gradients(layer, states="learn_states" not in options)


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 5), num_layers=st.integers(1, 2),
    directions=st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]),
    is_padded=st.booleans(), zoneout=st.sampled_from([None, "fresh", "static"]),
    peepholes=st.booleans(), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_under_any_options(
    sizes, num_layers, directions, is_padded, zoneout, peepholes, seed
):
    T, B, D, H, P = sizes
    rng = np.random.default_rng(seed)
    options = {"num_layers": num_layers, "peepholes": peepholes, **directions}
    if zoneout:
        options |= {"zoneout_h": 0.3, "zoneout_c": 0.3, "zoneout_masks": zoneout}
        options |= {"p_dropconnect": 0.3, "weight_norm": True}
        options |= {"seq_len": T} if zoneout == "static" else {}
    layer = make(seed, D, H, P, **options)
    lengths = rng.integers(1, T + 1, B) if is_padded else None
    f, parameters = as_function(
        layer, lambda l, x: outputs(l(x, lengths=lengths, rng=np.random.default_rng(1)))
    )
    gradcheck_directional(f, *parameters, rng.normal(size=(T, B, D)), rng=rng, atol=1e-6)


def test_static_masks_are_p_and_h_wide_and_belong_to_the_steps_in_either_direction():
    options = {"zoneout_h": 0.5, "zoneout_c": 0.4, "zoneout_masks": "static", "seq_len": T + 2}
    for reverse in (False, True):
        layer, x = make(reverse=reverse, **options), draw(1, T, B, D)
        d = layer.directions[0]
        held_h, held_c = d.zoneout.held[0, :, :P], d.zoneout.held[1]
        W_ih, W_hh, b, W_hr = (getattr(d, name).data for name in ("W_ih", "W_hh", "b", "W_hr"))
        h, c, ys = np.zeros((B, P)), np.zeros((B, H)), np.zeros((T, B, P))
        for t in range(T)[::-1] if reverse else range(T):
            i, f, g, o = np.split(x[t] @ W_ih + h @ W_hh + b, 4, axis=1)
            c_new = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = np.where(held_h[t], h, (sigmoid(o) * np.tanh(c_new)) @ W_hr)
            c = np.where(held_c[t], c, c_new)
            ys[t] = h
        close(layer(x)[0].data, ys)
        close(layer.eval()(x)[0].data, ys)


def test_weight_norm_and_dropconnect_act_on_the_recurrent_matrix():
    x, layer, plain = draw(1, T, B, D), make(weight_norm=True), make()
    d = layer.directions[0]
    for name, norm in (("W_ih", d.norm_ih), ("W_hh", d.norm_hh)):
        W = getattr(d, name).data
        getattr(plain.directions[0], name).data[:] = W * norm.g.data / np.sqrt((W**2).sum(axis=0))
    for name in ("b", "W_hr"):
        getattr(plain.directions[0], name).data[:] = getattr(d, name).data
    close(layer(x)[0].data, plain(x)[0].data)
    dropped, plain = make(p_dropconnect=0.5), make()
    y = dropped(x, rng=np.random.default_rng(3))[0].data
    W = plain.directions[0].W_hh
    W.data[:] = DropConnect(0.5)(W.data, np.random.default_rng(3))
    assert (W.data == 0).any()
    close(y, plain(x)[0].data)


def test_padding():
    layer = make(num_layers=2, bidirectional=True)
    owes.check_lengths(layer)
    owes.check_gap(layer)
    owes.check_garbage(layer)


def test_stacks_learned_states_dtypes_and_zoneout():
    owes.check_stack(make)
    owes.check_learned_states(make)
    owes.check_dtypes(make)
    owes.check_zoneout_in_evaluation(make)


def test_description_and_state_dict_give_the_layer_again():
    owes.check_round_trip(make(num_layers=2, bidirectional=True, peepholes=True, zoneout_h=0.2))


def test_p_of_zoneout_one_keeps_the_states():
    x, start = draw(1, T, B, D), owes.starts_for(make())
    layer = make(zoneout_h=1.0, zoneout_c=1.0)
    _, states = layer(x, start, rng=np.random.default_rng(0))
    for found, right in zip(as_tuple(states), start, strict=True):
        np.testing.assert_array_equal(found.data, right)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_is_pytorchs_lstm_with_proj_size(lengths):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    layer = make(num_layers=2, bidirectional=True, forget_bias=0.0)
    theirs = torch.nn.LSTM(D, H, 2, bidirectional=True, proj_size=P).double()
    weights = {}
    for k, d in enumerate(layer.directions):
        end = f"l{k // 2}" + "_reverse" * (k % 2)
        arrays = {
            "weight_ih": d.W_ih.data.T,
            "weight_hh": d.W_hh.data.T,
            "weight_hr": d.W_hr.data.T,
        }
        arrays |= {"bias_ih": d.b.data, "bias_hh": 0 * d.b.data}
        weights |= {f"{name}_{end}": torch.tensor(w.copy()) for name, w in arrays.items()}
    theirs.load_state_dict(weights)
    x, start = draw(1, T, B, D), owes.starts_for(layer)
    ours = [Tensor(a, True) for a in (x, *start)]
    qs = [torch.tensor(a, requires_grad=True) for a in (x, *start)]
    y, (h, c) = layer(ours[0], tuple(ours[1:]), lengths=lengths)
    if lengths is None:
        y_q, (h_q, c_q) = theirs(qs[0], tuple(qs[1:]))
    else:
        pack = torch.nn.utils.rnn
        packed = pack.pack_padded_sequence(qs[0], torch.tensor(lengths), enforce_sorted=False)
        y_q, (h_q, c_q) = theirs(packed, tuple(qs[1:]))
        y_q, _ = pack.pad_packed_sequence(y_q, total_length=T)
    dys = [draw(20 + k, *s.shape) for k, s in enumerate((y, h, c))]
    own = [*ours, *layer.parameters()]
    names = {id(p): n for n, p in layer.named_parameters()}
    dxs = grad([y, h, c], own, dys)
    parameters = dict(theirs.named_parameters())
    dqs = torch.autograd.grad(
        [y_q, h_q, c_q], [*qs, *parameters.values()], [torch.tensor(dy) for dy in dys]
    )
    for mine, other in zip((y, h, c, *dxs[:3]), (y_q, h_q, c_q, *dqs[:3]), strict=True):
        mine = mine.data if isinstance(mine, Tensor) else mine
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=0, atol=1e-10)
    theirs_by_name = dict(zip(parameters, dqs[3:], strict=True))
    torch_names = {"W_ih": "weight_ih", "W_hh": "weight_hh", "W_hr": "weight_hr", "b": "bias_ih"}
    for parameter, dx in zip(own[3:], dxs[3:], strict=True):
        _, k, name = names[id(parameter)].split(".")
        end = f"l{int(k) // 2}" + "_reverse" * (int(k) % 2)
        right = theirs_by_name[f"{torch_names[name]}_{end}"].numpy().T
        np.testing.assert_allclose(dx, right, rtol=0, atol=1e-10, err_msg=names[id(parameter)])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size is 0, expected at least 1"),
        ({"hidden_size": 0}, ValueError, "hidden_size is 0, expected at least 1"),
        ({"proj_size": 0}, ValueError, "proj_size is 0, expected at least 1"),
        ({"proj_size": 2.5}, TypeError, "proj_size is 2.5, expected a whole number"),
        ({"rng": 3}, TypeError, "rng is 3, expected a generator"),
        ({"num_layers": 0}, ValueError, "num_layers is 0"),
        ({"residual": True}, ValueError, "residual is True, but .* num_layers is 1"),
        ({"bidirectional": True, "reverse": True}, ValueError, "both bidirectional and reverse"),
        ({"output": "first"}, ValueError, "output is 'first', expected one of"),
        ({"zoneout_h": 1.5}, ValueError, "zoneout_h is 1.5, expected a number in"),
        ({"zoneout_c": "0.5"}, TypeError, "zoneout_c is '0.5', expected a number"),
        ({"forget_bias": np.nan}, ValueError, "forget_bias is nan"),
        ({"cell_clip": -1.0}, ValueError, "cell_clip is -1.0"),
        ({"proj_clip": np.inf}, ValueError, "proj_clip is inf"),
        ({"dtype": np.int64}, TypeError, "dtype is int64"),
        ({"W_hr_init": 0.1}, TypeError, "W_hr_init is 0.1, expected an initializer"),
        ({"W_hh_init": 0.1}, TypeError, "W_hh_init is 0.1, expected an initializer"),
        ({"p_dropconnect": 1.0}, ValueError, "p_dropconnect is 1.0, expected a number in"),
        (
            {"zoneout_h": 0.5, "zoneout_masks": "shared"},
            ValueError,
            r"zoneout_masks is 'shared', but the states are \(4, 5\) wide",
        ),
        ({"zoneout_h": 0.5, "zoneout_masks": "static"}, TypeError, "seq_len is None; give seq_len"),
    ],
)
def test_bad_arguments_are_refused_by_the_layers_name(options, error, message):
    good = {"input_size": D, "hidden_size": H, "proj_size": P, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=f"^ProjectedLSTM: .*{message}"):
        ProjectedLSTM(**good | options)


def test_bad_input_is_refused_by_the_layers_name():
    x = draw(1, T, B, D)
    for call, message in (
        (lambda l: l(draw(0, T, B, H)), r"x has shape \(4, 3, 5\), .* with D = 2"),
        (lambda l: l(x.astype(np.float32)), "x has dtype float32, expected float64"),
        (lambda l: l(x, lengths=[1, 5, 2]), r"lengths .* expected 3 numbers in \[1, 4\]"),
        (lambda l: l(x, (draw(0, 1, B, H), draw(0, 1, B, H))), r"h of states .* = \(1, 3, 4\)"),
        (lambda l: l(x, (draw(0, 1, B, P), draw(0, 1, B, P))), r"c of states .* = \(1, 3, 5\)"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^ProjectedLSTM: .*{message}"):
            call(make())
    with pytest.raises(TypeError, match=r"Zoneout in training \(eval\(\) turns it off\): rng is"):
        make(zoneout_h=0.5)(x)
