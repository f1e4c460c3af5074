"""describe and build: a module from JSON."""

import json

import numpy as np
import pytest

from nnseq.nn import (
    BatchNorm,
    Constant,
    Dropout,
    IndRNN,
    IndRNNStack,
    Linear,
    Module,
    Normal,
    Sequential,
    Uniform,
    build,
    describe,
)


def rng():
    return np.random.default_rng(0)


MODULES = {
    "linear": lambda: Linear(2, 3, rng=rng(), W_init=Normal(0.5), b_init=None, dtype=np.float64),
    "batchnorm": lambda: BatchNorm(3, num_steps=np.int64(4), momentum=0.2),
    "indrnn": lambda: IndRNN(2, 3, rng=rng(), act="tanh", u_bound=0.9, learn_h0=True),
    "stack": lambda: IndRNNStack(
        2, [3, 4], 2, rng=rng(), u_init_last=Uniform(0.5, 0.75), p_drop=0.1
    ),
    "sequential": lambda: Sequential(Linear(2, 3, rng=rng(), b_init=Constant(2.0)), Dropout(0.25)),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_is_made_again_from_its_json(kind):
    module = MODULES[kind]()
    text = json.dumps(describe(module), allow_nan=False)
    again = build(json.loads(text))
    assert repr(again) == repr(module)
    assert describe(again) == describe(module)
    again.load_state_dict(module.state_dict())  # same names, shapes and dtypes


def test_the_dtype_that_was_converted_to_is_described():
    module = MODULES["stack"]().astype(np.float64)
    assert {x.dtype.name for x in build(describe(module)).parameters()} == {"float64"}


def test_initial_values_come_from_the_generator_given():
    description = describe(MODULES["linear"]())
    a, b = (build(description, np.random.default_rng(5)).W.data for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a != MODULES["linear"]().W.data).all()


def test_what_json_cannot_hold_is_refused_by_name():
    module = Sequential(np.tanh)
    with pytest.raises(TypeError, match="Sequential: the argument steps is a ufunc, which JSON"):
        describe(module)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class": "Linaer", "config": {}}, "module class 'Linaer': found nowhere"),
        ({"class": "Linear", "config": {"size": 3}}, "Linear takes no argument size"),
        ({"config": {}}, "expected a class and its config"),
        ([], "expected a class and its config"),
        (
            {"class": "Linear", "config": {"W_init": {"initializer": "os", "numbers": {}}}},
            "unknown initializer 'os'",
        ),
    ],
)
def test_a_foreign_description_is_refused(description, message):
    with pytest.raises(ValueError, match=message):
        build(description)


def test_two_classes_of_one_name_are_ambiguous():
    first = type("Twin", (Module,), {})
    second = type("Twin", (Module,), {})
    with pytest.raises(ValueError, match="module class 'Twin': found"):
        build({"class": "Twin", "config": {}})
    assert first is not second
