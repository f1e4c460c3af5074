"""Clipping by joint norm and by value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.optim import clip_grad_norm, clip_grad_value
from nnseq.tensor import Tensor


def with_gradients(*gradients):
    tensors = [Tensor(np.zeros(np.shape(g), np.asarray(g).dtype), True) for g in gradients]
    for x, g in zip(tensors, gradients, strict=True):
        x.grad = np.asarray(g)
        x.grad.setflags(write=False)
    return tensors


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    max_norm=st.floats(1e-3, 1e3),
    scale=st.floats(1e-6, 1e6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_the_joint_norm_is_at_most_the_limit_and_the_direction_is_kept(
    seed, sizes, max_norm, scale, dtype
):
    rng = np.random.default_rng(seed)
    before = [(scale * rng.normal(size=n)).astype(dtype) for n in sizes]
    tensors = with_gradients(*before)
    norm = clip_grad_norm(tensors, max_norm)
    flat = np.concatenate(before).astype(np.float64)
    assert norm == pytest.approx(np.linalg.norm(flat), rel=1e-12)
    clipped = np.concatenate([x.grad for x in tensors])
    assert clipped.dtype == dtype
    expected = flat * min(1.0, max_norm / norm) if norm else flat
    np.testing.assert_allclose(clipped, expected, rtol=1e-6, atol=1e-30)
    for x, g in zip(tensors, before, strict=True):
        assert norm > max_norm or np.array_equal(x.grad, g)


def test_the_norm_is_over_all_parameters_and_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(3, 2)), rng.normal(size=5)]
    tensors = with_gradients(*gradients)
    peers = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
    for peer, g in zip(peers, gradients, strict=True):
        peer.grad = torch.tensor(g)
    assert clip_grad_norm(tensors, 0.5) == pytest.approx(
        torch.nn.utils.clip_grad_norm_(peers, 0.5).item(), rel=1e-12
    )
    for x, peer in zip(tensors, peers, strict=True):  # theirs divides by the norm + 1e-6
        np.testing.assert_allclose(x.grad, peer.grad.numpy(), rtol=1e-6)


def test_a_float32_norm_does_not_overflow():
    (x,) = with_gradients(np.full(4, 1e30, np.float32))
    assert clip_grad_norm([x], 1.0) == pytest.approx(2e30, rel=1e-6)
    np.testing.assert_allclose(x.grad, 0.5, rtol=1e-6)


def test_values_are_clipped_one_by_one_and_nan_stays_visible():
    x, y = with_gradients(np.array([-20.0, 0.5, np.nan]), np.float32([10.5]))
    clip_grad_value([x, y], 10.0)
    np.testing.assert_array_equal(x.grad, [-10.0, 0.5, np.nan])
    np.testing.assert_array_equal(y.grad, np.float32([10.0]))
    assert y.grad.dtype == np.float32


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_a_limit_that_is_a_numpy_scalar_leaves_the_dtype(clip):
    (x,) = with_gradients(np.float32([3.0, 4.0]))
    clip([x], np.sqrt(np.float64(2)))
    assert x.grad.dtype == np.float32


def test_a_parameter_without_gradient_is_passed_over():
    unused = Tensor(np.zeros(2), True)
    (x,) = with_gradients(np.array([3.0, 4.0]))
    assert clip_grad_norm([unused, x], 1.0) == pytest.approx(5.0)
    clip_grad_value([unused, x], 0.7)
    np.testing.assert_allclose(x.grad, [0.6, 0.7])
    assert unused.grad is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_refused(bad):
    (x,) = with_gradients(np.array([1.0, bad]))
    with pytest.raises(ValueError, match="the norm of the gradients is"):
        clip_grad_norm([x], 1.0)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_is_not_above_0_is_refused(clip, limit):
    with pytest.raises(ValueError, match="expected a number above 0"):
        clip([], limit)
