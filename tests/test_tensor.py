"""Tensor: construction, printing, and the gradients that backward and grad deliver."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq import ops
from nnseq.tensor import Tensor, grad, no_grad


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# ---- construction and inspection ---------------------------------------------------------------


def test_an_array_is_kept_without_a_copy():
    x = np.ones((2, 3), np.float32)
    assert Tensor(x).data is x


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, bool])
def test_dtypes_that_tensors_hold(dtype):
    t = Tensor(np.zeros((2, 3), dtype))
    assert (t.dtype, t.shape, t.ndim, t.size, len(t)) == (dtype, (2, 3), 2, 6, 2)


def test_numbers_and_lists_become_arrays():
    assert Tensor(1.5).shape == ()
    assert Tensor([[1, 2]]).dtype == np.int64
    assert Tensor([1, 2], requires_grad=True, dtype=np.float32).dtype == np.float32
    assert Tensor(np.float32(2)).dtype == np.float32


@pytest.mark.parametrize("data", [np.zeros(2, np.float16), np.zeros(2, complex), ["a"]])
def test_other_dtypes_are_refused(data):
    with pytest.raises(TypeError, match=r"Tensor: got dtype .*, expected float32 or float64"):
        Tensor(data)


def test_integers_have_no_gradients():
    with pytest.raises(TypeError, match="requires_grad needs float32 or float64, got int64"):
        Tensor(np.arange(3), requires_grad=True)


def test_a_tensor_of_a_tensor_is_refused():
    with pytest.raises(TypeError, match=r"Tensor: got a Tensor, expected an array; use x.detach"):
        Tensor(leaf(1))


def test_numpy_and_item():
    x = np.array([[2.5]])
    assert Tensor(x).numpy() is x
    assert Tensor(x).item() == 2.5
    assert isinstance(Tensor(np.array(3)).item(), int)
    with pytest.raises(ValueError, match=r"item: got shape \(2,\), expected exactly one entry"):
        leaf(1, 2).item()


def test_repr_says_what_a_reader_asks():
    x = leaf(1, 2, dtype=np.float32)
    assert repr(x) == "Tensor([1., 2.], shape=(2,), dtype=float32, requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], shape=(2,), dtype=float32, op=mul)"
    assert repr(ops.log_softmax(x)).endswith("op=log_softmax)")
    assert repr(Tensor(np.array(3))) == "Tensor(3, dtype=int64)"
    assert len(repr(Tensor(np.zeros((100, 100))))) < 200


def test_comparisons_give_tensors_of_bool():
    x = leaf(1, 2, 3)
    for got, expected in ((x > 2, [0, 0, 1]), (x >= 2, [0, 1, 1]), (x < leaf(2, 2, 2), [1, 0, 0])):
        assert got.dtype == bool
        np.testing.assert_array_equal(got.data, np.array(expected, bool))
    np.testing.assert_array_equal((x <= 1).data, [True, False, False])


def test_the_truth_of_one_entry_is_its_own():
    assert leaf(2) > 1
    assert not leaf(1) > 2
    assert not Tensor(np.zeros((1, 1)))
    for several in (leaf(1, 2) > 0, Tensor(np.zeros(0))):
        with pytest.raises(ValueError, match=r"bool: got shape .*, expected exactly one entry"):
            bool(several)


def test_numpy_reads_a_tensor_without_a_gradient_only():
    x = np.array([1.0, 2.0])
    assert np.asarray(Tensor(x)) is x
    assert np.array(Tensor(x)) is not x
    assert np.asarray(Tensor(x), np.float32).dtype == np.float32
    for lost in (leaf(1, 2), [leaf(1), leaf(2)]):
        with pytest.raises(TypeError, match=r"requires a gradient.*use x.numpy\(\)"):
            np.asarray(lost)


@pytest.mark.parametrize("base", [2.0, np.ones(2)])
def test_a_number_to_the_power_of_a_tensor_is_refused_with_the_cure(base):
    with pytest.raises(TypeError, match=r"use nnseq.ops.power\(p, x\)"):
        base ** leaf(1, 2)


def test_iterating_goes_along_the_first_axis():
    x = Tensor(np.arange(6.0).reshape(3, 2), True)
    rows = list(x)
    assert [row.data.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    np.testing.assert_array_equal(grad(rows[1], x, np.ones(2))[0], [[0, 0], [1, 1], [0, 0]])


# ---- backward ----------------------------------------------------------------------------------


def test_backward_adds_to_the_grad_of_every_leaf():
    x, y = leaf(1, 2), leaf(3, 4)
    dz = np.array([1.0, 10.0])
    (x * y).backward(dz)
    np.testing.assert_array_equal(x.grad, [3, 40])
    np.testing.assert_array_equal(y.grad, [1, 20])
    (x * 2).backward(dz)
    np.testing.assert_array_equal(x.grad, [5, 60])


def test_backward_of_a_scalar_starts_from_one():
    x = leaf(3)
    (x * x).sum().backward()
    assert x.grad == 6


def test_backward_of_more_entries_needs_dy():
    with pytest.raises(ValueError, match=r"backward: output 0 has shape \(2,\); only an output of"):
        (leaf(1, 2) * 2).backward()


@pytest.mark.parametrize("dy", [np.ones(3), np.ones((1, 2)), np.ones(2, np.float32)])
def test_a_dy_that_does_not_fit_is_refused(dy):
    with pytest.raises(ValueError, match="backward: the gradient of output 0 is"):
        (leaf(1, 2) * 2).backward(dy)


def test_backward_without_a_leaf_that_requires_a_gradient_is_refused():
    with pytest.raises(ValueError, match="does not depend on a tensor with requires_grad"):
        (Tensor(np.ones(1)) * 2).backward()


def test_the_grad_of_a_single_number_stays_an_array():
    x = Tensor(np.array(2.0), True)
    for expected in (3, 6):
        (x * 3).backward()
        assert isinstance(x.grad, np.ndarray)
        assert x.grad == expected


def test_backward_of_a_leaf_is_its_own_gradient():
    x = leaf(1)
    x.backward()
    assert x.grad == 1


def test_a_second_backward_names_the_op_that_was_released():
    x = leaf(1, 2)
    y = ops.tanh(x) * 3
    y.backward(np.ones(2))
    with pytest.raises(RuntimeError, match=r"mul: a second backward passes .* retain_graph=True"):
        y.backward(np.ones(2))


def test_retain_graph_allows_a_second_backward():
    x = leaf(1, 2)
    y = x * x
    y.backward(np.ones(2), retain_graph=True)
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [4, 8])


def test_an_upstream_gradient_is_never_written_to():
    x = leaf(1, 2)
    dy = np.array([1.0, 2.0])
    dy.setflags(write=False)
    y = x + 0
    (y + y + y + x).backward(dy)
    np.testing.assert_array_equal(x.grad, [4, 8])


def test_detach_shares_the_array_and_stops_the_gradient():
    x = leaf(1, 2)
    y = x * 3
    assert y.detach().data is y.data
    assert not y.detach().requires_grad
    np.testing.assert_array_equal(grad(y.detach() * x, x, np.ones(2))[0], [3, 6])


def test_no_grad_records_nothing_and_ends_with_the_block():
    x = leaf(1, 2)
    with no_grad():
        assert not (x * 2).requires_grad
        assert x.requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception():
    x = leaf(1)
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_retain_grad_keeps_the_gradient_of_an_inner_tensor():
    x = leaf(1, 2)
    h = x * 2
    other = x * 5
    h.retain_grad()
    (h * h + other).backward(np.ones(2))
    np.testing.assert_array_equal(h.grad, [4, 8])
    np.testing.assert_array_equal(x.grad, [13, 21])
    assert other.grad is None


def test_retain_grad_of_the_output_itself():
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    y.backward(np.array([3.0, 4.0]))
    np.testing.assert_array_equal(y.grad, [3, 4])


def test_retain_grad_without_a_graph_is_refused():
    with pytest.raises(RuntimeError, match="retain_grad: this tensor does not depend on one with"):
        Tensor(np.ones(1)).retain_grad()


# ---- grad --------------------------------------------------------------------------------------


def test_grad_leaves_every_grad_alone():
    x, y = leaf(1, 2), leaf(3, 4)
    z = x * y
    z.retain_grad()
    (dx,) = grad(z, x, np.ones(2))
    np.testing.assert_array_equal(dx, [3, 4])
    assert x.grad is None
    assert y.grad is None
    assert z.grad is None


def test_grad_of_several_outputs_adds_up():
    x = leaf(1, 2)
    (dx,) = grad([x * 2, x * x], [x], [np.ones(2), np.array([1.0, 10.0])])
    np.testing.assert_array_equal(dx, [4, 42])


def test_grad_with_respect_to_inner_tensors():
    x = leaf(1, 2)
    h = x * 3
    y = h * h
    dh, dx = grad(y, [h, x], np.ones(2))
    np.testing.assert_array_equal(dh, [6, 12])
    np.testing.assert_array_equal(dx, [18, 36])


def test_grad_of_the_same_taped_function_many_times():
    x = leaf(1, 2)
    y = ops.exp(x)
    for v in np.eye(2):
        np.testing.assert_array_equal(grad(y, x, v, retain_graph=True)[0], v * np.exp([1, 2]))


def test_grad_for_an_input_without_influence_is_refused():
    x, y = leaf(1), leaf(2)
    with pytest.raises(ValueError, match=r"grad: inputs\[1\], shape \(1,\), does not influence"):
        grad(x * 2, [x, y])


def test_grad_of_too_few_doutputs_is_refused():
    x = leaf(1)
    with pytest.raises(ValueError, match="grad: got 1 doutputs for 2 outputs"):
        grad([x * 2, x * 3], [x], [np.ones(1)])


# ---- higher derivatives ------------------------------------------------------------------------


def test_second_and_third_derivatives():
    x = leaf(0.5, -1.5)
    one = np.ones(2)
    y = x**4
    (dx,) = grad(y, x, one, create_graph=True)
    (ddx,) = grad(dx, x, one, create_graph=True)
    (dddx,) = grad(ddx, x, one)
    np.testing.assert_allclose(dx.data, 4 * x.data**3)
    np.testing.assert_allclose(ddx.data, 12 * x.data**2)
    np.testing.assert_allclose(dddx, 24 * x.data)


def test_a_gradient_penalty_trains_through_backward():
    x = leaf(0.3, -0.2)
    (dx,) = grad(ops.tanh(x), x, np.ones(2), create_graph=True)
    (dx * dx).sum().backward()
    t = np.tanh(x.data)
    np.testing.assert_allclose(x.grad, 2 * (1 - t**2) * -2 * t * (1 - t**2))


def test_the_upstream_gradient_can_be_differentiated():
    x, v = leaf(1, 2), leaf(3, 4)
    (dx,) = grad(x * x, x, v, create_graph=True)
    np.testing.assert_array_equal(grad(dx, v, np.ones(2))[0], [2, 4])


def test_backward_with_create_graph_leaves_a_tensor_in_grad():
    x = leaf(3)
    (x**3).backward(create_graph=True)
    np.testing.assert_array_equal(grad(x.grad, x)[0], [18])


def test_a_detached_copy_is_a_constant_in_second_derivatives():
    x = leaf(2, 3)
    (dx,) = grad(x * x.detach() * x, x, np.ones(2), create_graph=True)  # 2 x c
    np.testing.assert_array_equal(grad(dx, x, np.ones(2))[0], 2 * x.data)  # not 4 x
    (dx,) = grad(x.data * x * x, x, np.ones(2), create_graph=True)
    np.testing.assert_array_equal(grad(dx, x, np.ones(2))[0], 2 * x.data)


def test_a_tensor_with_respect_to_itself():
    x = leaf(1, 2)
    dy = np.array([3.0, 4.0])
    np.testing.assert_array_equal(grad(x, x, dy)[0], dy)
    (dx,) = grad(x, x, dy, create_graph=True)
    assert isinstance(dx, Tensor)


def test_plain_arrays_give_plain_arrays():
    assert isinstance(ops.tanh(np.ones(2)), np.ndarray)
    assert isinstance(ops.tanh(Tensor(np.ones(2))), Tensor)
