"""The plain IndRNN network."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.backend import device_of, to_device, use_kernels
from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.models.indrnn import PlainIndRNN
from nnseq.nn import build, describe
from nnseq.optim import Adam, clip_grad_norm, clip_grad_value
from tests.nn.functional import as_function
from tests.strategies import arrays

T, B, D, H, L, O = 4, 3, 2, 5, 2, 6


def make(seed=0, seq_len=T, hidden_size=H, num_layers=L, **options):
    sizes = (D, hidden_size, num_layers, O)
    return PlainIndRNN(*sizes, seq_len=seq_len, rng=np.random.default_rng(seed), **options)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_six_and_twelve_layers_have_the_parameter_counts_of_the_published_mnist_networks():
    options = {"seq_len": 784, "rng": np.random.default_rng(0), "bn": "after"}
    assert PlainIndRNN(1, 128, 6, 10, **options).num_parameters() == 86_410
    assert PlainIndRNN(1, 128, 12, 10, **options).num_parameters() == 187_786


def test_the_answer_is_a_linear_function_of_the_last_state():
    model, x = make(in2hid_std=1.0, dtype=np.float64), draw(1, T, B, D)
    h, _ = model.stack(x)
    W, b = model.readout.W.data, model.readout.b.data
    np.testing.assert_allclose(model(x).data, h.data[-1] @ W + b, rtol=1e-12)
    shorter = model(x, lengths=[2, 4, 1]).data
    np.testing.assert_allclose(shorter[0], h.data[1, 0] @ W + b, rtol=1e-12)


def test_initial_values_are_those_of_the_adding_problem():
    model = make(seq_len=5000, hidden_size=400, num_layers=3)
    first, middle, last = (block.rnn for block in model.stack.layers)
    for rnn in (first, middle, last):
        assert rnn.W_ih.data.std() == pytest.approx(0.001, rel=0.1)
        assert abs(rnn.W_ih.data.mean()) < 2e-4
        assert not rnn.b.data.any()
        assert np.abs(rnn.u.data.astype(np.float64)).max() <= 2 ** (1 / 5000)
    assert first.u.data.min() < 0.02
    assert middle.u.data.min() < 0.02
    assert last.u.data.astype(np.float64).min() >= 2 ** (-1 / 5000)
    assert len(np.unique(last.u.data)) > 300
    assert np.abs(model.readout.W.data).max() <= np.sqrt(6 / 406)


def test_tanh_starts_on_both_sides_but_for_the_last_layer():
    model = make(seq_len=50, hidden_size=400, act="tanh")
    first, last = (block.rnn.u.data for block in model.stack.layers)
    bound = (2 / 0.9**5) ** (1 / 50)
    assert -bound <= first.min() < -0.9
    assert 0.9 < first.max() <= bound
    assert last.min() >= 2 ** (-1 / 50)


def test_options_of_the_start_and_the_bound_do_what_they_say():
    assert make(hidden_size=300, init_last_u=False).stack.layers[1].rnn.u.data.min() < 0.1
    explicit = make(hidden_size=300, u_bound=0.99)
    assert explicit.stack.u_bound == 0.99
    assert explicit.stack.layers[0].rnn.u.data.max() <= 0.99
    assert make(constrain_u=False).stack.u_bound is None
    kaiming = make(hidden_size=300, in2hid_std=None).stack.layers[1].rnn.W_ih.data
    assert np.abs(kaiming).max() == pytest.approx(np.sqrt(6 / 65 / 300), rel=1e-3)


def test_u_is_bounded_after_every_step_and_a_longer_sequence_bounds_it_more():
    model = make(hidden_size=40)
    optimizer = Adam(model.named_parameters(), 0.1)
    x, y = draw(1, T, B, D).astype(np.float32), draw(2, B, O).astype(np.float32)
    for _ in range(4):
        optimizer.zero_grad()
        error = model(x) - y
        (error * error).mean().backward()
        clip_grad_value(model.parameters(), 10.0)
        optimizer.step()
        model.constrain()
        assert largest_u(model) <= 2 ** (1 / T)
    assert largest_u(model) > 1.01
    model.set_seq_len(100)
    assert largest_u(model) <= 2 ** (1 / 100)
    assert describe(model)["config"]["seq_len"] == 100
    for options in ({"u_bound": 0.9}, {"constrain_u": False}):
        with pytest.raises(ValueError, match="set_seq_len would change nothing"):
            make(**options).set_seq_len(100)


def largest_u(model):
    return max(np.abs(block.rnn.u.data.astype(np.float64)).max() for block in model.stack.layers)


def test_a_model_is_rebuilt_from_its_description_and_answers_the_same():
    model = make(bn="after", p_drop=0.25, act="tanh", dtype=np.float64)
    x = draw(1, T, B, D)
    model(x, rng=np.random.default_rng(3))
    again = build(json.loads(json.dumps(describe(model))))
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again.eval()(x).data, model.eval()(x).data)
    np.testing.assert_array_equal(model(x).data, model(x).data)


def test_training_draws_masks_and_needs_a_generator():
    model, x = make(p_drop=0.5, in2hid_std=1.0), draw(1, T, B, D).astype(np.float32)
    rng = np.random.default_rng(0)
    assert (model(x, rng=rng).data != model(x, rng=rng).data).any()
    with pytest.raises(TypeError, match="rng is None"):
        model(x)


@pytest.mark.parametrize(
    "options", [{}, {"act": "tanh", "learn_h0": True}, {"bn": "before"}, {"bn": "after"}]
)
def test_gradients(options):
    model = make(in2hid_std=1.0, dtype=np.float64, **options)
    names = [name for name, _ in model.named_parameters()]
    owners = dict(model.named_modules())

    def f(x, *values):
        for name, value in zip(names, values, strict=True):
            owner, _, key = name.rpartition(".")
            setattr(owners[owner], key, value)
        return model(x, lengths=[4, 2, 3])

    values = [np.array(x.data) for x in model.parameters()]
    rng = np.random.default_rng(7)
    gradcheck_directional(f, draw(6, T, B, D), *values, rng=rng, directions=10, atol=1e-6)


@given(
    sizes=st.tuples(*[st.sampled_from([1, 3])] * 4, st.integers(1, 2)),
    num_layers=st.integers(1, 2),
    dtype=st.sampled_from([np.float32, np.float64]),
    is_masked=st.booleans(),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts(sizes, num_layers, dtype, is_masked, data):
    T, B, D, H, O = sizes
    options = {"act": "tanh", "in2hid_std": 1.0, "learn_h0": True, "dtype": np.float64}
    rng = np.random.default_rng(0)
    model = PlainIndRNN(D, H, num_layers, O, seq_len=T, rng=rng, **options)
    x = data.draw(arrays((T, B, D)))
    lengths = rng.integers(1, T + 1, B) if is_masked else None
    last = np.full(B, T - 1) if lengths is None else lengths - 1
    h, _ = model.stack(x)
    W, b = model.readout.W.data, model.readout.b.data
    expected = h.data[last, np.arange(B)] @ W + b
    y = model.astype(dtype)(x.astype(dtype, order="K"), lengths=lengths)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.data, expected, atol=1e-5 if dtype == np.float32 else 1e-13)
    if dtype == np.float64:
        f, parameters = as_function(model, lambda model, x: model(x, lengths=lengths))
        gradcheck(f, *parameters, x, rng=rng)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seq_len": 0}, "PlainIndRNN: seq_len is 0"),
        ({"MAG": 0.0}, "MAG is 0.0"),
        ({"act": "gelu"}, "act is 'gelu'"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"in2hid_std": -1.0}, "std=-1.0"),
        ({"u_bound": -0.5}, "u_bound is -0.5"),
        ({"MAG": 0.5}, r"the last layer's u would start in \[1.189.*, 0.840.*\]"),
        ({"u_bound": 0.5}, r"the last layer's u would start in \[0.840.*, 0.5\]"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "options", [{}, {"bn": "after", "p_drop": 0.3}, {"bn": "before", "bn_steps": 3}]
)
def test_training_on_a_gpu_agrees_with_the_cpu(options):
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    x, y = draw(1, T, B, D), draw(2, B, O)
    states = {}
    for device in ("cpu", "cuda"):
        model = make(in2hid_std=1.0, learn_h0=True, dtype=np.float64, **options).to(device)
        optimizer = Adam(model.named_parameters(), 0.05, weight_decay=0.01, no_decay=("u", "b"))
        rng = np.random.default_rng(3)
        with use_kernels("auto"):
            for _ in range(3):
                optimizer.zero_grad()
                answer = model(to_device(x, device), lengths=[4, 3, 4], rng=rng)
                error = answer - to_device(y, device)
                (error * error).mean().backward()
                clip_grad_norm(model.parameters(), 0.5)
                clip_grad_value(model.parameters(), 0.3)
                optimizer.step()
                model.constrain()
        assert {device_of(p.data) for p in model.parameters()} == {device}
        moments = {f"v of {k}": v for k, v in optimizer.state_dict()["slots"]["v"].items()}
        states[device] = model.state_dict() | moments
    for name, array in states["cpu"].items():
        np.testing.assert_allclose(states["cuda"][name], array, rtol=1e-8, atol=1e-11, err_msg=name)
