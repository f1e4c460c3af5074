"""What every recurrent layer owes: stacking, directions, padding, states, outputs, refusals."""

from __future__ import annotations

import importlib
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import nn
from nnseq.cells.elman import elman
from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.nn.recurrent import Direction, Recurrent
from nnseq.ops.linear import linear
from nnseq.tensor import Tensor, grad, no_grad

from .functional import as_function
from .layers import (
    LAYERS,
    LENGTHS,
    VALID,
    B,
    D,
    H,
    T,
    backwards,
    draw,
    make,
    outputs,
    parts_of,
    randomise,
)

each = pytest.mark.parametrize("name", LAYERS)


def starts(layer, seed=9, batch=B):
    """A random initial state of the form that the layer takes."""
    number = len(layer.directions)
    states = tuple(draw(seed + k, number, batch, H) for k in range(len(layer.state_sizes)))
    return states if len(states) > 1 else states[0]


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


# ---- directions and layers ---------------------------------------------------------------------


@each
def test_the_reverse_direction_reads_every_sequence_from_its_own_end(name):
    x, layer = draw(1, T, B, D), make(name, reverse=True)
    (part,) = parts_of(name, layer)
    start = starts(layer)
    y, *finals = outputs(layer(x, start, lengths=LENGTHS))
    expected, last = backwards(part, x, as_tuple(start), LENGTHS)
    close(y.data, expected)
    for found, right in zip(finals, last, strict=True):
        close(found.data, right)


@each
def test_two_bidirectional_layers_are_four_directions_by_hand(name):
    x, layer = draw(1, T, B, D), make(name, num_layers=2, bidirectional=True)
    start, parts = starts(layer), parts_of(name, layer)
    y, *finals = outputs(layer(x, start, lengths=LENGTHS))
    u, last = x, []
    for k in (0, 2):
        own = [tuple(s[k + d : k + d + 1] for s in as_tuple(start)) for d in (0, 1)]
        begin = own[0] if len(own[0]) > 1 else own[0][0]
        ahead, *ends = outputs(parts[k](u, begin, lengths=LENGTHS))
        back, back_ends = backwards(parts[k + 1], u, own[1], LENGTHS)
        u = np.concatenate([ahead.data, back], axis=2)
        last += [[end.data for end in ends], back_ends]
    close(y.data, u)
    for found, *right in zip(finals, *last, strict=True):
        assert found.shape == (4, B, H)
        close(found.data, np.concatenate(right))


@each
def test_sequences_of_different_lengths_are_the_single_sequences(name):
    x, layer = draw(1, T, B, D), make(name, num_layers=2, bidirectional=True)
    y, *finals = outputs(layer(x, lengths=LENGTHS))
    by_mask = outputs(layer(x, mask=VALID))
    for found, same in zip((y, *finals), by_mask, strict=True):
        np.testing.assert_array_equal(found.data, same.data)
    for b, n in enumerate(LENGTHS):
        alone, *ends = outputs(layer(x[:n, b : b + 1]))
        close(y.data[:n, b], alone.data[:, 0])
        assert (y.data[n:, b] == 0).all()
        for found, end in zip(finals, ends, strict=True):
            close(found.data[:, b], end.data[:, 0])


@each
def test_steps_in_a_gap_of_the_mask_are_skipped(name):
    x, layer = draw(1, T, 1, D), make(name, num_layers=2, bidirectional=True)
    mask = np.array([[1], [0], [1], [1]])
    y, *finals = outputs(layer(x, mask=mask))
    short, *ends = outputs(layer(x[[0, 2, 3]]))
    close(y.data[[0, 2, 3]], short.data)
    assert (y.data[1] == 0).all()
    for found, end in zip(finals, ends, strict=True):
        close(found.data, end.data)


@each
@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e300])
def test_garbage_in_padded_steps_changes_nothing(name, garbage):
    layer = make(name, num_layers=2, bidirectional=True, learn_states=True)
    clean = np.where(VALID[..., None], draw(1, T, B, D), 0.0)
    found = []
    for x in (clean, np.where(VALID[..., None], clean, garbage)):
        x = Tensor(x, True)
        ys = outputs(layer(x, lengths=LENGTHS))
        dys = [draw(3 + k, *y.shape) for k, y in enumerate(ys)]
        found.append([y.data for y in ys] + list(grad(ys, [x, *layer.parameters()], dys)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    dx = found[0][len(ys)]
    assert (dx[~VALID] == 0).all()
    assert (dx[VALID] != 0).all()


@each
def test_two_calls_with_the_states_carried_are_one_call(name):
    x, layer = draw(1, T, B, D), make(name, num_layers=2)
    whole, *last = outputs(layer(x))
    first, states = layer(x[:3])
    second, *ends = outputs(layer(x[3:], states))
    close(np.concatenate([first.data, second.data]), whole.data)
    for found, end in zip(ends, last, strict=True):
        close(found.data, end.data)


@each
def test_states_are_zero_unless_given_or_learned(name):
    x, layer = draw(1, T, B, D), make(name, bidirectional=True)
    y = layer(x)[0].data
    zeros = tuple(np.zeros_like(s) for s in as_tuple(starts(layer)))
    np.testing.assert_array_equal(layer(x, zeros if len(zeros) > 1 else zeros[0])[0].data, y)
    assert (layer(x, starts(layer))[0].data != y).any()
    learned = LAYERS[name](D, H, rng=np.random.default_rng(0), learn_states=True)
    own = {n: p for n, p in learned.named_parameters() if n.endswith("0")}
    letters = "hc" if name == "lstm" else "h"
    assert list(own) == [f"directions.0.{letter}0" for letter in letters]
    assert all((p.data == 0).all() and p.shape == (H,) for p in own.values())


@each
def test_a_learned_initial_state_has_the_gradients_of_all_sequences(name):
    layer = make(name, bidirectional=True, learn_states=True)
    x, letters = draw(1, T, B, D), list(layer.state_sizes)
    learned = [[getattr(d, f"{s}0") for d in layer.directions] for s in letters]
    tiled = [Tensor(np.stack([np.tile(p.data, (B, 1)) for p in row]), True) for row in learned]
    y, y_given = layer(x)[0], layer(x, tuple(tiled) if len(tiled) > 1 else tiled[0])[0]
    close(y.data, y_given.data)
    dy = draw(2, *y.shape)
    given = grad(y_given, tiled, dy)
    found = grad(y, [p for row in learned for p in row], dy)
    close(np.stack(found).reshape(len(letters), 2, H), np.stack([g.sum(axis=1) for g in given]))


@each
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_residual_layers_add_what_they_were_given_from_the_second_on(name, lengths):
    layer, x = make(name, num_layers=3, residual=True), draw(1, T, B, D)
    first, second, third = parts_of(name, layer)
    y0 = first(x, lengths=lengths)[0].data
    y1 = second(y0, lengths=lengths)[0].data + y0
    y2 = third(y1, lengths=lengths)[0].data + y1
    close(layer(x, lengths=lengths)[0].data, y2)


@each
@pytest.mark.parametrize("options", [{"bidirectional": True}, {"reverse": True}, {}])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_last_output_is_each_directions_own_last_step(name, options, residual, lengths):
    options = options | {"num_layers": 2, "residual": residual}
    x, every, last = draw(1, T, B, D), make(name, **options), make(name, output="last", **options)
    y, *finals = outputs(every(x, lengths=lengths))
    found, *same = outputs(last(x, lengths=lengths))
    ends = [n - 1 for n in lengths or [T] * B]
    parts = y.data[ends, range(B)], y.data[0]
    if "bidirectional" in options:
        expected = np.concatenate([parts[0][:, :H], parts[1][:, H:]], axis=1)
    else:
        expected = parts["reverse" in options]
    assert found.shape == (B, every.output_size)
    close(found.data, expected)
    for a, b in zip(same, finals, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@each
def test_dropout_between_layers_has_one_mask_for_all_steps(name):
    x, options = draw(1, T, B, D), {"num_layers": 2, "residual": True}
    layer = make(name, p_drop=0.5, **options)
    first, second = parts_of(name, layer)
    y = layer(x, rng=np.random.default_rng(5))[0].data
    mask = nn.Dropout(0.5, shared_over_time=True)(np.ones((T, B, H)), np.random.default_rng(5))
    assert set(np.unique(mask)) == {0, 2}
    assert (mask == mask[0]).all()
    y0 = first(x)[0].data
    close(y, second(y0 * mask)[0].data + y0)
    np.testing.assert_array_equal(layer.eval()(x)[0].data, make(name, **options)(x)[0].data)


# ---- memory ------------------------------------------------------------------------------------


@each
def test_pre_activations_are_gone_once_the_cell_ran(name, monkeypatch):
    layer, made = make(name), []
    module = importlib.import_module(type(layer).__module__)

    def watched(*arguments):
        a = linear(*arguments)
        made.append(weakref.ref(a.data))
        return a

    monkeypatch.setattr(module, "linear", watched)
    y, _ = layer(draw(1, T, B, D))
    assert made[-1]() is None
    assert y.op is not None


@each
def test_one_direction_without_padding_hands_out_what_the_cell_returned(name):
    y, _ = make(name)(draw(1, T, B, D))
    assert y.op.name in ("elman", "lstm", "gru", "gru_before", "mut1", "mut2", "mut3")
    y, _ = make(name)(draw(1, T, B, D), lengths=LENGTHS)
    assert y.op.name == "where"


@each
def test_without_gradients_only_the_results_stay(name):
    layer = make(name, num_layers=2)
    with no_grad():
        y, states = layer(draw(1, T, B, D))
    assert not any(s.requires_grad for s in (y, *as_tuple(states)))


# ---- gradients ---------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("options", [{}, {"reverse": True, "learn_states": True, "bias": False}])
def test_gradients_of_every_parameter_and_the_input(name, options):
    layer = make(name, hidden_size=3, **options)
    f, parameters = as_function(layer, lambda layer, x: outputs(layer(x, lengths=LENGTHS)))
    gradcheck(f, *parameters, draw(6, T, B, D), rng=np.random.default_rng(7))


@given(
    name=st.sampled_from([n for n in LAYERS if n != "rnn relu"]),
    sizes=st.tuples(*[st.integers(1, 3)] * 4), num_layers=st.integers(1, 2),
    directions=st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]),
    bias=st.booleans(), learn_states=st.booleans(), weight_norm=st.booleans(),
    residual=st.booleans(), output=st.sampled_from(["all", "last"]),
    padding=st.sampled_from([None, "lengths", "mask"]), random=st.booleans(),
    masks=st.sampled_from(["fresh", "static"]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_under_any_options(
    name, sizes, num_layers, directions, bias, learn_states, weight_norm, residual, output,
    padding, random, masks, seed,
):  # fmt: skip
    T, B, D, H = sizes
    rng = np.random.default_rng(seed)
    options = directions | {"bias": bias, "learn_states": learn_states, "output": output}
    options |= {"weight_norm": weight_norm, "num_layers": num_layers}
    if num_layers > 1:
        options |= {"residual": residual, "p_drop": 0.3 * random}
    if random:
        options |= {"zoneout_h": 0.3, "p_dropconnect": 0.3, "zoneout_masks": masks}
        options |= {"seq_len": T} if masks == "static" else {}
    layer = make(name, seed, D, H, **options)
    pads = {"lengths": rng.integers(1, T + 1, B)} if padding == "lengths" else {}
    if padding == "mask":
        pads["mask"] = rng.random((T, B)) < 0.5
        pads["mask"][rng.integers(T, size=B), range(B)] = True
    has_given_states = not learn_states

    def call(layer, x, *states):
        begin = (states if len(states) > 1 else states[0]) if states else None
        return outputs(layer(x, begin, rng=np.random.default_rng(1), **pads))

    f, parameters = as_function(layer, call)
    shape = (len(layer.directions), B, H)
    given_states = [rng.normal(size=shape) for _ in layer.state_sizes] if has_given_states else []
    inputs = [*parameters, rng.normal(size=(T, B, D)), *given_states]
    gradcheck_directional(f, *inputs, rng=rng, atol=1e-6)


@given(
    name=st.sampled_from(list(LAYERS)), sizes=st.tuples(*[st.integers(1, 4)] * 4),
    directions=st.sampled_from([{}, {"reverse": True}, {"bidirectional": True}]),
    num_layers=st.integers(1, 3), dtype=st.sampled_from([np.float32, np.float64]),
    is_strided=st.booleans(), is_padded=st.booleans(),
)  # fmt: skip
def test_shapes_dtypes_and_layouts(
    name, sizes, directions, num_layers, dtype, is_strided, is_padded
):
    T, B, D, H = sizes
    layer = make(name, 0, D, H, num_layers=num_layers, dtype=dtype, **directions)
    wide = draw(1, T, B, 2 * D).astype(dtype)
    x = wide[..., ::2] if is_strided else wide[..., ::2].copy()
    lengths = np.random.default_rng(0).integers(1, T + 1, B) if is_padded else None
    y, *finals = outputs(layer(x, lengths=lengths))
    N = layer.num_directions
    assert (y.shape, y.dtype) == ((T, B, N * H), dtype)
    assert all((s.shape, s.dtype) == ((num_layers * N, B, H), dtype) for s in finals)
    assert layer.output_size == N * H
    exact = layer.astype(np.float64)(x.astype(np.float64), lengths=lengths)[0].data
    np.testing.assert_allclose(y.data, exact, atol=2e-5 if dtype == np.float32 else 1e-13)
    if directions != {"bidirectional": True} and not is_padded:
        np.testing.assert_array_equal(y.data[0 if directions else -1], finals[0].data[-1])


# ---- randomness --------------------------------------------------------------------------------

RANDOM = {"zoneout_h": 0.5, "p_dropconnect": 0.5}


@each
@pytest.mark.parametrize("option", RANDOM)
def test_what_is_random_needs_a_generator_in_training_only(name, option):
    layer, x = make(name, **{option: RANDOM[option]}), draw(1, T, B, D)
    with pytest.raises(TypeError, match="in training .* rng is None, expected a generator"):
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


# ---- refusals ----------------------------------------------------------------------------------

CONSTRUCTIONS = [
    ({"input_size": 0}, ValueError, "input_size is 0, expected at least 1"),
    ({"hidden_size": 0}, ValueError, "hidden_size is 0, expected at least 1"),
    ({"hidden_size": 2.0}, TypeError, "hidden_size is 2.0, expected a whole number"),
    ({"rng": 3}, TypeError, "rng is 3, expected a generator"),
    ({"rng": None}, TypeError, "rng is None, expected a generator"),
    ({"num_layers": 0}, ValueError, "num_layers is 0, expected at least 1"),
    ({"output": "first"}, ValueError, "output is 'first', expected one of 'all', 'last'"),
    ({"bidirectional": True, "reverse": True}, ValueError, "both bidirectional and reverse"),
    ({"residual": True}, ValueError, "residual is True, but acts between layers and num_layers"),
    ({"p_drop": 0.5}, ValueError, "p_drop is 0.5, but acts between layers and num_layers is 1"),
    ({"p_drop": 1.0, "num_layers": 2}, ValueError, r"p_drop is 1.0, expected .* \[0.0, 0.99"),
    ({"zoneout_h": 1.5}, ValueError, r"zoneout_h is 1.5, expected a number in \[0.0, 1.0\]"),
    ({"zoneout_h": "0.5"}, TypeError, "zoneout_h is '0.5', expected a number"),
    ({"zoneout_masks": "static"}, ValueError, "zoneout_masks is 'static' .* leave them out"),
    ({"seq_len": 9}, ValueError, "seq_len is 9, but zoneout_h.* is 0"),
    ({"seq_len": 9, "zoneout_h": 0.5}, ValueError, "seq_len is 9, but masks are 'fresh'"),
    ({"zoneout_h": 0.5, "zoneout_masks": "static"}, TypeError, "seq_len .* is None"),
    ({"zoneout_h": 0.5, "zoneout_masks": "old"}, ValueError, "masks is 'old', expected one of"),
    ({"p_dropconnect": 1.0}, ValueError, "p_dropconnect is 1.0, expected a number in"),
    ({"dtype": np.int64}, TypeError, "dtype is int64, expected float32 or float64"),
]


@each
@pytest.mark.parametrize(("options", "error", "message"), CONSTRUCTIONS)
def test_bad_arguments_are_refused_by_the_layers_name(name, options, error, message):
    sizes = {"input_size": D, "hidden_size": H, "rng": np.random.default_rng(0)}
    layer = type(make(name)).__name__
    who = "Zoneout" if "masks is" in message or "masks are" in message else layer
    who = "Dropout" if "p_drop is 1" in message else "Zoneout" if "seq_len ." in message else who
    who = layer if message.startswith("zoneout_masks is") else who
    with pytest.raises(error, match=f"^{who}: {message}"):
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
    (lambda l: l(X, mask=VALID & [1, 0, 1]), ValueError, r"no step of the sequences \[1\] counts"),
]
X = draw(0, T, B, D)


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
        with pytest.raises(ValueError, match="return_cells is True, but .* no cell state c"):
            layer(X, return_cells=True)
    with pytest.raises(ValueError, match="x has no step, so there is no last one"):
        layer(X[:0])
    y, *finals = outputs(make(name)(X[:0]))
    assert y.shape == (0, B, H)
    assert all((s.data == 0).all() for s in finals)


# ---- a layer of one's own ----------------------------------------------------------------------


class SumDirection(Direction):
    """h and a second state of another width, as a projection has."""

    def __init__(self, input_size, rng):
        super().__init__(input_size, {"h": 3, "c": 7})
        self.W_ih = nn.Parameter(nn.Normal(1.0)(rng, (input_size, 3), np.float64))
        self.W_hh = nn.Parameter(nn.Normal(0.5)(rng, (3, 3), np.float64))

    def run(self, x, states, valid, rng):
        h0, c0 = states
        h, h_T = elman(linear(x, self.W_ih), self.W_hh, h0, None, valid, act="tanh")
        return h, (h_T, c0 * 2), {"c": h}


class Sum(Recurrent):
    def __init__(self, input_size, *, rng, num_layers=1, bidirectional=False):
        super().__init__(
            input_size, lambda D: SumDirection(D, rng), num_layers=num_layers,
            bidirectional=bidirectional, dtype=np.float64,
        )  # fmt: skip


def test_a_layer_is_a_direction_and_a_constructor():
    layer = Sum(D, rng=np.random.default_rng(0), num_layers=2, bidirectional=True)
    randomise(layer, np.random.default_rng(1))
    states = draw(2, 4, B, 3), draw(3, 4, B, 7)
    y, (h, c), cells = layer(X, states, lengths=LENGTHS, return_cells=True)
    assert (y.shape, h.shape, c.shape) == ((T, B, 6), (4, B, 3), (4, B, 7))
    np.testing.assert_array_equal(c.data, 2 * states[1])
    np.testing.assert_array_equal(cells.data, y.data)
    assert [d.input_size for d in layer.directions] == [D, D, 6, 6]
    with pytest.raises(ValueError, match=r"Sum: c of states has shape .* \(4, 3, 7\)"):
        layer(X, (states[0], states[0]))
    with pytest.raises(NotImplementedError, match="Direction defines no run"):
        Direction(D, {"h": 3}).run(X, (), None, None)
