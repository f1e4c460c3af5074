"""The Neural GPU: against loops over pixels, relaxed sharing, padding, gradients."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.nn import Constant, Normal, build, describe
from nnseq.nn.neural_gpu import ConvGRU, ConvGRURecurrence, NeuralGPU, cutoff_sigmoid
from nnseq.ops import cross_entropy
from nnseq.optim import SGD
from nnseq.tensor import Tensor

from ..strategies import seeds
from .functional import as_function

B, W, N, M = 2, 3, 5, 4  # images, rows, columns, channels
L, R, V, O = 2, 3, 6, 7  # layers, copies, symbols, outputs
WIDE = {"W_init": Normal(0.4), "b_rz_init": Normal(0.7), "dtype": np.float64}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rng(seed=0):
    return np.random.default_rng(seed)


def make(seed=0, **options):
    return ConvGRURecurrence(M, L, rng=rng(seed), **{"num_copies": R, **WIDE, **options})


def model(seed=0, **options):
    options = {"num_outputs": O, "width": W, "W_init": Normal(0.4), "dtype": np.float64} | options
    return NeuralGPU(V, M, rng=rng(seed), num_layers=L, **options)


def symbols(seed, *shape):
    return rng(seed).integers(0, V, shape)


def convolve(U, s, b):
    """Pixel by pixel and tap by tap."""
    K, L = U.shape[:2]
    y = np.empty((*s.shape[:3], U.shape[3]))
    for at in np.ndindex(s.shape[:3]):
        y[at] = b
        for k, l in np.ndindex(K, L):
            row, column = at[1] + k - K // 2, at[2] + l - L // 2
            if 0 <= row < s.shape[1] and 0 <= column < s.shape[2]:
                y[at] += U[k, l].T @ s[at[0], row, column]
    return y


def by_pixels(layer, s):
    """One step of a ConvGRU."""
    m = layer.channels

    def gate(a):
        return np.clip((layer.cutoff / (1 + np.exp(-a))) - (layer.cutoff - 1) / 2, 0, 1)

    r = gate(convolve(layer.W_rz.data[..., :m], s, layer.b_rz.data[:m]))
    z = gate(convolve(layer.W_rz.data[..., m:], s, layer.b_rz.data[m:]))
    return z * s + (1 - z) * np.tanh(convolve(layer.W_n.data, r * s, layer.b_n.data))


# ---- the cell ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", [1.0, 1.2, 2.0])
@pytest.mark.parametrize("kernel_size", [(3, 3), (1, 5), (5, 1)])
def test_a_step_is_that_of_loops_over_pixels(kernel_size, cutoff):
    layer = ConvGRU(M, rng=rng(), kernel_size=kernel_size, cutoff=cutoff, **WIDE)
    layer.b_n.data[:] = draw(2, M)
    s = draw(1, B, W, N, M)
    np.testing.assert_allclose(layer(s).data, by_pixels(layer, s), rtol=1e-12, atol=1e-14)


def test_the_gate_reaches_0_and_1_where_the_paper_cuts_it():
    a = np.array([-9.0, np.log(1 / 11) - 1e-9, 0.0, 1.0, np.log(11) + 1e-9, 9.0])
    expected = [0, 0, 0.5, 1.2 / (1 + np.exp(-1)) - 0.1, 1, 1]  # 1.2 σ(-log 11) = 0.1
    np.testing.assert_allclose(cutoff_sigmoid(Tensor(a), 1.2).data, expected, rtol=1e-14)
    inside = np.log(11) - 1e-6
    assert 0 < cutoff_sigmoid(Tensor(np.array([-inside])), 1.2).data[0] < 1e-6
    np.testing.assert_allclose(cutoff_sigmoid(a, 1.0), 1 / (1 + np.exp(-a)), rtol=1e-12)
    gradcheck(cutoff_sigmoid, np.array([-3.0, -1.0, 0.5, 2.0, 3.0]), rng=rng())


def test_a_cut_gate_keeps_a_state_exactly_and_a_sigmoid_does_not():
    s = draw(1, B, W, N, M)
    for cutoff, holds in ((1.2, True), (1.0, False)):
        stack = make(cutoff=cutoff, W_init=Normal(0.01), b_rz_init=Constant(4.0))
        assert (stack(s, 50).data == s).all() == holds


def test_one_step_reaches_two_columns_and_two_rows():
    layer, s = make(num_copies=1).copies[0][0], draw(1, 1, 7, 8, M)
    near = s.copy()
    near[0, 3, 4] += 0.5
    changed = (layer(near).data != layer(s).data).any(-1)[0]
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 5, 2, 6)


# ---- the recurrence and its relaxation ---------------------------------------------------------


def test_step_t_uses_copy_t_modulo_r_of_every_layer():
    stack, s = make(), draw(1, B, W, N, M)
    expected = s
    for t in range(N):
        for layer in stack.copies[t % R]:
            expected = by_pixels(layer, expected)
    np.testing.assert_allclose(stack(s).data, expected, rtol=1e-10)  # n steps by default
    np.testing.assert_allclose(stack(s, N).data, expected, rtol=1e-10)
    np.testing.assert_array_equal(stack(s, 0), s)


def equal_copies(stack):
    for row in stack.copies:
        row.load_state_dict(stack.copies[0].state_dict())
    return stack


def test_relaxed_with_equal_copies_is_unrelaxed():
    relaxed, one, s = equal_copies(make()), make(num_copies=1), draw(1, B, W, N, M)
    one.copies[0].load_state_dict(relaxed.copies[0].state_dict())
    np.testing.assert_array_equal(relaxed(s).data, one(s).data)
    dy = draw(2, B, W, N, M)
    for stack in (relaxed, one):
        stack(s).backward(dy)
    for name, x in one.copies[0].named_parameters():
        total = sum(dict(row.named_parameters())[name].grad for row in relaxed.copies)
        np.testing.assert_allclose(x.grad, total, rtol=1e-10, atol=1e-12)


def test_the_copies_start_apart_with_gates_open_by_the_bias():
    for name, theta in every_copy(make(b_rz_init=Constant(1.0))).items():
        expected = {"b_rz": 1, "b_n": 0}.get(name[2:])
        assert (theta[0] != theta[1]).all() if expected is None else (theta == expected).all()
    assert (ConvGRU(M, rng=rng()).b_rz.data == 1).all()


def every_copy(stack):
    """Name -> (R, ...) array of the copies of one parameter."""
    copies = [row.state_dict() for row in stack.copies]
    return {name: np.stack([c[name] for c in copies]) for name in copies[0]}


def test_the_penalty_is_the_summed_squared_distance_from_the_mean():
    stack = make()
    expected = R * sum(theta.var(0).sum() for theta in every_copy(stack).values())
    assert stack.relaxation_penalty(1.0).item() == pytest.approx(expected, rel=1e-12)
    assert stack.relaxation_penalty(2.5).item() == pytest.approx(2.5 * expected, rel=1e-12)


def test_the_gradient_of_the_penalty_points_from_the_mean():
    stack = make()
    stack.relaxation_penalty(0.7).backward()
    for name, theta in every_copy(stack).items():
        for k, row in enumerate(stack.copies):
            expected = 2 * 0.7 * (theta[k] - theta.mean(0))
            got = dict(row.named_parameters())[name].grad
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_the_penalty_is_exactly_0_if_the_copies_are_equal_and_only_then():
    stack = equal_copies(make())
    penalty = stack.relaxation_penalty(3.0)
    assert penalty.item() == 0
    penalty.backward()
    assert all((x.grad == 0).all() for x in stack.parameters())
    assert make(num_copies=1).relaxation_penalty(3.0).item() == 0
    for name, x in stack.named_parameters():
        x.data.flat[-1] += 1e-3
        assert stack.relaxation_penalty(3.0).item() > 1e-7, name
        x.data.flat[-1] -= 1e-3


def trained(weights):
    """20 steps at each weight of the penalty; T = 2 reaches copies 0 and 1. Return model and x."""
    network = model(num_copies=R, E_init=Normal(1.0))
    x, target = symbols(1, 2, B), rng(2).integers(0, O, (2, B))
    optimizer = SGD(network.named_parameters(), 0.0)
    for weight in weights:
        optimizer.lr = 0.05 if weight == 0 else min(0.05, 0.25 / weight)
        for _ in range(20):
            optimizer.zero_grad()
            loss = cross_entropy(network(x), target)
            (loss + network.relaxation_penalty(weight)).backward()
            optimizer.step()
    return network, x


def test_training_under_a_growing_penalty_makes_the_copies_equal():
    free, _ = trained([0, 0, 0])
    network, x = trained([1, 10, 100])
    distance = free.relaxation_penalty(1.0).item(), network.relaxation_penalty(1.0).item()
    assert distance[0] > 1
    assert distance[1] < 1e-6
    before = network(x).data
    network.unify()
    # √1e-6 bounds how far a parameter is from the average of its copies.
    np.testing.assert_allclose(network(x).data, before, rtol=0, atol=1e-3)
    far = free(x).data
    free.unify()
    assert np.abs(free(x).data - far).max() > 0.1


def test_unify_leaves_one_copy_the_average():
    stack, s = make(), draw(1, B, W, N, M)
    mean = {name: theta.mean(0) for name, theta in every_copy(stack).items()}
    kept = list(stack.copies[0].parameters())
    optimizer = SGD(stack.named_parameters(), 0.1)
    stack.unify()
    assert [name for name, _ in stack.named_parameters()] == [f"copies.0.{name}" for name in mean]
    for name, x in stack.copies[0].named_parameters():
        np.testing.assert_allclose(x.data, mean[name], rtol=1e-13)
    assert all(a is b for a, b in zip(kept, stack.parameters(), strict=True))
    stack(s).backward(draw(2, B, W, N, M))
    with pytest.raises(ValueError, match=r"no gradient came for copies\.1\.0\.W_rz"):
        optimizer.step()


def test_unify_changes_no_bit_of_copies_that_are_equal():
    stack = equal_copies(make(dtype=np.float32))
    before = stack.copies[0].state_dict()
    stack.unify()
    for name, x in stack.copies[0].state_dict().items():
        np.testing.assert_array_equal(x, before[name])


# ---- the model ---------------------------------------------------------------------------------


def test_symbols_enter_and_leave_by_the_first_row():
    network, x = model(), symbols(1, N, B)
    for layer in network.recurrence.copies[0]:
        layer.W_rz.data[:] = 0
        layer.b_rz.data[:] = 9  # every gate keeps the image
    y = network(x).data
    expected = network.E.data[x] @ network.head.W.data + network.head.b.data
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_it_is_the_recurrence_between_two_maps():
    network, x = model(num_copies=R), symbols(1, N, B)
    s = np.zeros((B, W, N, M))
    for t, b in np.ndindex(N, B):
        s[b, 0, t] = network.E.data[x[t, b]]
    for t in range(N):
        for layer in network.recurrence.copies[t % R]:
            s = by_pixels(layer, s)
    expected = np.einsum("btm,mo->tbo", s[:, 0], network.head.W.data) + network.head.b.data
    np.testing.assert_allclose(network(x).data, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("as_mask", [False, True])
def test_a_padded_sequence_is_what_it_is_alone_whatever_the_padding_holds(as_mask):
    lengths = np.array([5, 1, 3])
    x, mask = symbols(1, N, 3), np.arange(N)[:, None] < lengths
    x[~mask] = -99
    network = model(num_copies=2)
    y = network(x, mask=mask) if as_mask else network(x, lengths=lengths)
    dy = draw(2, *y.shape)
    y.backward(dy)
    total = {name: 0 for name, _ in network.named_parameters()}
    for b, n in enumerate(lengths):
        alone = model(num_copies=2)
        y_b = alone(x[:n, b : b + 1])
        np.testing.assert_allclose(y.data[:n, b], y_b.data[:, 0], rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(y.data[n:, b], 0)
        y_b.backward(dy[:n, b : b + 1])
        for name, parameter in alone.named_parameters():
            total[name] = total[name] + (0 if parameter.grad is None else parameter.grad)
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(parameter.grad, total[name], rtol=1e-9, atol=1e-12)


def test_a_padded_image_is_what_it_is_alone_for_any_number_of_steps():
    stack, s, lengths = make(), draw(1, B, W, N, M), [2, 4]
    for b, n in enumerate(lengths):
        s[b, :, n:] = np.nan
    for steps in (None, 0, 7):
        s_T = stack(s, steps, lengths=lengths)
        for b, n in enumerate(lengths):
            alone = stack(Tensor(s[b : b + 1, :, :n]), steps)
            np.testing.assert_allclose(np.asarray(s_T.data)[b, :, :n], alone.data[0], rtol=1e-11)
            assert (np.asarray(s_T.data)[b, :, n:] == 0).all()


@pytest.mark.parametrize(("num_copies", "copies"), [(1, 1), (R, R)])
def test_the_parameters_are_counted_by_formula(num_copies, copies):
    layer = 3 * 3 * M * 2 * M + 2 * M + 3 * 3 * M * M + M
    network = model(num_copies=num_copies)
    assert network.num_parameters() == V * M + copies * L * layer + M * O + O
    network.unify()
    assert network.num_parameters() == V * M + L * layer + M * O + O
    assert NeuralGPU(V, M, rng=rng()).head.W.shape == (M, V)


# ---- gradients ---------------------------------------------------------------------------------


def test_gradients_of_the_cell():
    layer = ConvGRU(2, rng=rng(), **WIDE)
    f, parameters = as_function(layer, lambda layer, s: layer(s))
    assert len(parameters) == 4
    gradcheck(f, *parameters, draw(1, 1, 3, 4, 2), rng=rng(2))


def test_gradients_of_the_recurrence_with_copies_and_lengths():
    stack = ConvGRURecurrence(1, 2, rng=rng(), num_copies=2, kernel_size=(1, 3), **WIDE)
    f, parameters = as_function(stack, lambda stack, s: stack(s, lengths=[4, 2]))
    assert len(parameters) == 2 * 2 * 4
    gradcheck(f, *parameters, draw(1, 2, 3, 4, 1), rng=rng(2))


def test_gradients_of_the_model():
    network = NeuralGPU(
        3, 2, rng=rng(), width=2, num_layers=1, num_copies=2, kernel_size=(1, 3),
        W_init=Normal(0.5), dtype=np.float64,
    )  # fmt: skip
    x = np.array([[0, 2], [1, 1], [2, 0]])
    f, parameters = as_function(network, lambda network: network(x, lengths=[3, 2]))
    assert len(parameters) == 1 + 2 * 4 + 2
    gradcheck(f, *parameters, rng=rng(2))


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 6), seed=seeds, is_padded=st.booleans(),
    cutoff=st.sampled_from([1.0, 1.2]), kernel_size=st.sampled_from([(3, 3), (1, 3), (3, 1)]),
)  # fmt: skip
def test_gradients_at_any_size(sizes, seed, is_padded, cutoff, kernel_size):
    B, w, n, m, layers, copies = sizes
    g = rng(seed)
    stack = ConvGRURecurrence(
        m, layers, rng=g, num_copies=copies, kernel_size=kernel_size, cutoff=cutoff, **WIDE
    )
    lengths = g.integers(1, n + 1, B) if is_padded else None
    f, parameters = as_function(stack, lambda stack, s: stack(s, lengths=lengths))
    gradcheck_directional(f, *parameters, g.normal(size=(B, w, n, m)), rng=g)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int64, np.int32, np.uint8])
def test_the_dtype_is_the_parameters_whatever_the_integers(dtype, index):
    y = model(dtype=dtype)(symbols(1, N, B).astype(index), lengths=[N, 2])
    assert (y.shape, y.dtype) == ((N, B, O), dtype)


@pytest.mark.parametrize(
    "unify", [lambda network: None, NeuralGPU.unify, lambda network: network.recurrence.unify()]
)
def test_it_is_made_again_from_its_json_and_its_arrays(unify):
    network, x = model(3, num_copies=R, cutoff=1.3, kernel_size=(3, 1)), symbols(1, N, B)
    unify(network)
    again = build(json.loads(json.dumps(describe(network))), rng(9))
    assert describe(again) == describe(network)
    assert (again(x).data != network(x).data).any()
    again.load_state_dict(network.state_dict())
    np.testing.assert_array_equal(again(x).data, network(x).data)
