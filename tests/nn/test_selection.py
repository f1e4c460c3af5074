"""Choosing parameters by patterns of their names, with the optimisers' rules."""

import numpy as np
import pytest

from nnseq.nn import IndRNN, Linear, Sequential
from nnseq.nn.selection import WEIGHT_MATRICES, select_parameters
from nnseq.optim import SGD


def model():
    rng = np.random.default_rng(0)
    return Sequential(Linear(2, 3, rng=rng), IndRNN(3, 4, rng=rng), Linear(4, 1, rng=rng))


def names(include, parameters=None):
    given = model().named_parameters() if parameters is None else parameters
    return list(select_parameters("penalty", given, include))


EVERYTHING = list(dict(model().named_parameters()))


def test_the_weight_matrices_are_those_with_two_axes():
    expected = [name for name, x in model().named_parameters() if x.ndim == 2]
    assert len(expected) == 3
    assert names(WEIGHT_MATRICES) == expected


@pytest.mark.parametrize(
    "include", ["b", "*", "?", "W*", "0.*", "*.W", "*.b", "1.?", lambda name: name.startswith("2")]
)
def test_a_pattern_chooses_what_it_chooses_in_an_optimiser(include):
    optimizer = SGD(model().named_parameters(), lr=1.0, weight_decay=1.0, no_decay=[include])
    expected = [name for name, decay in optimizer.weight_decays.items() if decay == 0]
    assert names(include) == expected
    assert names([include]) == expected
    assert len(expected) > 0


def test_several_patterns_choose_their_union_in_the_models_order():
    assert names(["2.*", "u", "2.W"]) == [n for n in EVERYTHING if n[0] == "2" or n[-1] == "u"]
    assert names("*", dict(model().named_parameters())) == EVERYTHING


def test_the_parameters_themselves_come_back():
    m = model()
    found = select_parameters("penalty", m.named_parameters(), "u")
    (u,) = [x for name, x in m.named_parameters() if name.endswith("u")]
    assert [x is u for x in found.values()] == [True]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: names("V"), ValueError, r"penalty: include: 'V' matches none of 0\.W, 0\.b"),
        (lambda: names(["u", "V"]), ValueError, "'V' matches none"),
        (lambda: names([]), ValueError, "include is empty, expected at least one pattern"),
        (lambda: names([3]), TypeError, "include has 3, expected a pattern or a function"),
        (
            lambda: names("*", model().parameters()),
            TypeError,
            r"generator without names, expected pairs .* model.named_parameters\(\)",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
