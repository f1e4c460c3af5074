"""L2 on chosen parameters."""

import math

import numpy as np
import pytest

from nnseq.nn import IndRNN, Linear, Sequential
from nnseq.nn.regularizers import l2_penalty
from nnseq.optim import SGD
from tests.ops.check import check_op


def model(dtype=np.float64):
    rng = np.random.default_rng(0)
    return Sequential(Linear(2, 3, rng=rng, dtype=dtype), IndRNN(3, 4, rng=rng, dtype=dtype))


@pytest.mark.parametrize(
    ("include", "chosen"),
    [
        (None, {"0.W", "1.W_ih"}),
        ("u", {"1.u"}),
        (("u", "0.*"), {"1.u", "0.W", "0.b"}),
        (lambda name: name.endswith("b"), {"0.b", "1.b"}),
    ],
)
def test_half_the_squares_of_the_chosen_parameters_and_no_others(include, chosen):
    m = model()
    for x in m.parameters():
        x.data += 0.5
    options = {} if include is None else {"include": include}
    y = l2_penalty(m.named_parameters(), 3.0, **options)
    squares = [
        float(v) ** 2 for name, x in m.named_parameters() if name in chosen for v in x.data.flat
    ]
    assert y.item() == pytest.approx(1.5 * math.fsum(squares), rel=1e-13)
    y.backward()
    for name, x in m.named_parameters():
        if name in chosen:
            np.testing.assert_allclose(x.grad, 3.0 * x.data, rtol=1e-14)
        else:
            assert x.grad is None


def test_its_gradient_is_the_optimisers_weight_decay():
    a, b = model(), model()
    l2_penalty(a.named_parameters(), 0.25, "*").backward()
    SGD(a.named_parameters(), lr=0.1).step()
    for x in b.parameters():
        x.grad = np.zeros_like(x.data)
    SGD(b.named_parameters(), lr=0.1, weight_decay=0.25).step()
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(x.data, y.data, rtol=1e-14)


def test_first_and_second_derivatives():
    W, V = (np.random.default_rng(k).normal(size=(3, 2 + k)) for k in range(2))
    check_op(lambda W, V: l2_penalty({"W": W, "V": V}, 3.0, "*"), W, V)


def test_the_dtype_stays():
    assert l2_penalty(model(np.float32).named_parameters(), 0.1).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: l2_penalty(m.named_parameters(), -1.0), ValueError, "l2_penalty: coef is -1.0"),
        (
            lambda m: l2_penalty(m.named_parameters(), 1.0, "W_hh"),
            ValueError,
            r"l2_penalty: include: 'W_hh' matches none of 0\.W, 0\.b",
        ),
        (lambda m: l2_penalty(m.parameters(), 1.0), TypeError, "parameters are .* without names"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(model())
