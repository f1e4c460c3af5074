"""What surrounds the compiled loop over time: memory, threads, padding, numbers that are none."""

import numpy as np
import pytest
from nnseq_kernels import threads
from nnseq_kernels.elman import numba_cpu as elman
from nnseq_kernels.recurrence import numba_host

from tests.cells.recurrent_cases import (
    CELLS,
    CONSTANT,
    INPUTS,
    OUTPUTS,
    PER_STEP,
    draw,
    with_nan_in_padding,
)
from tests.cells.recurrent_checks import assert_close, every_cell, named, states_of, variant_named
from tests.kernels.recurrence.parity import SUMS, check_infinite_state, run
from tests.kernels.recurrence.test_numba_cells import KERNELS
from tests.strategies import LAYOUTS, lay_out

all_options = pytest.mark.parametrize("label", ["plain", "all fresh"])


def arrays_in(saved):
    """Every array of a saved tuple, of tuples of them too."""
    for value in saved:
        if isinstance(value, (tuple, list)):
            yield from arrays_in(value)
        elif isinstance(value, np.ndarray):
            yield value


def assert_same_bits(got, expected, names=None):
    for name in names or expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name, strict=True)


# ---- memory ------------------------------------------------------------------------------------


@all_options
@every_cell
def test_nothing_that_came_in_or_was_saved_is_written_to_and_backward_repeats_itself(op, label):
    inputs, options, doutputs = draw(op, variant_named(op, label))
    given = [x.copy() for x in inputs if x is not None]
    outputs, saved = KERNELS[op].forward(*inputs, **options)
    there = [x for x in inputs if x is not None]
    there += [*outputs, *doutputs, *arrays_in(saved)]
    before = given + [x.copy() for x in there[len(given) :]]
    first = KERNELS[op].backward(saved, *doutputs)
    again = KERNELS[op].backward(saved, *doutputs)
    for x, old in zip(there, before, strict=True):
        np.testing.assert_array_equal(x, old)
    for dx, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(dx, same)
        if dx is not None:
            assert not any(np.shares_memory(dx, x) for x in (*there, same))


@every_cell
def test_the_last_state_is_an_array_of_its_own(op):
    inputs, options, _ = draw(op, variant_named(op, "plain"))
    outputs, saved = KERNELS[op].forward(*inputs, **options)
    n = len(outputs) // 2
    for h, h_T in zip(outputs[:n], outputs[n:], strict=True):
        np.testing.assert_array_equal(h[-1], h_T)
        assert h_T.base is None
        assert not any(np.shares_memory(h_T, x) for x in (h, *inputs[:-1], *arrays_in(saved)))


@pytest.mark.parametrize("layout", LAYOUTS)
@every_cell
def test_inputs_and_upstream_gradients_may_lie_in_memory_in_any_way(op, layout):
    inputs, options, doutputs = draw(op, variant_named(op, "all per unit"))
    expected = run(KERNELS[op], op, inputs, options, doutputs)
    strange = [None if x is None else lay_out(x, layout) for x in inputs]
    got = run(KERNELS[op], op, strange, options, [lay_out(dy, layout) for dy in doutputs])
    assert_same_bits(got, expected)
    assert all(got[name].flags.c_contiguous for name in OUTPUTS[op])


def test_arrays_that_nobody_may_write_to_are_taken():
    inputs, options, doutputs = draw("elman", variant_named("elman", "all fresh"))
    expected = run(elman, "elman", inputs, options, doutputs)
    for x in (*inputs, *doutputs):
        x.setflags(write=False)
    assert_same_bits(run(elman, "elman", inputs, options, doutputs), expected)


@pytest.mark.parametrize(("T", "B", "H"), [(0, 3, 5), (4, 0, 5), (4, 3, 0)])
@all_options
@every_cell
def test_empty_axes_give_what_the_reference_gives(op, label, T, B, H):
    inputs, options, doutputs = draw(op, variant_named(op, label), T, B, H or 1)
    if H == 0:
        arrays = named(op, inputs)
        inputs = [x if x is None or name == "mask" else x[..., :0] for name, x in arrays.items()]
        inputs = [x[:0] if x is not None and x.shape == (1, 0) else x for x in inputs]  # W_hh
        doutputs = [dy[..., :0] for dy in doutputs]
    got, expected = (run(m, op, inputs, options, doutputs) for m in (KERNELS[op], CELLS[op]))
    assert_same_bits(got, expected)


# ---- threads -----------------------------------------------------------------------------------


@pytest.fixture
def use_threads(monkeypatch):
    """Give the kernels so many threads, whatever the machine has; every block is worth one."""

    def use(number):
        monkeypatch.setattr(threads, "allowed", lambda: number)
        monkeypatch.setattr(numba_host, "LEAST", 1)

    return use


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_cell
def test_any_number_of_threads_gives_the_same_bits_but_for_sums_over_the_batch(
    op, dtype, use_threads
):
    """A thread adds up its own sequences, and these sums are added: another order of terms."""
    inputs, options, doutputs = draw(op, variant_named(op, "all fresh"), 40, 17, 33, dtype)
    results = []
    for number in (1, 2, 2, 3, 17, 40):
        use_threads(number)
        results.append(run(KERNELS[op], op, inputs, options, doutputs))
    one, two, same, *_ = results
    assert_same_bits(two, same)
    for other in results:
        assert_same_bits(other, one, set(one) - set(SUMS))
        assert_close(other, one, 40 * np.finfo(dtype).eps)


def test_a_further_thread_is_woken_for_enough_work_only(monkeypatch):
    seen, H = [], 32
    monkeypatch.setattr(threads, "allowed", lambda: 3)
    monkeypatch.setattr(threads, "run", lambda work, blocks: seen.append(blocks))
    for share, B, expected in [(0.1, 6, 1), (1.9, 6, 1), (2.1, 6, 2), (9, 6, 3), (9, 2, 2)]:
        T = int(share * numba_host.LEAST / (B * H * H)) + 1
        inputs, options, _ = draw("elman", variant_named("elman", "plain"), T, B, H)
        elman.forward(*inputs, **options)
        blocks = seen.pop()
        assert len(blocks) == expected, (share, B)
        assert blocks[0][0] == 0
        assert blocks[-1][1] == B


# ---- padding, and numbers that are none ---------------------------------------------------------


@every_cell
def test_what_stands_at_padded_steps_changes_nothing(op):
    inputs, options, doutputs = draw(op, variant_named(op, "all per unit"), 7, 5, 9)
    expected = run(KERNELS[op], op, inputs, options, doutputs)
    mask = inputs[-1]
    assert 0 < mask.mean() < 1
    got = run(KERNELS[op], op, with_nan_in_padding(op, inputs), options, doutputs)
    assert_same_bits(got, expected)
    for name in set(PER_STEP) & set(INPUTS[op]):
        assert not got[f"d{name}"][~mask].any()
    for name in states_of(op):
        initial = named(op, inputs)[f"{name}0"]
        h_prev = np.concatenate([initial[None], got[name][:-1]])
        np.testing.assert_array_equal(got[name][~mask], h_prev[~mask])


@pytest.mark.parametrize("label", ["plain", "all fresh", "all per unit"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_cell
def test_a_number_that_is_none_stays_from_there_on_and_in_its_sequence(op, dtype, label):
    inputs, options, doutputs = draw(op, variant_named(op, label), 7, 3, 5, dtype)
    arrays = named(op, inputs)
    t, b, j = 2, 1, 3
    if arrays["mask"] is not None:
        arrays["mask"][:] = True
    clean = run(KERNELS[op], op, arrays.values(), options, doutputs)
    for block in range(arrays["a"].shape[2] // 5):
        a = arrays["a"].copy()
        a[t, b, 5 * block + j] = np.nan
        broken = (arrays | {"a": a}).values()
        got, right = (run(m, op, broken, options, doutputs) for m in (KERNELS[op], CELLS[op]))
        assert np.isnan(got["h"][t, b, j])
        assert np.isnan(got["h"][t + 1 :, b]).all()
        assert np.isnan(got["h_T"][b]).all()
        for name, y in got.items():
            if y is not None:
                assert_no_number_only_where(right[name], y, name, exactly=label == "plain")
        others = [0, 2]
        for name in OUTPUTS[op]:
            np.testing.assert_array_equal(
                got[name].take(others, -2), clean[name].take(others, -2), err_msg=name
            )


def assert_no_number_only_where(right, y, name, *, exactly):
    """NaN is where the reference has it; or else not for 0 · NaN, as a weight of 0 is no weight."""
    missing, extra = np.isnan(right) & ~np.isnan(y), np.isnan(y) & ~np.isnan(right)
    assert not extra.any(), f"{name}: NaN where the reference has a number"
    assert not (exactly and missing.any()), f"{name}: a number where the reference has NaN"
    assert np.isnan(y).any() == np.isnan(right).any(), name


@pytest.mark.parametrize("label", ["plain", "all fresh", "all per unit"])
@every_cell
def test_gradients_that_are_no_number_arrive_where_the_reference_has_them(op, label):
    inputs, options, doutputs = draw(op, variant_named(op, label), 5, 3, 4)
    for dy in doutputs:
        dy[..., 1, 2] = np.nan
    got, expected = (run(m, op, inputs, options, doutputs) for m in (KERNELS[op], CELLS[op]))
    for name, right in expected.items():
        if right is not None:
            assert_no_number_only_where(right, got[name], name, exactly=label == "plain")
            assert name in (*OUTPUTS[op], *CONSTANT) or np.isnan(got[name]).any()


@every_cell
def test_an_infinite_state_is_what_the_reference_makes_of_it(op):
    check_infinite_state(op, KERNELS[op])
