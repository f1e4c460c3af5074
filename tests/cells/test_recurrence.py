"""What every recurrent cell owes, with every option: gradients, padding, zoneout, layouts."""

import itertools

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
    EVERY,
    FRESH,
    INPUTS,
    OPTIONS,
    OUTPUTS,
    PER_STEP,
    Variant,
    as_function,
    draw,
    name_of,
    variants,
    with_nan_in_padding,
)
from tests.kernels.indrnn.parity import require_gpu
from tests.strategies import LAYOUTS, lay_out

SINGLE = 1e-5  # float32 against float64, of the largest entry
MASKED = [(op, variant) for op, variant in EVERY if "mask" in variant.present]
every_variant = pytest.mark.parametrize(("op", "variant"), EVERY, ids=name_of)
every_cell = pytest.mark.parametrize("op", CELLS)


def run(op, inputs, options, doutputs):
    """Outputs and gradients by name; None where an input has no gradient."""
    outputs, saved = CELLS[op].forward(*inputs, **options)
    dinputs = CELLS[op].backward(saved, *doutputs)
    return dict(zip(OUTPUTS[op], outputs, strict=True)) | {
        f"d{name}": dx for name, dx in zip(INPUTS[op], dinputs, strict=True)
    }


def assert_close(got, expected, tolerance):
    for name, right in expected.items():
        if right is None:
            assert got[name] is None, name
            continue
        scale = np.abs(right).max(initial=1.0)
        np.testing.assert_allclose(got[name], right, rtol=0, atol=tolerance * scale, err_msg=name)


def variant_named(op, label):
    return next(variant for variant in variants(op) if variant.label == label)


# ---- gradients ----------------------------------------------------------------------------------


@every_variant
def test_gradients_of_every_input_are_the_central_differences(op, variant):
    inputs, options, _ = draw(op, variant)
    f, xs = as_function(op, inputs, options)
    gradcheck(f, *xs, rng=np.random.default_rng(1))


@given(
    case=st.sampled_from(EVERY),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 10**6),
)
def test_gradients_hold_for_any_sizes(case, sizes, seed):
    op, variant = case
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
        alone = run(op, inputs, options, nothing[:k] + [dy] + nothing[k + 1 :])
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


# ---- sequences: cut, empty, padded --------------------------------------------------------------


def part(op, inputs, steps, states):
    """The inputs of some steps, starting from given states."""
    cut = {name: x for name, x in zip(INPUTS[op], inputs, strict=True)}
    for name, x in cut.items():
        if x is not None and (name in PER_STEP or name in CONSTANT) and len(x) > 1:
            cut[name] = x[steps]
    return tuple((cut | states).values())


@pytest.mark.parametrize("cut", [0, 1, 4, 7])
@pytest.mark.parametrize("label", ["plain", "all fresh"])
@every_cell
def test_a_sequence_cut_in_two_gives_the_states_and_gradients_of_the_whole(op, label, cut):
    inputs, options, doutputs = draw(op, variant_named(op, label), 7, 2, 3)
    whole = run(op, inputs, options, doutputs)
    n = len(doutputs) // 2  # outputs of all steps, then as many of the last
    names = OUTPUTS[op][:n]

    outputs, first_saved = CELLS[op].forward(*part(op, inputs, slice(0, cut), {}), **options)
    states = {f"{name}0": s for name, s in zip(names, outputs[n:], strict=True)}
    rest, second_saved = CELLS[op].forward(*part(op, inputs, slice(cut, 7), states), **options)
    late = CELLS[op].backward(second_saved, *(d[cut:] for d in doutputs[:n]), *doutputs[n:])
    late = dict(zip(INPUTS[op], late, strict=True))
    between = [late[f"{name}0"] for name in names]
    early = CELLS[op].backward(first_saved, *(d[:cut] for d in doutputs[:n]), *between)

    joined = {}
    for k, name in enumerate(names):
        joined[name] = np.concatenate([outputs[k], rest[k]])
        joined[f"{name}_T"] = rest[n + k]
    for (name, dx), first in zip(late.items(), early, strict=True):
        if dx is None:
            joined[f"d{name}"] = None
        elif name in PER_STEP:
            joined[f"d{name}"] = np.concatenate([first, dx])
        else:
            joined[f"d{name}"] = first if name in states else first + dx
    assert_close(joined, whole, 1e-13)


@pytest.mark.parametrize(("T", "B"), [(0, 3), (4, 0)])
@every_variant
def test_no_steps_or_no_sequences_give_the_initial_states_and_pass_their_gradients(
    op, variant, T, B
):
    inputs, options, doutputs = draw(op, variant, T, B, 5)
    got = run(op, inputs, options, doutputs)
    arrays = dict(zip(INPUTS[op], inputs, strict=True))
    for name, dy in zip(OUTPUTS[op], doutputs, strict=True):
        assert got[name].shape == dy.shape
        if name.endswith("_T"):
            initial = name.replace("_T", "0")
            np.testing.assert_array_equal(got[name], arrays[initial])
            np.testing.assert_array_equal(got[f"d{initial}"], dy)
            assert not np.shares_memory(got[name], arrays[initial])
            assert not np.shares_memory(got[f"d{initial}"], dy)
    for name, x in arrays.items():
        if x is not None and name not in CONSTANT:
            assert got[f"d{name}"].shape == x.shape
            assert name in ("h0", "c0") or not got[f"d{name}"].any()


@pytest.mark.parametrize(("op", "variant"), MASKED, ids=name_of)
def test_padded_steps_hold_the_states_whatever_stands_in_their_input(op, variant):
    inputs, options, doutputs = draw(op, variant, 6, 4, 3)
    mask = inputs[-1]
    expected = run(op, inputs, options, doutputs)
    got = run(op, with_nan_in_padding(op, inputs), options, doutputs)
    for name, right in expected.items():
        np.testing.assert_array_equal(got[name], right, err_msg=name)
    arrays = dict(zip(INPUTS[op], inputs, strict=True))
    assert not mask.all()
    for name in ("h", "c") if op == "lstm" else ("h",):
        previous = np.concatenate([arrays[f"{name}0"][None], got[name][:-1]])
        np.testing.assert_array_equal(got[name][~mask], previous[~mask])
        np.testing.assert_array_equal(got[f"{name}_T"], got[name][-1])
    for name in set(PER_STEP) & set(arrays):
        assert not got[f"d{name}"][~mask].any()
        assert got[f"d{name}"][mask].all() or options.get("act") == "relu" or "d_i" in arrays


@every_cell
def test_a_wholly_padded_sequence_passes_the_gradient_straight_through(op):
    inputs, options, doutputs = draw(op, variant_named(op, "mask"))
    inputs = (*inputs[:-1], np.zeros_like(inputs[-1]))
    got = run(op, inputs, options, doutputs)
    n = len(doutputs) // 2
    for name, dy, dlast in zip(OUTPUTS[op], doutputs[:n], doutputs[n:], strict=False):
        np.testing.assert_allclose(got[f"d{name}0"], dlast + dy.sum(axis=0), rtol=1e-13)
    assert not got["dW_hh"].any()


@every_cell
def test_padded_steps_at_the_end_are_as_good_as_a_shorter_sequence(op):
    inputs, options, doutputs = draw(op, variant_named(op, "mask"), 6, 3, 4)
    lengths = [2, 6, 4]
    mask = np.arange(6)[:, None] < np.array(lengths)
    got = run(op, (*inputs[:-1], mask), options, doutputs)
    n = len(doutputs) // 2
    for b, length in enumerate(lengths):
        one = [
            None if x is None else x[:length, b : b + 1] if name in PER_STEP else x
            for name, x in zip(INPUTS[op], inputs[:-1], strict=False)
        ]
        for k, name in enumerate(INPUTS[op]):
            if name in ("h0", "c0"):
                one[k] = one[k][b : b + 1]
        outputs, _ = CELLS[op].forward(*one, None, **options)
        for name, y in zip(OUTPUTS[op], outputs, strict=True):
            mine = got[name][b : b + 1] if name.endswith("_T") else got[name][:length, b : b + 1]
            np.testing.assert_allclose(mine, y, rtol=1e-12, atol=1e-14)
    assert n


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float32, np.float64])
@every_cell
def test_a_mask_may_be_bool_integer_or_float(op, dtype):
    inputs, options, _ = draw(op, variant_named(op, "mask"))
    f, xs = as_function(op, inputs, options)
    g, _ = as_function(op, (*inputs[:-1], inputs[-1].astype(dtype)), options)
    np.testing.assert_array_equal(g(*xs)[0], f(*xs)[0])


# ---- zoneout ------------------------------------------------------------------------------------


def with_zoneout(op, inputs, value):
    """The same inputs with all zoneout weights equal to value, or None."""
    H = inputs[list(INPUTS[op]).index("h0")].shape[1]
    z = None if value is None else np.full((1, 1, H), value)
    return tuple(
        z if name in ("z_h", "z_c") else x for name, x in zip(INPUTS[op], inputs, strict=True)
    )


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
    arrays = dict(zip(INPUTS[op], inputs, strict=True))
    n = len(doutputs) // 2
    for name, dy, dlast in zip(OUTPUTS[op], doutputs[:n], doutputs[n:], strict=False):
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
        chosen = dict(zip(INPUTS[op], inputs, strict=True)) | weights
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
    arrays = dict(zip(INPUTS[op], inputs, strict=True))
    outputs, _ = CELLS[op].forward(*inputs, **options)
    for name, h in zip(OUTPUTS[op], outputs, strict=True):
        if name.endswith("_T"):
            continue
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
    chosen = dict(zip(INPUTS[op], inputs, strict=True)) | {"mask": None}
    chosen |= {name: kept for name in ("z_h", "z_c") if name in chosen}
    assert_close(run(op, tuple(chosen.values()), options, doutputs), padded, 1e-13)


@pytest.mark.parametrize("shape", [(4, 3, 1), (1, 3, 1), (4, 1, 1), (1, 1, 1)])
@every_cell
def test_a_weight_may_have_an_axis_of_one_for_time_or_for_sequences(op, shape):
    rng = np.random.default_rng(4)
    inputs, options, doutputs = draw(op, variant_named(op, "all fresh"))
    arrays = dict(zip(INPUTS[op], inputs, strict=True))
    small = {
        name: rng.random((*shape[:2], 5))
        for name in CONSTANT
        if name in arrays and name != "mask"
    }
    large = {name: np.broadcast_to(z, (4, 3, 5)).copy() for name, z in small.items()}
    options = options | {name: 0.0 for name in options if name == "cell_clip"}
    got, expected = (
        run(op, tuple((arrays | chosen).values()), options, doutputs) for chosen in (small, large)
    )
    assert_close(got, expected, 1e-14)


# ---- memory and dtypes --------------------------------------------------------------------------


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
    import inspect

    module = CELLS[op]
    for function in (module.forward, module.prepare):
        parameters = inspect.signature(function).parameters.values()
        by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        assert by_place == list(INPUTS[op])
        assert by_name == list(OPTIONS[op])
    upstream = list(inspect.signature(module.backward).parameters)
    assert upstream == ["saved", *(f"d{name}" for name in OUTPUTS[op])]


# ---- pieces -------------------------------------------------------------------------------------


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
    """Of the last options: the whole state is c̃ there, as nothing is zoned out or padded."""
    from nnseq.cells.lstm import forward

    variant = variant_named("lstm", "cell_clip")
    inputs, options, _ = draw("lstm", variant, 9, 4, 33)
    (_, c, *_), saved = forward(*inputs, **options)
    bound = options["cell_clip"]
    clipped = np.abs(c) == bound
    assert 0.05 < clipped.mean() < 0.95
    i, f, g, _ = saved.gates
    raw = f * before(inputs[3], c) + i * g
    assert (np.abs(np.abs(raw) - bound) > 0.02).all()
    assert isinstance(variant, Variant)
    assert FRESH
