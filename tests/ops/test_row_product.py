"""xᵀ y by rows on several threads."""

import numpy as np
import pytest

from nnseq.ops import row_product as module
from nnseq.ops.row_product import row_product
from nnseq.tensor import Tensor, grad


def draw(N, I, H, dtype="float64"):
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, I)).astype(dtype), rng.standard_normal((N, H)).astype(dtype)


@pytest.fixture
def eager(monkeypatch):
    """However small the product, as many threads as the BLAS has."""
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "LEAST", 1)


@pytest.mark.parametrize(("N", "I", "H"), [(1, 1, 1), (7, 3, 5), (0, 3, 5), (101, 1, 2), (2, 9, 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_plain_product(eager, N, I, H, threads):
    x, y = draw(N, I, H)
    with module._blas().limit(limits=threads):
        product = row_product(x, y)
    np.testing.assert_allclose(product, x.T @ y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows_give_the_same_bits_twice(threads):
    x, y = draw(2 * module.LEAST // 64 + 1, 32, 32, "float32")
    with module._blas().limit(limits=threads):
        first, second = row_product(x, y), row_product(x, y)
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
    exact = x.astype("float64").T @ y.astype("float64")
    assert np.abs(first - exact).max() < 1e-6 * len(x) ** 0.5 * np.abs(exact).max()


@pytest.mark.parametrize("least", [1, 2**30])
def test_the_blas_has_one_thread_inside_and_its_own_number_again_after(monkeypatch, least):
    """Whether the rows are split or not: else its threads would wait for each other."""
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "LEAST", least)
    seen = []

    class Watched(np.ndarray):
        def __matmul__(self, other):
            seen.append((len(other), module._blas_threads()))
            return np.asarray(self) @ np.asarray(other)

    x, y = draw(7, 3, 5)
    with module._blas().limit(limits=2):
        row_product(x.view(Watched), y)
        assert module._blas_threads() == 2
    assert sorted(seen) == ([(3, 1), (4, 1)] if least == 1 else [(7, 1)])


def test_of_tensors_is_differentiable():
    x, y = (Tensor(z, requires_grad=True) for z in draw(7, 3, 5))
    dz = np.random.default_rng(1).standard_normal((3, 5))
    dx, dy = grad(row_product(x, y), [x, y], dz)
    np.testing.assert_allclose(dx, y.data @ dz.T)
    np.testing.assert_allclose(dy, x.data @ dz)
