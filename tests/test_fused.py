"""fused_op: one node, several outputs, None for outputs that nobody used."""

import gc
import weakref
from typing import NamedTuple

import numpy as np
import pytest

from nnseq.fused import fused_op
from nnseq.gradcheck import gradcheck
from nnseq.tensor import Tensor, grad


class Saved(NamedTuple):
    x: np.ndarray
    y: np.ndarray


seen = []


def forward(x, y, *, power):
    return (x * y, x**power), Saved(x, y)


def backward(saved, dz, dw):
    seen.append((dz is None, dw is None))
    x, y = saved
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    if dz is not None:
        dx, dy = dx + dz * y, dy + dz * x
    if dw is not None:
        dx = dx + dw * 2 * x
    return dx, dy


def prepare(x, y, *, power=2):
    if power != 2:
        raise ValueError(f"product: power is {power}, expected 2")
    return (x, y), {"power": power}


product = fused_op("product", forward, backward, prepare)
X, Y = np.array([1.0, -2.0, 3.0]), np.array([0.5, 4.0, -1.0])


def test_gradients_pass_the_check_with_any_outputs_used():
    seen.clear()
    gradcheck(product, X, Y, rng=np.random.default_rng(0))
    assert set(seen) == {(False, False), (False, True), (True, False)}


def test_plain_arrays_give_plain_arrays():
    z, w = product(X, Y)
    assert type(z) is type(w) is np.ndarray


def test_options_are_checked_before_anything_runs():
    with pytest.raises(ValueError, match="product: power is 3"):
        product(X, Y, power=3)


def test_a_second_backward_is_refused_and_retain_graph_allows_it():
    x, y = Tensor(X, True), Tensor(Y, True)
    z, _ = product(x, y)
    first = grad(z, [x, y], X, retain_graph=True)
    second = grad(z, [x, y], X)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(RuntimeError, match=r"product: .*retain_graph=True"):
        grad(z, [x, y], X)


def test_what_was_saved_is_freed_with_the_outputs():
    x, y = Tensor(X, True), Tensor(Y, True)
    z, w = product(x, y)
    op = weakref.ref(z.op)
    gc.disable()
    try:
        del z, w
        assert op() is None
    finally:
        gc.enable()
