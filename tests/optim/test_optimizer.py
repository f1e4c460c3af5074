"""What all optimisers share: parameters by name, rates and decays, state, refusals."""

import numpy as np
import pytest

from nnseq.nn.module import Parameter
from nnseq.optim import SGD, Adam, AdamW, RMSProp
from nnseq.tensor import Tensor

EVERY = {
    "sgd": lambda p, **o: SGD(p, 0.1, **o),
    "momentum": lambda p, **o: SGD(p, 0.1, momentum=0.9, nesterov=True, **o),
    "rmsprop": lambda p, **o: RMSProp(p, 0.1, momentum=0.5, centered=True, **o),
    "adam": lambda p, **o: Adam(p, 0.1, **o),
    "adamw": lambda p, **o: AdamW(p, 0.1, **o),
}
SHAPES = {"layers.0.rnn.W_ih": (2, 3), "layers.0.rnn.u": (3,), "layers.1.rnn.u": (4,), "scale": ()}


def parameters(rng, dtype=np.float64):
    return {name: Parameter(np.asarray(rng.normal(size=s), dtype)) for name, s in SHAPES.items()}


def set_gradients(named, rng, zero=()):
    for name, x in named.items():
        x.grad = np.asarray(rng.normal(size=x.shape) * (name not in zero), x.dtype)
        x.grad.setflags(write=False)  # an optimiser may only read it


def values(named):
    return {name: x.data.copy() for name, x in named.items()}


@pytest.mark.parametrize("kind", EVERY)
def test_the_parameter_array_is_updated_in_place_in_its_dtype(kind):
    named = parameters(np.random.default_rng(0), np.float32)
    arrays = {name: x.data for name, x in named.items()}
    before = values(named)
    optimizer = EVERY[kind](named, weight_decay=0.1)
    optimizer.lr = np.float64(0.1)  # a NumPy scalar would make float32 sums float64
    rng = np.random.default_rng(1)
    for _ in range(3):
        set_gradients(named, rng)
        optimizer.step()
    for name, x in named.items():
        assert x.data is arrays[name]
        assert x.data.dtype == np.float32
        assert (x.data != before[name]).all()


@pytest.mark.parametrize("kind", EVERY)
def test_weight_decay_leaves_the_excluded_parameters_alone(kind):
    """With no gradient at all, only decay moves a parameter."""
    named = parameters(np.random.default_rng(2))
    before = values(named)
    optimizer = EVERY[kind](named, weight_decay=0.1, no_decay=("u", "sca*"))
    set_gradients(named, np.random.default_rng(3), zero=SHAPES)
    optimizer.step()
    for name, x in named.items():
        is_decayed = name.endswith("W_ih")
        assert (x.data != before[name]).all() == is_decayed, name
        assert np.array_equal(x.data, before[name]) != is_decayed, name


@pytest.mark.parametrize("kind", EVERY)
def test_no_decay_gives_the_same_step_as_no_weight_decay(kind):
    rng = np.random.default_rng(4)
    a, b = parameters(rng), {}
    b = {name: Parameter(x.data) for name, x in a.items()}
    excluded = EVERY[kind](a, weight_decay=0.3, no_decay=["*"])
    plain = EVERY[kind](b, weight_decay=0.0)
    for seed in range(3):
        set_gradients(a, np.random.default_rng(seed))
        set_gradients(b, np.random.default_rng(seed))
        excluded.step()
        plain.step()
    for name in a:
        np.testing.assert_array_equal(a[name].data, b[name].data)


@pytest.mark.parametrize("kind", EVERY)
def test_an_lr_factor_multiplies_the_step_of_its_parameters_alone(kind):
    rng = np.random.default_rng(5)
    a = parameters(rng)
    b = {name: Parameter(x.data) for name, x in a.items()}
    start = values(a)
    plain = EVERY[kind](a, weight_decay=0.0)
    scaled = EVERY[kind](b, weight_decay=0.0, lr_factors={"layers.*": 0.25, "layers.0.*": 0.5})
    scaled.set_lr_factor(lambda name: name == "scale", 3.0)
    set_gradients(a, np.random.default_rng(6))
    set_gradients(b, np.random.default_rng(6))
    plain.step()
    scaled.step()
    factors = {
        "layers.0.rnn.W_ih": 0.5,
        "layers.0.rnn.u": 0.5,
        "layers.1.rnn.u": 0.25,
        "scale": 3.0,
    }
    for name, factor in factors.items():
        expected = start[name] + factor * (a[name].data - start[name])
        np.testing.assert_allclose(b[name].data, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("kind", EVERY)
def test_six_steps_are_three_steps_a_restart_and_three_steps_bit_for_bit(kind):
    def train(named, optimizer, seeds):
        for seed in seeds:
            set_gradients(named, np.random.default_rng(seed))
            optimizer.lr *= 0.9
            optimizer.step()

    whole = parameters(np.random.default_rng(7), np.float32)
    first = {name: Parameter(x.data) for name, x in whole.items()}
    optimizer = EVERY[kind](whole)
    optimizer.set_lr_factor("u", 0.5)
    train(whole, optimizer, range(6))

    half = EVERY[kind](first)
    half.set_lr_factor("u", 0.5)
    train(first, half, range(3))
    state = half.state_dict()
    second = {name: Parameter(x.data) for name, x in first.items()}
    train(first, half, range(9, 12))  # must not reach the saved state
    restarted = EVERY[kind](second)
    restarted.load_state_dict(state)
    train(second, restarted, range(3, 6))
    for name in whole:
        np.testing.assert_array_equal(whole[name].data, second[name].data)
    assert restarted.state_dict()["step"] == 6


def test_a_state_that_does_not_fit_is_refused_whole_with_every_fault():
    named = parameters(np.random.default_rng(8))
    optimizer = Adam(named, 0.1)
    state = optimizer.state_dict()
    state["step"] = 5
    state["slots"]["m"]["scale"] = np.ones(2)
    state["slots"]["v"]["more"] = np.ones(2)
    state["slots"]["v"]["layers.1.rnn.u"] = np.ones(4, np.float32)
    del state["slots"]["m"]["layers.0.rnn.u"]
    with pytest.raises(
        ValueError, match=r"m/layers\.0\.rnn\.u is missing; v/more is unexpected"
    ) as e:
        optimizer.load_state_dict(state)
    assert "m/scale is float64 (2,), expected float64 ()" in str(e.value)
    assert "v/layers.1.rnn.u is float32 (4,), expected float64 (4,)" in str(e.value)
    assert optimizer.num_steps == 0
    with pytest.raises(ValueError, match="m/scale is missing"):
        optimizer.load_state_dict(SGD(named, 0.1).state_dict())


def test_a_parameter_without_a_gradient_is_named_and_nothing_moves():
    named = parameters(np.random.default_rng(9))
    before = values(named)
    optimizer = SGD(named, 0.1)
    set_gradients(named, np.random.default_rng(10))
    named["scale"].grad = None
    with pytest.raises(ValueError, match="no gradient came for scale; call backward first"):
        optimizer.step()
    for name in named:
        np.testing.assert_array_equal(named[name].data, before[name])


def test_zero_grad_forgets_the_gradients():
    named = parameters(np.random.default_rng(11))
    set_gradients(named, np.random.default_rng(12))
    SGD(named, 0.1).zero_grad()
    assert all(x.grad is None for x in named.values())


def test_a_frozen_parameter_is_left_out():
    named = {"W": Parameter(np.ones(2)), "frozen": Tensor(np.ones(2))}
    assert list(SGD(named, 0.1).parameters) == ["W"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, -0.1), r"SGD: lr is -0\.1"),
        (lambda p: SGD(p, float("nan")), "lr is nan"),
        (
            lambda p: Adam(p, 0.1, beta1=1.0),
            r"Adam: beta1 is 1\.0, expected a number in \[0, 1\.0\)",
        ),
        (lambda p: Adam(p, 0.1, eps=0.0), "eps is 0.0"),
        (lambda p: RMSProp(p, 0.1, rho=-1), "rho is -1"),
        (lambda p: SGD(p, 0.1, momentum=1.5), "momentum is 1.5"),
        (lambda p: SGD(p, 0.1, nesterov=True), "needs a momentum"),
        (lambda p: SGD(p, 0.1, weight_decay=-1e-4), "weight_decay is -0.0001"),
        (lambda p: SGD(p, 0.1, no_decay=["beta"]), "no_decay: 'beta' matches none of"),
        (lambda p: SGD(p, 0.1, lr_factors={"layers.2.*": 2.0}), r"'layers\.2\.\*' matches none"),
        (lambda p: SGD(p, 0.1, lr_factors={"u": -2.0}), r"lr_factors is -2\.0"),
        (lambda p: SGD({}, 0.1), "expected at least one that requires a gradient"),
        (lambda p: SGD([*p.items(), *p.items()], 0.1), "no name twice"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(parameters(np.random.default_rng(13)))
