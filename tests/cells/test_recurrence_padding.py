"""The recurrent cells' sequences: cut in two, empty, padded."""

import numpy as np
import pytest

from tests.cells.recurrent_cases import (
    CELLS,
    CONSTANT,
    EVERY,
    INPUTS,
    OUTPUTS,
    PER_STEP,
    as_function,
    draw,
    name_of,
    with_nan_in_padding,
)
from tests.cells.recurrent_checks import (
    assert_close,
    every_cell,
    every_variant,
    named,
    run,
    states_of,
    variant_named,
)

MASKED = [(op, variant) for op, variant in EVERY if "mask" in variant.present]


def part(op, inputs, steps, states):
    """The inputs of some steps, starting from given states."""
    cut = named(op, inputs)
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
    names = states_of(op)

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
    arrays = named(op, inputs)
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
    arrays = named(op, inputs)
    assert not mask.all()
    for name in states_of(op):
        previous = np.concatenate([arrays[f"{name}0"][None], got[name][:-1]])
        np.testing.assert_array_equal(got[name][~mask], previous[~mask])
        np.testing.assert_array_equal(got[f"{name}_T"], got[name][-1])
    for name in set(PER_STEP) & set(arrays):
        assert not got[f"d{name}"][~mask].any()
        assert got[f"d{name}"][mask].any()


@every_cell
def test_a_wholly_padded_sequence_passes_the_gradient_straight_through(op):
    inputs, options, doutputs = draw(op, variant_named(op, "mask"))
    inputs = (*inputs[:-1], np.zeros_like(inputs[-1]))
    got = run(op, inputs, options, doutputs)
    n = len(doutputs) // 2
    for name, dy, dlast in zip(states_of(op), doutputs[:n], doutputs[n:], strict=True):
        np.testing.assert_allclose(got[f"d{name}0"], dlast + dy.sum(axis=0), rtol=1e-13)
    assert not got["dW_hh"].any()


@every_cell
def test_padding_at_the_end_is_as_good_as_shorter_sequences_one_by_one(op):
    """What comes from above at a padded step reaches the last step that counts."""
    lengths = [2, 6, 4]
    inputs, options, doutputs = draw(op, variant_named(op, "mask"), 6, 3, 4)
    mask = np.arange(6)[:, None] < np.array(lengths)
    got = run(op, (*inputs[:-1], mask), options, doutputs)
    n = len(doutputs) // 2
    dW_hh = 0.0
    for b, length in enumerate(lengths):
        one, steps = slice(b, b + 1), slice(0, length)
        arrays = named(op, inputs) | {"mask": None}
        for name, x in arrays.items():
            if name in PER_STEP:
                arrays[name] = x[steps, one]
            elif name in ("h0", "c0"):
                arrays[name] = x[one]
        dlast = [
            last[one] + d[length:, one].sum(axis=0)
            for d, last in zip(doutputs[:n], doutputs[n:], strict=True)
        ]
        alone = run(op, arrays.values(), options, [*(d[steps, one] for d in doutputs[:n]), *dlast])
        dW_hh = dW_hh + alone["dW_hh"]
        for name, y in alone.items():
            if name in OUTPUTS[op] or name[1:] in (*PER_STEP, "h0", "c0"):
                mine = got[name][one] if got[name].ndim == 2 else got[name][steps, one]
                np.testing.assert_allclose(mine, y, rtol=1e-11, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(got["dW_hh"], dW_hh, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float32, np.float64])
@every_cell
def test_a_mask_may_be_bool_integer_or_float(op, dtype):
    inputs, options, _ = draw(op, variant_named(op, "mask"))
    f, xs = as_function(op, inputs, options)
    g, _ = as_function(op, (*inputs[:-1], inputs[-1].astype(dtype)), options)
    np.testing.assert_array_equal(g(*xs)[0], f(*xs)[0])
