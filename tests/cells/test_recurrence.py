"""What every recurrent cell owes, with every option: gradients, dtypes, layouts, no writing."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.cells.recurrence import before, blocks, over_steps, sigmoid
from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.tensor import Tensor, grad
from tests.cells.recurrent_cases import (
    CELLS,
    CONSTANT,
    INPUTS,
    OPTIONS,
    OUTPUTS,
    as_function,
    draw,
    variants,
)
from tests.cells.recurrent_checks import assert_close, every_cell, every_variant, run, variant_named
from tests.kernels.indrnn.parity import require_gpu
from tests.strategies import LAYOUTS, lay_out

SINGLE = 1e-5  # float32 against float64, of the largest entry


@every_variant
def test_gradients_of_every_input_are_the_central_differences(op, variant):
    small = op == "lstm" and variant.label != "plain"  # a third of the time
    inputs, options, _ = draw(op, variant, *((4, 2, 3) if small else (4, 3, 5)))
    f, xs = as_function(op, inputs, options)
    gradcheck(f, *xs, rng=np.random.default_rng(1))


@every_cell
@given(
    data=st.data(),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 10**6),
)
def test_gradients_hold_for_any_sizes_and_options(op, data, sizes, seed):
    variant = data.draw(st.sampled_from(variants(op)))
    inputs, options, _ = draw(op, variant, *sizes, seed=seed)
    f, xs = as_function(op, inputs, options)
    gradcheck(f, *xs, rng=np.random.default_rng(seed))


@every_cell
def test_gradients_hold_along_directions_at_a_length_of_200(op):
    inputs, options, _ = draw(op, variant_named(op, "all fresh"), 200, 3, 7)
    f, xs = as_function(op, inputs, options)
    gradcheck_directional(f, *xs, rng=np.random.default_rng(2))


@every_variant
def test_there_is_one_gradient_per_input_in_its_shape_and_none_for_weights_and_masks(op, variant):
    inputs, options, doutputs = draw(op, variant)
    got = run(op, inputs, options, doutputs)
    for name, x in zip(INPUTS[op], inputs, strict=True):
        if x is None or name in CONSTANT:
            assert got[f"d{name}"] is None, name
        else:
            assert got[f"d{name}"].shape == x.shape, name


@every_variant
def test_gradients_from_each_output_alone_add_up_and_without_any_are_zero(op, variant):
    inputs, options, doutputs = draw(op, variant)
    whole = run(op, inputs, options, doutputs)
    nothing = [None] * len(doutputs)
    zero = run(op, inputs, options, nothing)
    total = dict(zero)
    for k, dy in enumerate(doutputs):
        alone = run(op, inputs, options, [*nothing[:k], dy, *nothing[k + 1 :]])
        for name, dx in alone.items():
            if name.startswith("d") and dx is not None:
                total[name] = total[name] + dx
    for name, dx in zero.items():
        if name.startswith("d") and dx is not None:
            assert not dx.any(), name
    assert_close(total, whole, 1e-13)


@every_cell
def test_second_derivatives_are_refused_by_name(op):
    inputs, options, _ = draw(op, variant_named(op, "plain"))
    f, xs = as_function(op, inputs, options)
    xs = [Tensor(x, requires_grad=True) for x in xs]
    h = f(*xs)[0]
    with pytest.raises(NotImplementedError, match=f"{op}: create_graph=True"):
        grad(h, xs, np.ones(h.shape), create_graph=True)


@every_variant
def test_float32_stays_float32_and_agrees_with_float64(op, variant):
    inputs, options, doutputs = draw(op, variant, dtype=np.float32)
    got = run(op, inputs, options, doutputs)
    wide = [x if x is None or x.dtype == bool else x.astype(np.float64) for x in inputs]
    expected = run(op, wide, options, [dy.astype(np.float64) for dy in doutputs])
    for name, y in got.items():
        assert y is None or y.dtype == np.float32, name
    assert_close(got, expected, SINGLE)


def float_arrays(saved):
    for value in saved:
        for x in value if isinstance(value, list) else [value]:
            if isinstance(x, np.ndarray):
                yield x


@every_variant
def test_nothing_that_came_in_or_was_saved_is_written_to(op, variant):
    inputs, options, doutputs = draw(op, variant)
    for x in (*inputs, *doutputs):
        if x is not None:
            x.setflags(write=False)
    outputs, saved = CELLS[op].forward(*inputs, **options)
    for x in (*outputs, *float_arrays(saved)):
        x.setflags(write=False)
    first = CELLS[op].backward(saved, *doutputs)
    again = CELLS[op].backward(saved, *doutputs)
    for dx, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(dx, same)
        if dx is not None:
            assert not any(np.shares_memory(dx, x) for x in (*doutputs, *float_arrays(saved)))


@pytest.mark.parametrize("layout", LAYOUTS)
@every_cell
def test_inputs_and_upstream_gradients_may_lie_in_memory_in_any_way(op, layout):
    inputs, options, doutputs = draw(op, variant_named(op, "all per unit"))
    expected = run(op, inputs, options, doutputs)
    strange = [None if x is None else lay_out(x, layout) for x in inputs]
    got = run(op, strange, options, [lay_out(dy, layout) for dy in doutputs])
    assert_close(got, expected, 1e-13)
    assert all(got[name].flags.c_contiguous for name in OUTPUTS[op])


@every_cell
def test_the_last_state_is_an_array_of_its_own(op):
    inputs, options, _ = draw(op, variant_named(op, "plain"))
    outputs, _ = CELLS[op].forward(*inputs, **options)
    n = len(outputs) // 2
    for h, h_T in zip(outputs[:n], outputs[n:], strict=True):
        np.testing.assert_array_equal(h[-1], h_T)
        assert not np.shares_memory(h, h_T)


@every_cell
def test_the_op_forward_and_backward_name_the_same_inputs_and_options(op):
    module = CELLS[op]
    for function in (module.forward, module.prepare):
        parameters = inspect.signature(function).parameters.values()
        by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        assert by_place == list(INPUTS[op])
        assert by_name == list(OPTIONS[op])
    upstream = list(inspect.signature(module.backward).parameters)
    assert upstream == ["saved", *(f"d{name}" for name in OUTPUTS[op])]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sigmoid_overflows_nowhere_and_keeps_the_dtype(dtype):
    s = np.array([-1e30, -1e4, 0.0, 1e4, 1e30], dtype)
    y = sigmoid(s)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [0, 0, 0.5, 1, 1])
    s = np.linspace(-6, 6, 25)
    np.testing.assert_allclose(sigmoid(s), 1 / (1 + np.exp(-s)), rtol=1e-13)


def test_the_gradient_of_a_matrix_is_the_sum_over_steps_and_sequences():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 3, 5))
    expected = sum(np.outer(x[t, b], dy[t, b]) for t in range(4) for b in range(3))
    np.testing.assert_allclose(over_steps(x, dy), expected, rtol=1e-12)


def test_blocks_are_views_and_before_shifts_by_one_step():
    q = np.arange(24.0).reshape(2, 2, 6)
    for k, block in enumerate(blocks(q, 3)):
        assert np.shares_memory(block, q)
        np.testing.assert_array_equal(block, q[..., 2 * k : 2 * k + 2])
    initial = np.full((2, 6), -1.0)
    np.testing.assert_array_equal(before(initial, q), np.stack([initial, q[0]]))


@pytest.mark.gpu
@every_variant
def test_runs_on_cupy_with_the_results_of_numpy(op, variant):
    cupy = require_gpu()
    inputs, options, doutputs = draw(op, variant)
    expected = run(op, inputs, options, doutputs)
    inputs = [None if x is None else cupy.asarray(x) for x in inputs]
    got = run(op, inputs, options, [cupy.asarray(dy) for dy in doutputs])
    assert_close({k: None if x is None else x.get() for k, x in got.items()}, expected, 1e-11)


def test_the_drawn_cases_clip_some_cells_but_none_near_the_bound():
    inputs, options, _ = draw("lstm", variant_named("lstm", "cell_clip"), 9, 4, 33)
    (_, c, *_), saved = CELLS["lstm"].forward(*inputs, **options)
    bound = options["cell_clip"]
    clipped = np.abs(c) == bound
    assert 0.05 < clipped.mean() < 0.95
    i, f, g, _ = saved.gates
    raw = f * before(inputs[3], c) + i * g
    assert (np.abs(np.abs(raw) - bound) > 0.02).all()
