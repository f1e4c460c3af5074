"""nnseq.runs.finite: which number or array is named, of several and of none."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq.nn.linear import Linear
from nnseq.runs.finite import NonFiniteError, bad_gradient, bad_parameter, check_numbers


def test_the_first_number_that_is_not_finite_is_named() -> None:
    check_numbers("step 3", {"lr": 0.5, "T": 7}, "lower it")
    with pytest.raises(NonFiniteError, match=r"\Astep 3: loss is inf; lower it\Z"):
        check_numbers("step 3", {"lr": 0.5, "loss": float("inf"), "T": float("nan")}, "lower it")


def test_the_first_array_that_is_not_finite_is_named_and_its_entries_counted() -> None:
    model = Linear(3, 2, rng=np.random.default_rng(0))
    assert (bad_parameter(model), bad_gradient(model)) == ("", ""), "no gradient is a good one"
    model.W.data[1] = np.nan
    model.b.data[0] = np.inf
    said = "the first array that is not finite is the parameter W: 2 of 6 entries"
    assert bad_parameter(model) == said
    model.b.grad = np.array([0.0, -np.inf])
    said = "the first array that is not finite is the gradient of b: 1 of 2 entries"
    assert bad_gradient(model) == said
