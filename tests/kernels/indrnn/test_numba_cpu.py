"""The compiled CPU loops of IndRNN against the reference."""

import inspect

import numba
import numpy as np
import pytest
from nnseq_kernels.indrnn import numba_cpu
from nnseq_kernels.tanh_float32 import tanh_float32

from nnseq.cells import indrnn as reference
from tests.kernels.indrnn.parity import Case, cases, check, draw, run

MANY = numba_cpu.LEAST  # T·B·H just above twice this: two threads
SIZES = [(4, 3, 5), (1, 1, 1), (7, 1, 33), (3, 5, 63), (2, 2, 129), (3, 1, 2 * MANY // 3 + 1)]


@pytest.mark.parametrize("case", cases(SIZES), ids=str)
def test_agrees_with_the_reference(case):
    check(case, numba_cpu.forward, numba_cpu.backward)


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_has_the_signature_of_the_reference(name):
    mine, theirs = (inspect.signature(getattr(m, name)) for m in (numba_cpu, reference))
    assert list(mine.parameters) == list(theirs.parameters)
    assert [p.kind for p in mine.parameters.values()] == [
        p.kind for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("shape", [(0, 3, 5), (4, 0, 5), (4, 3, 0)])
def test_empty_axes_give_empty_arrays(shape):
    _, B, H = shape
    a, u, h0 = np.zeros(shape), np.ones(H), np.full((B, H), 2.0)
    (h, h_T), saved = numba_cpu.forward(a, u, h0, None, act="tanh", step_clip=0.0)
    da, du, dh0, _ = numba_cpu.backward(saved, None, np.full((B, H), 3.0))
    assert h.shape == da.shape == shape
    assert du.shape == (H,)
    np.testing.assert_array_equal(h_T, h0)
    np.testing.assert_array_equal(dh0, np.full((B, H), 3.0))


@pytest.mark.parametrize("masked", [False, True])
def test_nothing_that_was_passed_in_or_saved_is_changed(masked):
    case = Case(4, 3, 5, masked=masked)
    drawn = draw(case)
    before = [None if x is None else x.copy() for x in drawn]
    (h, _), saved = numba_cpu.forward(*drawn[:4], act="relu", step_clip=0.0)
    kept = h.copy()
    numba_cpu.backward(saved, drawn.dh, drawn.dh_T)
    np.testing.assert_array_equal(saved.h, kept)
    for x, old in zip(drawn, before, strict=True):
        np.testing.assert_equal(x, old)


def test_two_runs_and_any_number_of_threads_give_the_same_bits():
    case = Case(9, 5, MANY // 20 + 2, "float32", "tanh")  # two blocks, of unequal width
    results = []
    threads = numba.get_num_threads()
    try:
        for number in (threads, threads, 1):
            numba.set_num_threads(number)
            results.append(run(case, numba_cpu.forward, numba_cpu.backward, draw(case)))
    finally:
        numba.set_num_threads(threads)
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_second_thread_is_woken_for_enough_work_only():
    threads = numba.get_num_threads()
    for T, columns, expected in [(1, 1, 1), (50, 4096, 1), (5000, 6400, threads), (10**6, 63, 1)]:
        assert len(numba_cpu._blocks(T, columns)) == expected


def test_takes_arrays_that_are_not_contiguous():
    case = Case(4, 3, 5, masked=True)
    drawn = draw(case)
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in drawn[:4]]
    transposed = [np.asfortranarray(x) for x in drawn[4:]]
    results = [
        run(case, numba_cpu.forward, numba_cpu.backward, x) for x in (drawn, strided + transposed)
    ]
    for x, y in zip(*results, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("act", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_arrive_where_the_reference_has_them(act, bad):
    case = Case(5, 2, 3, act=act)
    drawn = draw(case)
    drawn.a[1, 0, 2] = bad
    drawn.dh[3, 1, 1] = bad
    results = [run(case, m.forward, m.backward, drawn) for m in (numba_cpu, reference)]
    for mine, right in zip(*results, strict=True):
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(right))
        np.testing.assert_array_equal(np.isposinf(mine), np.isposinf(right))


def test_float32_tanh_is_good_to_eight_units_in_the_last_place():
    @numba.vectorize
    def apply(x):
        return tanh_float32(x)

    x = np.concatenate([np.linspace(-12, 12, 400_001), np.logspace(-40, 0, 40_001)])
    x = x.astype(np.float32)
    y, right = apply(x), np.tanh(x.astype(np.float64))
    assert y.dtype == np.float32
    assert np.all(np.abs(y) <= 1)
    assert np.all(np.abs(y - right) <= 8 * np.spacing(np.abs(right).astype(np.float32)))
    assert np.isnan(apply(np.float32(np.nan)))
