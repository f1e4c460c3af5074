"""Module: names, modes, state, conversions, and what it refuses."""

import copy
import sys

import numpy as np
import pytest

from nnseq.backend import DeviceError
from nnseq.nn import BatchNorm, Linear, Module, ModuleList, Parameter
from nnseq.tensor import Tensor


class Pair(Module):
    """Two layers, a tied matrix, a buffer and a list."""

    buffers = ("seen",)

    def __init__(self, size, *, rng, tie=True, dtype=np.float32):
        self.first = Linear(size, size, rng=rng, dtype=dtype)
        self.second = Linear(size, size, rng=rng, b_init=None, dtype=dtype)
        if tie:
            self.second.W = self.first.W
        self.scale = Parameter(np.ones((), dtype))
        self.seen = np.zeros(3, dtype)
        self.more = ModuleList([BatchNorm(2, dtype=dtype) for _ in range(2)])

    def forward(self, x):
        return self.second(self.first(x)) * self.scale


def make(seed=0, **options):
    return Pair(4, rng=np.random.default_rng(seed), **options)


def test_parameters_are_named_by_their_way_and_tied_ones_come_once():
    names = [name for name, _ in make().named_parameters()]
    more = [f"more.{i}.{key}" for i in range(2) for key in ("gamma", "beta")]
    assert names == ["scale", "first.W", "first.b", *more]
    assert [name for name, _ in make(tie=False).named_parameters()][3] == "second.W"
    assert make().num_parameters() == 1 + 16 + 4 + 8
    assert make(tie=False).num_parameters() == 1 + 16 + 4 + 16 + 8


def test_frozen_parameters_do_not_count():
    model = make()
    model.first.W.requires_grad = False
    assert model.num_parameters() == 1 + 4 + 8


def test_a_shared_module_is_visited_once():
    model = make()
    model.third = model.first
    assert [name for name, _ in model.named_modules()].count("third") == 0
    assert len(list(model.named_parameters())) == len(list(make().named_parameters()))


def test_replacing_a_parameter_replaces_it_everywhere():
    model = make()
    model.scale = Parameter(np.full((), 2.0, np.float32))
    assert dict(model.named_parameters())["scale"].data == 2.0
    model.scale = None
    assert "scale" not in dict(model.named_parameters())


def test_a_parameter_owns_its_array():
    mine = np.ones(3)
    parameter = Parameter(mine)
    parameter.data += 1
    np.testing.assert_array_equal(mine, 1.0)
    assert parameter.requires_grad


@pytest.mark.parametrize("container", [list, tuple, lambda xs: dict(enumerate(xs))])
def test_a_plain_container_of_layers_is_refused(container):
    model = make()
    with pytest.raises(TypeError, match=r"Pair: heads is a .* use a ModuleList"):
        model.heads = container([Linear(2, 2, rng=np.random.default_rng(0))])
    with pytest.raises(TypeError, match="use a ModuleList"):
        model.weights = container([Parameter(np.ones(2))])
    model.sizes = container([1, 2])  # of other things it is welcome


def test_train_and_eval_reach_every_module():
    model = make()
    assert all(module.is_training for _, module in model.named_modules())
    assert model.eval() is model
    assert not any(module.is_training for _, module in model.named_modules())
    model.train()
    assert all(module.is_training for _, module in model.named_modules())


def test_zero_grad_forgets_every_gradient():
    model = make()
    model(np.ones((2, 4), np.float32)).sum().backward()
    assert model.first.W.grad is not None
    model.zero_grad()
    assert all(x.grad is None for x in model.parameters())


def test_a_tied_parameter_gets_both_gradients():
    model = make(dtype=np.float64)
    x = np.random.default_rng(1).normal(size=(2, 4))
    dy = np.random.default_rng(2).normal(size=(2, 4))
    model(x).backward(dy)
    W, b = model.first.W.data, model.first.b.data
    expected = x.T @ (dy @ W.T) + (x @ W + b).T @ dy
    np.testing.assert_allclose(model.first.W.grad, expected, rtol=1e-12)


def test_state_goes_round_and_is_a_copy():
    source, target = make(0), make(1)
    source.seen += 7
    source.more[0].running_var *= 3
    state = source.state_dict()
    source.first.W.data += 1
    arrays = {name: x.data for name, x in target.named_parameters()}
    target.load_state_dict(state)
    for name, x in target.named_parameters():
        assert x.data is arrays[name]  # in place: an optimiser keeps hold of it
        assert (x.data == state[name]).all()
    np.testing.assert_array_equal(target.seen, 7)
    np.testing.assert_array_equal(target.more[0].running_var, 3)
    assert (source.first.W.data != state["first.W"]).all()
    assert target.second.W is target.first.W


def test_a_state_that_does_not_fit_is_refused_with_every_fault_and_nothing_is_loaded():
    model = make()
    before = model.state_dict()
    state = {name: x + 1 for name, x in model.state_dict().items()}
    del state["scale"], state["more.1.running_var"]
    state["extra"] = np.ones(2)
    state["first.W"] = np.ones((4, 5), np.float32)
    state["seen"] = np.ones(3)
    with pytest.raises(ValueError, match="arrays belong to another Pair") as error:
        model.load_state_dict(state)
    for part in (
        "missing: more.1.running_var, scale;",
        "unexpected: extra;",
        "misshapen: first.W is (4, 5), expected (4, 4);",
        "of another dtype: seen is float64, expected float32;",
    ):
        assert part in str(error.value)
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, before[name])


def test_astype_converts_parameters_and_float_buffers_in_place_of_the_objects():
    model = make()
    W = model.first.W
    model(np.ones((2, 4), np.float32)).sum().backward()
    model.astype(np.float64)
    assert model.first.W is W
    assert model.second.W is W
    assert {x.dtype.name for x in model.parameters()} == {"float64"}
    assert model.seen.dtype == model.more[1].running_mean.dtype == np.float64
    assert W.grad is None
    assert model(np.ones((2, 4))).dtype == np.float64
    with pytest.raises(TypeError, match="Pair: dtype is float16, expected float32 or float64"):
        model.astype(np.float16)


def test_moving_to_a_device_that_is_not_here_says_so(monkeypatch):
    model = make()
    assert model.to("cpu") is model
    with pytest.raises(ValueError, match="expected 'cpu' or 'cuda'"):
        model.to("tpu")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="needs CuPy, which is not installed"):
        model.to("cuda")


def test_constrain_reaches_every_module():
    class Bounded(Module):
        def __init__(self):
            self.u = Parameter(np.array([3.0, -0.5]))

        def constrain_own(self):
            np.clip(self.u.data, -1, 1, out=self.u.data)

    model = make()
    model.more.append(Bounded())
    model.constrain()
    np.testing.assert_array_equal(model.more[2].u.data, [1.0, -0.5])


def test_module_list_indexes_from_both_ends_and_refuses_the_rest():
    layers = make().more
    assert len(layers) == len(list(layers)) == 2
    assert layers[-1] is layers[1]
    with pytest.raises(IndexError, match="got index 2"):
        layers[2]
    with pytest.raises(TypeError, match="got int, expected a Module"):
        layers.append(3)


def test_repr_is_a_tree_with_shapes():
    lines = repr(make()).splitlines()
    assert lines[0] == "Pair(size=4)  scale ()"
    assert lines[1] == "  first: Linear(input_size=4, output_size=4)  W (4, 4)  b (4,)"
    assert lines[4] == "    0: BatchNorm(num_features=2)  gamma (2,)  beta (2,)"


def test_a_deep_copy_is_independent():
    model = make()
    other = copy.deepcopy(model)
    other.first.W.data += 1
    assert (model.first.W.data != other.first.W.data).all()
    assert other.second.W is other.first.W
    assert isinstance(other.first.W, Tensor)


def test_a_missing_argument_is_reported_as_python_does():
    with pytest.raises(TypeError, match="input_size"):
        Linear(rng=np.random.default_rng(0), output_size=3)
