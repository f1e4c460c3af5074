"""Batch norm over time and step by step, against PyTorch and against its equations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import BatchNorm

from .functional import as_function

T, B, C = 4, 3, 5
MASK = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0]], bool)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(0.7, 1.3, size=shape)


def make(seed=0, **options):
    layer = BatchNorm(C, dtype=np.float64, **options)
    layer.gamma.data[:] = draw(seed, C)
    layer.beta.data[:] = draw(seed + 1, C)
    return layer


def test_over_time_the_statistics_have_one_row_and_step_by_step_one_per_step():
    assert make().running_mean.shape == make().running_var.shape == (C,)
    assert make(num_steps=7).running_mean.shape == make(num_steps=7).running_var.shape == (7, C)
    assert make(num_steps=7).num_parameters() == make().num_parameters() == 2 * C


def test_over_time_every_feature_is_normalised_over_steps_and_batch_together():
    layer, x = make(), draw(2, T, B, C)
    y = (layer(x).data - layer.beta.data) / layer.gamma.data
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-12)
    v = x.var(axis=(0, 1))
    np.testing.assert_allclose(y.var(axis=(0, 1)), v / (v + layer.eps), rtol=1e-12)
    assert np.abs(y.mean(axis=1)).min() > 1e-3  # no single step is


def test_step_by_step_every_feature_is_normalised_at_every_step():
    layer, x = make(num_steps=T), draw(3, T, B, C)
    y = (layer(x).data - layer.beta.data) / layer.gamma.data
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-12)
    v = x.var(axis=1)
    np.testing.assert_allclose(y.var(axis=1), v / (v + layer.eps), rtol=1e-12)


def test_over_time_training_and_evaluation_agree_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    ours = make(momentum=0.2, eps=1e-3)
    peer = peer_of(torch, ours)
    for seed in range(5):
        x = draw(10 + seed, T, B, C)
        theirs = peer(torch.tensor(x).reshape(-1, C)).detach().numpy()
        np.testing.assert_allclose(ours(x).data, theirs.reshape(T, B, C), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.running_mean, peer.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.running_var, peer.running_var.numpy(), rtol=1e-12)
    x = draw(20, 2, B, C)
    theirs = peer.eval()(torch.tensor(x).reshape(-1, C)).detach().numpy().reshape(2, B, C)
    np.testing.assert_allclose(ours.eval()(x).data, theirs, rtol=1e-10, atol=1e-12)


def test_step_by_step_with_a_carried_state_agrees_with_one_torch_layer_per_step():
    """Step t of a chunk that starts at `start` uses row min(start + t, rows - 1)."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    rows = 6
    ours = make(num_steps=rows, momentum=0.2)
    peers = [peer_of(torch, ours) for _ in range(rows)]

    def theirs(x, start):
        steps = [peers[min(start + t, rows - 1)](torch.tensor(x[t])) for t in range(len(x))]
        return torch.stack(steps).detach().numpy()

    for seed, start in enumerate([0, T, 2 * T, 0, 3, 5, 6, 50]):
        x = draw(30 + seed, T, B, C)
        y = ours(x, start=start).data
        np.testing.assert_allclose(y, theirs(x, start), rtol=1e-9, atol=1e-11)
    mean = np.stack([p.running_mean.numpy() for p in peers])
    var = np.stack([p.running_var.numpy() for p in peers])
    np.testing.assert_allclose(ours.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(ours.running_var, var, rtol=1e-12)
    ours.eval()
    for peer in peers:
        peer.eval()
    for start in (0, 3, 40):  # the last chunk is beyond everything that was trained
        x = draw(50 + start, T, B, C)
        y = ours(x, start=start).data
        np.testing.assert_allclose(y, theirs(x, start), rtol=1e-9, atol=1e-11)


def peer_of(torch, ours):
    peer = torch.nn.BatchNorm1d(C, eps=ours.eps, momentum=ours.momentum, dtype=torch.float64)
    with torch.no_grad():
        peer.weight[:] = torch.tensor(ours.gamma.data)
        peer.bias[:] = torch.tensor(ours.beta.data)
    return peer


def test_padded_steps_have_no_part_in_the_statistics():
    layer, x = make(momentum=1.0), draw(4, T, B, C)
    y = layer(x, mask=MASK).data
    counted = x[MASK]
    np.testing.assert_allclose(layer.running_mean, counted.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, counted.var(axis=0, ddof=1), rtol=1e-12)
    changed = np.where(MASK[..., None], x, 1e3)
    np.testing.assert_allclose(layer(changed, mask=MASK).data[MASK], y[MASK], rtol=1e-12)
    by_lengths = layer(x, lengths=[4, 2, 3]).data
    mask = np.arange(T)[:, None] < [4, 2, 3]
    np.testing.assert_array_equal(by_lengths, layer(x, mask=mask).data)


def test_step_by_step_a_step_with_one_entry_leaves_its_row_alone():
    layer, x = make(num_steps=T, momentum=1.0), draw(5, T, B, C)
    mask = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)
    layer(x, mask=mask)
    np.testing.assert_array_equal(layer.running_mean[2], 0)
    np.testing.assert_array_equal(layer.running_var[2], 1)
    np.testing.assert_allclose(layer.running_mean[1], x[1, :2].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var[1], x[1, :2].var(axis=0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.2, 1.0])
def test_steps_beyond_the_last_row_move_it_one_after_another(momentum):
    """In float64, by a loop over the steps; a step with a single entry is passed over."""
    layer, x = make(num_steps=2, momentum=momentum), draw(8, T, B, C)
    mask = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)
    M, V = np.zeros(C), np.ones(C)
    for t in (0, 1, 3):
        counted = x[t, mask[t]]
        M = (1 - momentum) * M + momentum * counted.mean(axis=0)
        V = (1 - momentum) * V + momentum * counted.var(axis=0, ddof=1)
    layer(x, mask=mask, start=7)
    np.testing.assert_allclose(layer.running_mean, [np.zeros(C), M], rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, [np.ones(C), V], rtol=1e-12)


def test_evaluation_changes_nothing_and_repeats():
    layer, x = make(), draw(6, T, B, C)
    layer(x)
    state = layer.eval().state_dict()
    a, b = layer(x).data, layer(x).data
    np.testing.assert_array_equal(a, b)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize("num_steps", [None, T])
def test_evaluating_with_the_batchs_own_statistics_gives_trainings_output_and_learns_nothing(
    num_steps,
):
    layer, x = make(num_steps=num_steps, eval_with="batch"), draw(7, T, B, C)
    trained = layer(x, mask=MASK).data
    state = layer.eval().state_dict()
    np.testing.assert_array_equal(layer(x, mask=MASK).data, trained)
    np.testing.assert_array_equal(layer.running_mean, state["running_mean"])


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("num_steps", [None, 2, T])
@pytest.mark.parametrize("is_training", [True, False])
def test_gradients(num_steps, mask, is_training):
    layer = make(num_steps=num_steps)
    layer(draw(8, T, B, C))
    layer.train(is_training)
    f, parameters = as_function(layer, lambda layer, x: layer(x, mask=mask, start=1))
    assert len(parameters) == 2
    gradcheck(f, *parameters, draw(9, T, B, C), rng=np.random.default_rng(0), atol=1e-6)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(1, 5)),
    num_steps=st.none() | st.integers(1, 8), start=st.integers(0, 9),
    dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 1000),
)  # fmt: skip
def test_statistics_stay_finite_and_dtypes_are_kept(shape, num_steps, start, dtype, seed):
    layer = BatchNorm(shape[2], num_steps=num_steps, dtype=dtype)
    x = (100 * draw(seed, *shape)).astype(dtype)
    for is_training in (True, False):
        y = layer.train(is_training)(x, start=start)
        assert (y.shape, y.dtype) == (shape, dtype)
        assert np.isfinite(y.data).all()
    assert layer.running_mean.dtype == layer.running_var.dtype == dtype
    assert (layer.running_var > 0).all()


def test_features_that_never_vary_come_out_as_beta():
    layer = make()
    y = layer(np.full((T, B, C), 3.0)).data
    np.testing.assert_allclose(y, np.broadcast_to(layer.beta.data, y.shape), atol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNorm(0), "BatchNorm: num_features is 0"),
        (lambda: BatchNorm(2, num_steps=0), "num_steps is 0"),
        (lambda: BatchNorm(2, momentum=1.5), "momentum is 1.5"),
        (lambda: BatchNorm(2, eps=0.0), r"eps is 0\.0, expected a number in \(0"),
        (lambda: BatchNorm(2, eval_with="train"), "expected one of 'running', 'batch'"),
        (lambda: make()(draw(0, T, B, C + 1)), r"expected \(T, B, C\) with C = 5"),
        (lambda: make()(draw(0, B, C)), r"x has shape \(3, 5\)"),
        (lambda: make()(draw(0, 1, 1, C)), "needs more than one entry"),
        (lambda: make(num_steps=3)(draw(0, T, 1, C)), "needs more than one entry"),
        (lambda: make(num_steps=3)(draw(0, T, B, C), start=-1), "start is -1"),
        (lambda: make()(draw(0, T, B, C), mask=np.zeros((T, B))), "no step of the sequences"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
