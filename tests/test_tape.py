"""The tape: what is recorded, in which order backward runs, what it skips, and what is freed."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from nnseq.tape import Op, sum_over, sum_to
from nnseq.tensor import Tensor, enable_grad, grad, no_grad


class Scale(Op):
    """x times a number; counts its calls of backward."""

    calls = 0

    def forward(self, x, *, by=1.0):
        self.by = by
        return x * by

    def backward(self, dy):
        Scale.calls += 1
        return dy * self.by


class Three(Op):
    """x, 2x and 3x as three outputs; remembers which upstream gradients came."""

    def forward(self, x):
        return x * 1, x * 2, x * 3

    def backward(self, *dys):
        Three.got = dys
        return dys[0] + 2 * dys[1] + 3 * dys[2]


class ThreeOrNone(Three):
    takes_none = True

    def backward(self, *dys):
        Three.got = dys
        return sum(k * dy for k, dy in enumerate(dys, 1) if dy is not None)


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(Scale, "calls", 0)
    return lambda: Scale.calls


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_a_chain_of_100_000_ops_runs_forward_and_backward_and_is_freed():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward(retain_graph=True)
    assert x.grad == 100_001
    last = weakref.ref(y.op)
    del y  # nothing was released: a recursive deallocation would overflow the stack here
    assert last() is None


def test_a_ladder_of_diamonds_runs_every_op_once(calls):
    x = leaf(1.0)
    y = x
    for _ in range(50):  # 2^50 paths
        h = Scale.apply(y, by=0.5)
        y = h + h
    y.backward()
    assert x.grad == 1
    assert calls() == 50


def test_branches_of_different_length_meet():
    x = leaf(2.0, 3.0)
    a = x * x
    b = a * x
    y = a * b + a + x  # x^5 + x^2 + x
    y.backward(np.ones(2))
    np.testing.assert_allclose(x.grad, 5 * x.data**4 + 2 * x.data + 1)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("op", [Three, ThreeOrNone])
def test_outputs_that_nobody_uses(op, used):
    x = leaf(1.0, 2.0)
    outputs = op.apply(x)
    dy = np.array([1.0, 10.0])
    dx = grad([outputs[k] for k in used], x, [dy] * len(used))[0]
    np.testing.assert_array_equal(dx, dy * sum(k + 1 for k in used))
    for k in set(range(3)) - set(used):
        if op is Three:
            np.testing.assert_array_equal(Three.got[k], np.zeros(2))
        else:
            assert Three.got[k] is None


def test_grad_runs_only_the_ops_between_outputs_and_inputs(calls):
    x, z = leaf(1.0), leaf(2.0)
    h = Scale.apply(Scale.apply(x))
    y = Scale.apply(h) * Scale.apply(Scale.apply(z))
    np.testing.assert_array_equal(grad(y, h, retain_graph=True)[0], [2])
    assert calls() == 1
    grad(y, x, retain_graph=True)
    assert calls() == 1 + 3
    grad(y, z, retain_graph=True)
    assert calls() == 1 + 3 + 2


def test_an_op_knows_which_gradients_are_needed():
    seen = []

    class Product(Op):
        def forward(self, x, y):
            self.save(x, y)
            return x * y

        def backward(self, dz):
            seen.append(self.needs)
            x, y = self.saved
            return dz * y, dz * x

    x, y, c = leaf(1.0), leaf(2.0), Tensor(np.ones(1))
    z = Product.apply(x, y)
    grad(z, x, retain_graph=True)
    grad(z, [x, y])
    grad(Product.apply(c, y), y)
    assert seen == [(True, False), (True, True), (False, True)]


def test_nothing_waits_for_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        h = x * x
        y = Three.apply(h)[1] + h
        y.retain_grad()
        refs = [weakref.ref(t) for t in (h, y, h.op, y.op)]
        del h, y
        assert [r() for r in refs] == [None] * 4

        y = x * x * x
        (dx,) = grad(y, x, np.ones(2), create_graph=True)
        refs = [weakref.ref(t) for t in (y, dx, y.op, dx.op)]
        (dx * dx).sum().backward()
        del y, dx
        assert [r() for r in refs] == [None] * 4

        y = x * x
        y.backward(np.ones(2), create_graph=True)
        refs = [weakref.ref(t) for t in (y, y.op)]
        x.grad = None
        del y
        assert [r() for r in refs] == [None] * 2
    finally:
        gc.enable()


def test_saved_arrays_are_freed_by_backward_although_the_output_lives():
    x = leaf(1.0)
    big = Tensor(np.ones(1000))
    ref = weakref.ref(big)
    y = (x * big).sum()
    del big
    assert ref() is not None
    y.backward()
    assert ref() is None


def test_an_op_may_return_its_input_and_save_its_output():
    class Identity(Op):
        def forward(self, x):
            self.save(x)
            return x

        def backward(self, dy):
            (y,) = self.saved
            return dy * y / y

    x = leaf(2.0)
    np.testing.assert_array_equal(grad(Identity.apply(x) * 3, x)[0], [3])


def test_integer_outputs_have_no_gradient():
    class Sorted(Op):
        def forward(self, x):
            self.index = np.argsort(x)
            return x[self.index], self.index

        def backward(self, dy, dindex):
            return dy[np.argsort(self.index)]

    x = leaf(3.0, 1.0, 2.0)
    y, index = Sorted.apply(x)
    assert index.dtype.kind == "i"
    assert not index.requires_grad
    np.testing.assert_array_equal(grad(y, x, np.array([1.0, 2.0, 3.0]))[0], [3, 1, 2])


def test_a_missing_gradient_is_noticed():
    class Forgetful(Op):
        def forward(self, x, y):
            return x * y

        def backward(self, dz):
            return dz

    x, y = leaf(1.0), leaf(2.0)
    words = "forgetful: backward returned 1 gradients, expected 2, one for each input"
    with pytest.raises(ValueError, match=words):
        grad(Forgetful.apply(x, y), [x, y])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("dx", "words"),
    [
        (np.ones((2, 3)), r"float64 \(2, 3\) for input 0, expected float32 \(2, 3\)"),
        (np.ones(3, np.float32), r"float32 \(3,\) for input 0, expected float32 \(2, 3\)"),
        (np.ones((3, 2), np.float32), r"float32 \(3, 2\) for input 0, expected float32 \(2, 3\)"),
    ],
)
def test_a_gradient_of_another_shape_or_dtype_is_noticed(dx, words, create_graph):
    class Careless(Op):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            return dx

    x, dy = Tensor(np.zeros((2, 3), np.float32), requires_grad=True), np.ones((2, 3), np.float32)
    for tensor in (x, x * 2):
        with pytest.raises(ValueError, match=f"careless: backward returned {words}"):
            grad(Careless.apply(tensor), tensor, dy, create_graph=create_graph)


def test_a_failing_backward_leaves_the_op_as_it_was():
    class Failing(Op):
        def forward(self, x):
            self.save(x)
            return x * 2

        def backward(self, dy):
            raise FloatingPointError

    x = leaf(1.0)
    y = Failing.apply(x)
    with pytest.raises(FloatingPointError):
        grad(y, x, create_graph=True)
    assert isinstance(y.op.saved[0], np.ndarray)


def test_ops_name_themselves_after_their_class():
    class LayerNorm2d(Op):
        pass

    assert LayerNorm2d.name == "layer_norm2d"
    assert Scale.name == "scale"


@pytest.mark.parametrize(
    ("shape", "wide"),
    [((3, 1), (2, 3, 4)), ((), (2, 3)), ((1, 1), (5, 1)), ((4,), (4,)), ((1,), (0,))],
)
def test_sum_to_undoes_broadcasting(shape, wide):
    dy = np.random.default_rng(0).standard_normal(wide)
    lead = len(wide) - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(shape) if n == 1 and wide[lead + i] != 1
    )
    expected = dy.sum(axes).reshape(shape)
    np.testing.assert_array_equal(sum_to(dy, shape), expected)
    np.testing.assert_array_equal(sum_to(Tensor(dy), shape).data, expected)


@pytest.mark.parametrize("n", [1023, 1024, 1025, 5000])
@pytest.mark.parametrize("axis", [0, (0,), (0, 1), 1, None, (0, 2), -1])
def test_sum_over_is_numpys_sum(n, axis):
    x = np.random.default_rng(0).standard_normal((n, 2, 3))
    for view in (x, x[::-1], x.transpose(0, 2, 1), x[::2]):
        for keepdims in (False, True):
            got = sum_over(view, axis, keepdims)
            expected = view.sum(axis=axis, keepdims=keepdims)
            assert np.shape(got) == expected.shape
            np.testing.assert_allclose(got, expected, atol=1e-10)


def test_a_released_branch_behind_the_outputs_is_noticed_even_off_the_way():
    x, y = leaf(1.0), leaf(2.0)
    a = x * 2
    grad(a, x)
    with pytest.raises(RuntimeError, match="mul: a second backward"):
        grad(a + y, y)


def test_enable_grad_records_inside_no_grad_and_ends_with_the_block() -> None:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    with no_grad():
        with enable_grad():
            y = x * 3
            with no_grad():
                assert not (x * 3).requires_grad
            assert (x * 3).requires_grad
        assert not (x * 3).requires_grad
    np.testing.assert_array_equal(grad(y, x, np.array([1.0, 10.0]))[0], [3, 30])
    assert (x * 3).requires_grad


def test_enable_grad_ends_with_an_exception() -> None:
    x = Tensor(np.array([1.0]), requires_grad=True)
    with no_grad():
        with pytest.raises(KeyError), enable_grad():
            raise KeyError
        assert not (x * 3).requires_grad
