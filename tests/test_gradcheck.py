"""The checker is checked: it passes what is right and catches what is wrong by a thousandth."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq import ops
from nnseq.gradcheck import GradcheckError, gradcheck, gradcheck_directional, gradgradcheck
from nnseq.tape import Op
from nnseq.tensor import Tensor
from tests.ops.check import normal


class Cubes(Op):
    """x³ and y³, with mistakes on request."""

    def forward(self, x, y, *, wrong=None, second=None):
        self.save(x, y)
        self.wrong, self.second = wrong, second
        return x * x * x, y * y * y

    def backward(self, dx3, dy3):
        x, y = self.saved
        if self.second is not None:  # right at first order, a constant at second
            x = self.second
        dx, dy = 3 * dx3 * x * x, 3 * dy3 * y * y
        if self.wrong == "every entry":
            dx = dx * 1.001
        elif self.wrong == "one entry":
            dy = dy * np.where(np.arange(y.size).reshape(y.shape) == 4, 1.001, 1)
        elif self.wrong == "nan":
            dx = dx * np.nan
        elif self.wrong == "swapped":
            dx, dy = dx * 0, dy
        return dx, dy


CHECKS = {"every entry": gradcheck, "directional": gradcheck_directional, "second": gradgradcheck}


def inputs():
    x, y = normal(0, (2, 3), (3, 2))
    return np.sign(x) * (np.abs(x) + 0.5), np.sign(y) * (np.abs(y) + 0.5)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_right_gradient_passes(check):
    check(Cubes.apply, *inputs(), rng=np.random.default_rng(0))


@pytest.mark.parametrize("check", [gradcheck, gradcheck_directional])
@pytest.mark.parametrize("wrong", ["every entry", "one entry", "nan", "swapped"])
def test_a_gradient_wrong_by_a_thousandth_is_caught(check, wrong):
    with pytest.raises(GradcheckError):
        check(lambda x, y: Cubes.apply(x, y, wrong=wrong), *inputs(), rng=np.random.default_rng(0))


def test_the_message_names_input_index_and_both_values():
    x, y = inputs()
    with pytest.raises(GradcheckError) as caught:
        gradcheck(
            lambda *xs: Cubes.apply(*xs, wrong="one entry"), x, y, rng=np.random.default_rng(0)
        )
    message = str(caught.value)
    assert "input 1" in message
    assert "index (2, 0)" in message
    assert "1 of 6 entries differ" in message
    claimed = float(message.split("backward gives ")[1].split(",")[0])
    measured = float(message.split("differences give ")[1].split(";")[0])
    assert abs(claimed / measured - 1.001) < 1e-6


def test_a_second_derivative_lost_in_a_saved_constant_is_caught():
    x, y = inputs()
    f = lambda x, y: Cubes.apply(x, y, second=np.array(x.data))  # noqa: E731
    gradcheck(f, x, y, rng=np.random.default_rng(0))
    with pytest.raises(GradcheckError, match="input 0"):
        gradgradcheck(f, x, y, rng=np.random.default_rng(0))


def test_a_second_derivative_wrong_by_a_thousandth_is_caught():
    class Square(Op):
        def forward(self, x):
            self.save(x)
            return x * x

        def backward(self, dy):
            (x,) = self.saved
            return Double.apply(x) * dy

    class Double(Op):
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return 2.002 * dy

    x = inputs()[0]
    gradcheck(Square.apply, x, rng=np.random.default_rng(0))
    with pytest.raises(GradcheckError, match="input 0"):
        gradgradcheck(Square.apply, x, rng=np.random.default_rng(0))


def test_each_output_is_checked_alone():
    class Mixed(Op):
        """Two outputs whose errors cancel while both have the same upstream gradient sign."""

        takes_none = True

        def forward(self, x):
            return x * 2, x * 3

        def backward(self, dy, dz):
            if dy is None or dz is None:
                return dy if dz is None else dz
            return dy * 2 + dz * 3

    with pytest.raises(GradcheckError, match="output 0 alone"):
        gradcheck(Mixed.apply, np.ones(2), rng=np.random.default_rng(0))


def test_integers_masks_and_none_pass_through():
    W, index, mask = normal(0, (4, 2))[0], np.array([3, 3, 0]), np.array([[1], [0], [1]])
    f = lambda W, i, m, b: ops.linear(ops.embedding(W, i) * m, np.eye(2), b)  # noqa: E731
    for check in CHECKS.values():
        check(f, W, index, mask, None, rng=np.random.default_rng(0))


def test_an_input_without_influence_has_gradient_zero():
    gradcheck(lambda x, y: x * x + 0 * y, *normal(0, (3,), (3,)), rng=np.random.default_rng(0))
    gradcheck(lambda x, y: x * x, *normal(0, (3,), (3,)), rng=np.random.default_rng(0))


def test_inputs_are_not_changed():
    x, y = inputs()
    before = x.copy(), y.copy()
    for check in CHECKS.values():
        check(Cubes.apply, x, Tensor(y), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_big_inputs_are_checked_along_directions():
    x, W = normal(0, (300, 40), (40, 50))
    gradcheck_directional(lambda x, W: ops.tanh(x @ W / 40), x, W, rng=np.random.default_rng(0))


def test_float32_is_refused():
    with pytest.raises(TypeError, match="gradcheck: input 0 is float32, expected float64"):
        gradcheck(ops.tanh, np.ones(2, np.float32), rng=np.random.default_rng(0))


def test_an_op_that_clips_its_gradient_is_refused_with_the_reason():
    class Clipping(Cubes):
        name = "clipping"
        inexact = "step_clip = 1.0 changes the gradient"

    for check in CHECKS.values():
        with pytest.raises(ValueError, match=r"clipping: step_clip = 1.0 changes the gradient"):
            check(lambda x, y: Clipping.apply(x, y)[0] * 2, *inputs(), rng=np.random.default_rng(0))


def test_a_function_of_no_input_is_refused():
    with pytest.raises(ValueError, match="gradcheck: no output depends on a float input"):
        gradcheck(lambda x: Tensor(np.ones(2)), np.ones(2), rng=np.random.default_rng(0))


def test_empty_inputs_pass():
    gradcheck(ops.tanh, np.ones((0, 2)), rng=np.random.default_rng(0))


def tiny(x, y, **mistake):
    x3, y3 = Cubes.apply(x, y, **mistake)
    return x3 * 1e-8, y3 * 1e-8


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_right_tiny_gradient_passes(check):
    check(tiny, *inputs(), rng=np.random.default_rng(0))


@pytest.mark.parametrize("check", [gradcheck, gradcheck_directional])
@pytest.mark.parametrize("wrong", ["every entry", "one entry", "nan", "swapped"])
def test_a_tiny_gradient_wrong_by_a_thousandth_is_caught(check, wrong):
    with pytest.raises(GradcheckError):
        check(lambda x, y: tiny(x, y, wrong=wrong), *inputs(), rng=np.random.default_rng(0))


def test_a_tiny_second_derivative_lost_in_a_saved_constant_is_caught():
    f = lambda x, y: tiny(x, y, second=np.array(x.data))  # noqa: E731
    with pytest.raises(GradcheckError, match="input 0"):
        gradgradcheck(f, *inputs(), rng=np.random.default_rng(0))


@pytest.mark.parametrize("check", [gradcheck, gradcheck_directional])
def test_an_offset_widens_the_tolerance_no_more_than_rounding_does(check):
    def offset(by, **mistake):
        return lambda x, y: tuple(z + by for z in Cubes.apply(x, y, **mistake))

    for by in (1e3, 1e8):  # at 1e8 the difference is off by 1e-2
        check(offset(by), *inputs(), rng=np.random.default_rng(0))
    with pytest.raises(GradcheckError):
        check(offset(1e3, wrong="every entry"), *inputs(), rng=np.random.default_rng(0))
    with pytest.raises(GradcheckError):
        check(offset(1e6, wrong="swapped"), *inputs(), rng=np.random.default_rng(0))
