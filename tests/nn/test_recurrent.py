"""What every recurrent layer owes: stacking, directions, padding, states, outputs, gradients."""

from __future__ import annotations

import importlib
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import nn
from nnseq.backend import device_of, to_device, use_kernels
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
    as_tuple,
    backwards,
    close,
    draw,
    each,
    make,
    outputs,
    parts_of,
    randomise,
    starts,
)

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


@each
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_residual_sum_of_the_last_step_is_of_what_dropout_has_not_touched(name, lengths):
    x, options = draw(1, T, B, D), {"num_layers": 2, "residual": True}
    layer = make(name, p_drop=0.5, output="last", **options)
    first, second = parts_of(name, layer)
    y = layer(x, lengths=lengths, rng=np.random.default_rng(5))[0].data
    mask = nn.Dropout(0.5, shared_over_time=True)(np.ones((T, B, H)), np.random.default_rng(5))
    assert set(np.unique(mask)) == {0, 2}
    y0 = first(x, lengths=lengths)[0].data
    whole = second(y0 * mask, lengths=lengths)[0].data + y0
    close(y, whole[[n - 1 for n in lengths or [T] * B], range(B)])


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
    assert y.op.name == "masked_fill"


@each
def test_without_gradients_nothing_is_recorded(name):
    layer = make(name, num_layers=2)
    with no_grad():
        y, states = layer(draw(1, T, B, D))
    assert not any(s.requires_grad for s in (y, *as_tuple(states)))


# ---- gradients ---------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("options", [{}, {"reverse": True, "learn_states": True, "bias": False}])
def test_gradients_of_every_parameter_and_the_input(name, options):
    layer = make(name, **options)
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


@pytest.mark.gpu
@each
def test_a_gpu_gives_the_results_and_gradients_of_the_cpu(name):
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    options = {"num_layers": 2, "bidirectional": True, "learn_states": True, "weight_norm": True}
    options |= {"p_drop": 0.3, "p_dropconnect": 0.3, "residual": True}
    options |= {"zoneout_h": 0.3, "zoneout_masks": "static", "seq_len": T}
    found = []
    for device in ("cpu", "cuda"):
        layer = make(name, **options).to(device)
        x = Tensor(to_device(draw(1, T, B, D), device), True)
        with use_kernels("auto"):
            ys = outputs(layer(x, lengths=LENGTHS, rng=np.random.default_rng(3)))
            dys = [to_device(draw(4 + k, *y.shape), device) for k, y in enumerate(ys)]
            arrays = [y.data for y in ys] + list(grad(ys, [x, *layer.parameters()], dys))
        assert {device_of(a) for a in arrays} == {device}
        found.append([to_device(a, "cpu") for a in arrays])
    for cpu, gpu in zip(*found, strict=True):
        # Products of the two devices add in other orders, and errors grow through four steps.
        np.testing.assert_allclose(gpu, cpu, rtol=1e-8, atol=1e-10)


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
    x, states = draw(4, T, B, D), (draw(2, 4, B, 3), draw(3, 4, B, 7))
    y, (h, c), cells = layer(x, states, lengths=LENGTHS, return_cells=True)
    assert (y.shape, h.shape, c.shape) == ((T, B, 6), (4, B, 3), (4, B, 7))
    np.testing.assert_array_equal(c.data, 2 * states[1])
    np.testing.assert_array_equal(cells.data, y.data)
    assert [d.input_size for d in layer.directions] == [D, D, 6, 6]
    with pytest.raises(ValueError, match=r"Sum: c of states has shape .* \(4, 3, 7\)"):
        layer(x, (states[0], states[0]))
    with pytest.raises(NotImplementedError, match="Direction defines no run"):
        Direction(D, {"h": 3}).run(x, (), None, None)
