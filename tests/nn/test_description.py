"""describe and build: a module from JSON."""

import json

import numpy as np
import pytest

from nnseq.models import IndRNNOptions, PlainIndRNNBody
from nnseq.nn import (
    BatchNorm,
    Constant,
    Dropout,
    IndRNN,
    IndRNNBlock,
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
    "block": lambda: IndRNNBlock(
        IndRNN(2, 3, rng=rng(), u_init=Uniform(0.5, 0.75)), bn="after", p_drop=0.1
    ),
    "values in a value": lambda: PlainIndRNNBody(
        2, 3, 2, IndRNNOptions(9, W_init=Normal(0.5), bn="after", dtype=np.float64), rng=rng()
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


def test_the_bound_that_was_set_is_described():
    layer = IndRNN(2, 3, rng=rng(), u_bound=0.9)
    layer.u_bound = 0.5
    assert build(describe(layer)).u_bound == 0.5
    assert "u_bound=0.5" in repr(layer)


def test_repr_shows_values_that_are_not_the_default():
    lines = repr(MODULES["values in a value"]()).splitlines()
    assert "options=IndRNNOptions(seq_len=9, MAG=2.0," in lines[0]
    assert "W_init=Normal(std=0.5, mean=0.0)" in lines[0]
    assert repr(Linear(2, 3, rng=rng())).startswith("Linear(input_size=2, output_size=3)  ")


def test_the_dtype_that_was_converted_to_is_described():
    module = MODULES["indrnn"]().astype(np.float64)
    assert {x.dtype.name for x in build(describe(module)).parameters()} == {"float64"}
    body = MODULES["values in a value"]().astype(np.float32)
    assert {x.dtype.name for x in build(describe(body)).parameters()} == {"float32"}


def test_a_value_is_its_class_and_its_fields():
    config = describe(MODULES["values in a value"]())["config"]
    assert config["options"]["value"] == "IndRNNOptions"
    fields = config["options"]["fields"]
    assert fields["W_init"] == {"value": "Normal", "fields": {"std": 0.5, "mean": 0.0}}
    assert (fields["seq_len"], fields["bn"], fields["dtype"]) == (9, "after", "float64")
    again = build({"class": "PlainIndRNNBody", "config": config})
    assert again.options == IndRNNOptions(9, W_init=Normal(0.5), bn="after", dtype=np.float64)


def test_initial_values_come_from_the_generator_given():
    description = describe(MODULES["linear"]())
    a, b = (build(description, np.random.default_rng(5)).W.data for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a != MODULES["linear"]().W.data).all()


def test_what_json_cannot_hold_is_refused_by_name():
    module = Sequential(np.tanh)
    with pytest.raises(TypeError, match="Sequential: the argument steps is a ufunc, which JSON"):
        describe(module)


def with_init(name, **fields):
    return {"class": "Linear", "config": {"W_init": {"value": name, "fields": fields}}}


def test_initial_values_are_read_as_they_were_once_written():
    old = {"initializer": "Normal", "numbers": {"std": 0.5, "mean": 0.0}}
    linear = {"input_size": 2, "output_size": 3}
    new = describe(Linear(**linear, rng=rng(), W_init=Normal(0.5)))
    assert describe(build({"class": "Linear", "config": linear | {"W_init": old}})) == new


@pytest.mark.parametrize(
    "init",
    [
        *({"value": "Constant", "fields": {"value": x}} for x in (10**400, -(10**400))),
        {"value": "Normal", "fields": {"std": 10**400}},
        {"value": "KaimingUniform", "fields": {"a": 1e200}},
        {"value": "Uniform", "fields": {"low": -1.7e308, "high": 1.7e308}},
    ],
)
def test_numbers_that_are_too_large_are_refused(init):
    config = {"input_size": 2, "output_size": 3, "W_init": init, "dtype": "float64"}
    with pytest.raises(ValueError, match=r"Linear has a number that is too l|value is -?inf, exp"):
        build({"class": "Linear", "config": config})


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class": "Linaer", "config": {}}, "Module class 'Linaer': found nowhere"),
        ({"class": "Linear", "config": {"size": 3}}, "Linear takes no argument size"),
        ({"config": {}}, "expected a class and its config"),
        ([], "expected a class and its config"),
        ({"class": "Linear", "config": [1]}, "expected a class and its config by name"),
        (with_init("IndRNNOptions", seq_len=5, MAG=10**400), "MAG is inf, expected a number"),
        (with_init("os"), "Value class 'os': found nowhere"),
        (with_init("Linear"), "Value class 'Linear': found nowhere"),
        (with_init(["Normal"]), r"Value class \['Normal'\]: found nowhere"),
        (with_init("Initializer"), "build: no Initializer has such fields: .*abstract"),
        (with_init("Normal"), "build: no Normal has such fields: .* missing .* 'std'"),
        (with_init("Normal", std=1.0, path="x"), "no Normal has such fields: .*'path'"),
        (with_init("Normal", std="1"), "no Normal has such fields: '<=' not supported"),
        (with_init("Normal", std=-1.0), "std=-1.0, mean=0.0.*: expected a finite std >= 0"),
        (with_init("IndRNNOptions", seq_len=0), "seq_len is 0"),
        (with_init("IndRNNOptions", seq_len=5, dtype="int8"), "no IndRNNOptions .*int8"),
        (with_init("IndRNNOptions", seq_len=5, dtype="x"), "no IndRNNOptions .*'x'"),
        ({"class": "Linear", "config": {"W_init": {"value": "Normal", "fields": 3}}}, "no Normal"),
    ],
)
def test_a_foreign_description_is_refused(description, message):
    with pytest.raises(ValueError, match=message):
        build(description)


def test_two_classes_of_one_name_are_ambiguous():
    first = type("Twin", (Module,), {})
    second = type("Twin", (Module,), {})
    with pytest.raises(ValueError, match="Module class 'Twin': found"):
        build({"class": "Twin", "config": {}})
    assert first is not second
