"""The CPU kernel of batch norm against the reference pair of nnseq/ops/normalization.py."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nnseq_kernels.batch_norm import numba_cpu

from nnseq import backend, ops
from nnseq.gradcheck import gradcheck
from nnseq.ops.normalization import REFERENCE
from nnseq.tensor import Tensor, grad

BOUNDS = {np.float32: 1e-5, np.float64: 1e-10}
EPS = 0.1  # so that a small variance does not magnify rounding


def everything(pair: Any, x: Any, gain: Any, bias: Any, mask: Any, dy: Any) -> list[np.ndarray]:
    y, m, v = pair.forward(x, gain, bias, mask, eps=EPS)
    return [y, m, v, *pair.backward(x, m, v, gain, mask, dy, eps=EPS)]


@given(
    seed=st.integers(0, 2**32 - 1),
    G=st.sampled_from([1, 2, 5, 150]),
    N=st.sampled_from([1, 2, 63, 64, 65, 200]),
    D=st.sampled_from([1, 3, 16, 33]),
    padding=st.sampled_from([None, 0.0, 30.0, np.nan, np.inf]),
    dtype=st.sampled_from([np.float32, np.float64]),
    is_strided=st.booleans(),
    threads=st.integers(1, 3),
)
def test_the_kernel_agrees_with_the_reference(
    seed: int, G: int, N: int, D: int, padding: Any, dtype: Any, is_strided: bool, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, G, N, D)).astype(dtype)
    x += 3
    gain, bias = rng.standard_normal((2, D)).astype(dtype)
    mask = None
    if padding is not None:
        mask = rng.random((G, N)) < 0.6
        mask[:, rng.integers(N)] = True
        x[~mask] = padding
    if is_strided:
        x, dy, mask = (a if a is None else np.asfortranarray(a) for a in (x, dy, mask))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba_cpu, "LEAST", 1)
        patch.setattr(numba_cpu.threads, "allowed", lambda: threads)
        found = everything(numba_cpu, x, gain, bias, mask, dy)
    wide = [a.astype(np.float64) for a in (x, gain, bias, dy)]
    expected = everything(REFERENCE, *wide[:3], mask, wide[3])
    for own, right in zip(found, expected, strict=True):
        assert own.dtype == dtype
        bound = BOUNDS[dtype] * max(1.0, np.abs(right[np.isfinite(right)]).max(initial=0.0))
        np.testing.assert_allclose(own, right, rtol=0, atol=bound)


def test_the_kernel_has_the_signature_of_the_reference() -> None:
    for name in ("forward", "backward"):
        one, other = (
            inspect.signature(getattr(pair, name)).parameters.values()
            for pair in (REFERENCE, numba_cpu)
        )
        assert [(p.name, p.kind) for p in one] == [(p.name, p.kind) for p in other]


@pytest.mark.parametrize("kernels", ["reference", "numba"])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("shape", [(4, 3, 5), (35, 2, 2)])
def test_gradients_are_right(
    shape: tuple[int, ...],
    is_masked: bool,
    per_step: bool,
    kernels: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The larger shape has 70 rows, two BLOCKs, or 35 groups; in two threads where it can be."""
    monkeypatch.setattr(numba_cpu, "LEAST", 1)
    monkeypatch.setattr(numba_cpu.threads, "allowed", lambda: 2)
    rng = np.random.default_rng(1)
    x, gain, bias = (rng.standard_normal(s) for s in (shape, shape[2], shape[2]))
    mask = None
    if is_masked:
        mask = rng.random(shape[:2]) < 0.6
        mask[:, 0] = True
    with backend.use_kernels(kernels):
        gradcheck(
            lambda *a: ops.batch_norm(*a, mask=mask, per_step=per_step, eps=EPS),
            *(x, gain, bias),
            rng=rng,
        )


@pytest.mark.parametrize("forced", ["auto", "numba"])
@pytest.mark.parametrize("options", [{}, {"per_step": True}, {"mask": np.ones((3, 2))}])
def test_it_runs_whatever_the_size_and_the_mask(forced: str, options: Any) -> None:
    with backend.use_kernels(forced):
        backend.clear_report()
        ops.batch_norm(np.ones((3, 2, 1)), np.ones(1), np.ones(1), **options)
        assert backend.report() == {"batch_norm": "numba"}


@pytest.mark.parametrize("forced", ["auto", "cupy", "numba_cuda"])
def test_on_a_gpu_the_reference_runs_whatever_is_forced(
    forced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "device_of", lambda _: "cuda")
    with backend.use_kernels(forced):
        backend.clear_report()
        ops.batch_norm(np.ones((3, 2, 1)), np.ones(1), np.ones(1))
        assert backend.report() == {"batch_norm": "reference"}


def test_of_many_groups_the_gradients_are_added_in_double_precision() -> None:
    rng = np.random.default_rng(4)
    x, dy = rng.standard_normal((2, 50_000, 2, 3)).astype(np.float32)
    dy += x + 1  # so that the sums grow with the number of groups
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    *_, dgain, dbias = everything(numba_cpu, x, ones, zeros, None, dy)
    wide = [a.astype(np.float64) for a in (x, ones, zeros, dy)]
    *_, right_gain, right_bias = everything(REFERENCE, *wide[:3], None, wide[3])
    np.testing.assert_allclose(dgain, right_gain, rtol=1e-6)
    np.testing.assert_allclose(dbias, right_bias, rtol=1e-6)


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
    x, dy = rng.standard_normal((2, 1, 12_000, 7)).astype(np.float32)
    gain, bias = rng.standard_normal((2, 7)).astype(np.float32)
    arrays = x, gain, bias, rng.random((1, 12_000)) < 0.9, dy
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    runs = [everything(numba_cpu, *arrays) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    for a, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, copy)
