"""The CPU kernel of batch norm against the NumPy lines of nnseq/ops/normalization.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import backend, gradcheck, ops
from nnseq.ops import normalization
from nnseq.tensor import Tensor, grad

BOUNDS = {np.float32: 1e-5, np.float64: 1e-10}


@pytest.fixture(autouse=True)
def _for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalization, "LARGE", 1)


def everything(kernels: str, arrays: list[Any], per_step: bool) -> list[np.ndarray]:
    x, gain, bias, dy = arrays
    with backend.use_kernels(kernels):
        backend.clear_report()
        leaves = [Tensor(a, True) for a in (x, gain, bias)]
        y, mean, var = ops.batch_norm(*leaves, per_step=per_step)
        results = [y.data, mean.data, var.data, *grad(y, leaves, dy)]
        assert (backend.report().get("batch_norm") == "numba") == (kernels == "numba")
    return results


@given(
    seed=st.integers(0, 2**32 - 1),
    T=st.sampled_from([1, 2, 5, 63, 64, 65, 130]),
    B=st.integers(1, 5),
    D=st.sampled_from([1, 3, 16, 33]),
    per_step=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    is_strided=st.booleans(),
)
def test_the_kernel_agrees_with_the_reference(
    seed: int, T: int, B: int, D: int, per_step: bool, dtype: Any, is_strided: bool
) -> None:
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((T, B, D)).astype(dtype) for _ in range(2))
    x += 3
    if is_strided:
        x, dy = (np.asfortranarray(a) for a in (x, dy))
    gain, bias = (rng.standard_normal(D).astype(dtype) for _ in range(2))
    if (B if per_step else T * B) == 1:
        return  # a variance of nothing: x̂ = 0 / √ε, exact in both, and r = 316 magnifies rounding
    arrays = [x, gain, bias, dy]
    wide = [a.astype(np.float64) for a in arrays]
    expected = everything("reference", wide, per_step)
    for own, right in zip(everything("numba", arrays, per_step), expected, strict=True):
        assert own.dtype == dtype
        # Where the variance is small by chance, rounding of x - m is magnified by r.
        r = (expected[2].min() + 1e-5) ** -0.5
        bound = BOUNDS[dtype] * max(1.0, float(np.abs(right).max())) * max(1.0, r**2)
        np.testing.assert_allclose(own, right, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("per_step", "limit", "runs"),
    [(False, 60, True), (False, 61, False), (True, 15, True), (True, 16, False)],
)
def test_it_runs_where_a_group_has_so_many_entries(
    per_step: bool, limit: int, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 784 steps of 32 x 16 entries by themselves it took five times as long as NumPy."""
    monkeypatch.setattr(normalization, "LARGE", limit)
    with backend.use_kernels("auto"):
        backend.clear_report()
        ops.batch_norm(np.ones((4, 3, 5)), np.ones(5), np.ones(5), per_step=per_step)
        assert ("batch_norm" in backend.report()) == runs


@pytest.mark.parametrize("per_step", [False, True])
def test_its_gradients_are_right(per_step: bool) -> None:
    rng = np.random.default_rng(1)
    x, gain, bias = (rng.standard_normal(s) for s in ((4, 3, 5), 5, 5))
    with backend.use_kernels("numba"):
        gradcheck(
            lambda *a: ops.batch_norm(*a, per_step=per_step, eps=0.1)[0], x, gain, bias, rng=rng
        )


def test_gradients_of_mean_and_variance_and_second_ones_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((2, 4, 3, 5))
    gain, bias, dmean, dvar = rng.standard_normal((4, 5))
    found = []
    for kernels in ("numba", "reference"):
        with backend.use_kernels(kernels):
            leaves = [Tensor(a, True) for a in (x, gain, bias)]
            outputs = ops.batch_norm(*leaves)
            first = grad(outputs, leaves, [dy, dmean, dvar], create_graph=True)
            second = grad(first[0], leaves[1], dy)
            found.append([d.data for d in (*first, *second)])
    for own, right in zip(*found, strict=True):
        np.testing.assert_allclose(own, right, rtol=1e-10, atol=1e-12)


def test_two_calls_give_the_same_bits_and_leave_their_arguments_alone() -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((300, 40, 7), 7, 7, (300, 40, 7))]
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    runs = [everything("numba", arrays, per_step=False) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    for a, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_a_large_mean_costs_no_precision() -> None:
    x = np.random.default_rng(0).standard_normal((2000, 50, 3)) + 100
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    y, mean, var = ops.batch_norm(x.astype(np.float32), ones, zeros)
    np.testing.assert_allclose(mean, x.mean((0, 1)), rtol=3e-7)
    np.testing.assert_allclose(var, x.var((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(y, (x - x.mean((0, 1))) / x.std((0, 1)), atol=1e-4)
