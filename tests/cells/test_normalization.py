"""The pieces of the normalised cells: averages, what they leave, and their gradients."""

import numpy as np
import pytest

from nnseq.cells.normalization import (
    batch_statistics,
    batch_weights,
    check_eps,
    finite_where_it_counts,
    layer_norm,
    standardised,
    undo_layer_norm,
    undo_standardised,
)

T, B, N = 4, 3, 5
MASK = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape) + 0.5


def differences(f, x, dy, eps=1e-6):
    """∂ Σ dy ∘ f(x) / ∂x, entry by entry."""
    dx = np.empty_like(x)
    for index in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[index] = eps
        dx[index] = (dy * (f(x + e) - f(x - e))).sum() / (2 * eps)
    return dx


@pytest.mark.parametrize("mask", [None, MASK])
def test_batch_statistics_are_those_of_the_sequences_that_count(mask):
    x = draw(0, T, B, N)
    w = batch_weights(mask, x)
    m, v = batch_statistics(x, w)
    for t in range(T):
        rows = np.ones(B, bool) if mask is None else mask[t]
        expected = (x[t, rows].mean(axis=0), x[t, rows].var(axis=0)) if rows.any() else (0, 0)
        np.testing.assert_allclose(m[t], np.broadcast_to(expected[0], N), rtol=1e-12)
        np.testing.assert_allclose(v[t], np.broadcast_to(expected[1], N), rtol=1e-12, atol=1e-30)
        one = batch_statistics(x[t], w[t])
        np.testing.assert_array_equal(one[0], m[t])
        np.testing.assert_array_equal(one[1], v[t])


def test_weights_keep_the_dtype_and_sum_to_one_where_a_step_counts():
    for dtype in (np.float32, np.float64):
        w = batch_weights(MASK, draw(0, T, B, N).astype(dtype))
        assert w.dtype == dtype
        np.testing.assert_allclose(w.sum(axis=1)[:, 0], [1, 1, 1, 0], rtol=1e-6)
    assert batch_weights(None, np.zeros((2, 0, N))).shape == (2, 1, 1)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("eps", [1e-2, 0.5])
def test_the_gradient_goes_through_the_statistics_of_the_batch(mask, eps):
    x, dy = draw(0, T, B, N), draw(1, T, B, N)
    w = batch_weights(mask, x)
    dy = finite_where_it_counts(dy, mask)  # as a cell gives it: nothing comes from padded steps

    def f(x):
        return standardised(x, *batch_statistics(x, w), eps)

    _, v = batch_statistics(x, w)
    dx = undo_standardised(dy, f(x), v, w, eps)
    np.testing.assert_allclose(dx, differences(f, x, dy), rtol=1e-6, atol=1e-7)
    if mask is not None:
        assert not dx[~mask].any()


def test_given_statistics_are_constants():
    x, dy, m, v = draw(0, T, B, N), draw(1, T, B, N), draw(2, T, N), draw(3, T, N) ** 2

    def f(x):
        return standardised(x, m, v, 0.1)

    dx = undo_standardised(dy, f(x), v, None, 0.1)
    np.testing.assert_allclose(f(x), (x - m[:, None]) / np.sqrt(v + 0.1)[:, None], rtol=1e-13)
    np.testing.assert_allclose(dx, differences(f, x, dy), rtol=1e-8)


@pytest.mark.parametrize("groups", [(slice(None),), (slice(0, 2), slice(2, 5)), (slice(0, 5),)])
def test_layer_norm_takes_every_group_of_units_by_itself(groups):
    x, dy = draw(0, T, B, N), draw(1, T, B, N)
    x_hat, r = layer_norm(x, groups, 0.01)
    for k, group in enumerate(groups):
        part = x[..., group]
        v = part.var(axis=-1, keepdims=True)
        expected = (part - part.mean(axis=-1, keepdims=True)) / np.sqrt(v + 0.01)
        np.testing.assert_allclose(x_hat[..., group], expected, rtol=1e-11)
        np.testing.assert_allclose(r[..., k], 1 / np.sqrt(v + 0.01)[..., 0], rtol=1e-12)
    dx = undo_layer_norm(dy, x_hat, r, groups)
    measured = differences(lambda x: layer_norm(x, groups, 0.01)[0], x, dy)
    np.testing.assert_allclose(dx, measured, rtol=1e-6, atol=1e-7)


def test_what_stands_in_padded_steps_is_replaced_and_nothing_is_written_to():
    x = draw(0, T, B, N)
    x[~MASK] = np.nan
    found = finite_where_it_counts(x, MASK)
    np.testing.assert_array_equal(found[MASK], x[MASK])
    assert not found[~MASK].any()
    assert np.isnan(x[~MASK]).all()
    assert finite_where_it_counts(x, None) is x


@pytest.mark.parametrize("eps", [0, -1e-5, np.inf, np.nan, "small", None])
def test_eps_is_a_finite_number_above_zero(eps):
    with pytest.raises((ValueError, TypeError), match=r"^some_cell: eps is .*, expected a"):
        check_eps("some_cell", eps)
    assert check_eps("some_cell", 1e-3) == 1e-3
