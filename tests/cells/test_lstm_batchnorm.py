"""LSTM with recurrent batch norm: statistics of every step, its gradients, PyTorch's batch_norm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.cells import lstm_batchnorm
from nnseq.tensor import Tensor, grad
from tests.cells import whole_sequence as owes
from tests.cells.whole_sequence import ZONEOUT, Cell

T, B, H = 4, 3, 5
CELL = Cell(lstm_batchnorm, ("h", "c", "h_T", "c_T"))  # and mean, var, which have no gradient

VARIANTS = {
    "training": ({}, {"eps": 0.02}),
    "evaluation": ({"statistics": True}, {}),
    "mask": ({"mask": True}, {"eps": 0.02}),
    **{f"zoneout {kind}": ({"zoneout": kind}, {"eps": 0.02}) for kind in ZONEOUT},
    "all fresh": ({"zoneout": "fresh", "mask": True}, {"eps": 0.1}),
    "all static": ({"zoneout": "static", "mask": True}, {"eps": 0.1}),
    "all per unit": (
        {"zoneout": "per unit", "mask": True, "statistics": True},
        {"eps": 0.1},
    ),
}
every_variant = pytest.mark.parametrize("label", VARIANTS)


def draw(T=T, B=B, H=H, *, mask=False, zoneout=None, statistics=False, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": 2 * rng.standard_normal((T, B, 4 * H)) + 1,
        "W_hh": rng.standard_normal((H, 4 * H)),
        "b": rng.standard_normal(4 * H),
        "gamma_x": rng.uniform(0.5, 1.5, 4 * H),
        "gamma_h": rng.uniform(0.5, 1.5, 4 * H),
        "gamma_c": rng.uniform(0.5, 1.5, H),
        "beta_c": rng.standard_normal(H),
        "h0": rng.standard_normal((B, H)),
        "c0": rng.standard_normal((B, H)),
        "z_h": owes.zoneout(rng, zoneout, T, B, H) if zoneout else None,
        "z_c": owes.zoneout(rng, zoneout, T, B, H) if zoneout else None,
        "mask": padded(rng, T, B) if mask else None,
        "mean": rng.standard_normal((T, 9 * H)) if statistics else None,
        "var": rng.uniform(0.3, 2, (T, 9 * H)) if statistics else None,
    }


def padded(rng, T, B):
    """Steps that count for all, for some, for one and for none of the sequences."""
    mask = rng.random((T, B)) < 0.7
    mask[0], mask[T // 2] = True, np.arange(B) == B - 1
    mask[T // 2 + 1 : T // 2 + 2] = False
    return mask


def variant(label, **sizes):
    present, options = VARIANTS[label]
    return draw(**present, **sizes), options


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(
    a, W_hh, b, gamma_x, gamma_h, gamma_c, beta_c, h0, c0, z_h, z_c, mask, mean, var, eps=1e-5
):
    """Every step on the sequences that it counts for alone, unit by unit; also the statistics."""
    T, B, H = len(a), *h0.shape
    mask = np.ones((T, B), bool) if mask is None else mask
    z_h, z_c = (np.broadcast_to(0.0 if z is None else z, (T, B, H)) for z in (z_h, z_c))
    m, v = np.zeros((T, 9 * H)), np.zeros((T, 9 * H))
    h, c, hs, cs = h0.copy(), c0.copy(), np.empty((T, B, H)), np.empty((T, B, H))

    def norm(s, t, first):
        y = np.empty_like(s)
        for j in range(s.shape[1]):
            own = (s[:, j].mean(), s[:, j].var()) if mean is None else None
            m[t, first + j], v[t, first + j] = own or (mean[t, first + j], var[t, first + j])
            y[:, j] = (s[:, j] - m[t, first + j]) / np.sqrt(v[t, first + j] + eps)
        return y

    for t in range(T):
        rows = np.flatnonzero(mask[t])
        if len(rows):
            q = gamma_x * norm(a[t, rows], t, 0) + b
            q = q + gamma_h * norm(h[rows] @ W_hh, t, 4 * H)
            i, f, g, o = np.split(q, 4, axis=1)
            new = c[rows] * sigmoid(f) + np.tanh(g) * sigmoid(i)
            shown = np.tanh(gamma_c * norm(new, t, 8 * H) + beta_c) * sigmoid(o)
            h[rows] = shown + z_h[t, rows] * (h[rows] - shown)
            c[rows] = new + z_c[t, rows] * (c[rows] - new)
        elif mean is not None:
            m[t], v[t] = mean[t], var[t]
        hs[t], cs[t] = h, c
    return hs, cs, m, v


@every_variant
def test_states_and_statistics_are_those_of_the_formulas(label):
    inputs, options = variant(label, T=6)
    h, c, h_T, c_T, mean, var = CELL.call(inputs, **options)
    expected = by_hand(**inputs, **options)
    for y, right in zip((h, c, mean, var), expected, strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(h_T, h[-1])
    np.testing.assert_array_equal(c_T, c[-1])


@every_variant
def test_gradients_of_every_input_are_the_central_differences(label):
    inputs, options = variant(label, T=4, B=3, H=2)
    owes.check_gradients(CELL, inputs, **options)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 2)),
    mask=st.booleans(), zoneout=st.sampled_from([None, *ZONEOUT]), statistics=st.booleans(),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_hold_for_any_sizes(sizes, mask, zoneout, statistics, seed):
    inputs = draw(*sizes, mask=mask, zoneout=zoneout, statistics=statistics, seed=seed)
    owes.check_gradients_at_once(CELL, inputs, seed, eps=0.1)


@pytest.mark.parametrize("label", ["all fresh", "evaluation"])
def test_gradients_hold_along_directions_at_a_length_of_100(label):
    owes.check_gradients_along(CELL, variant(label, T=100, B=5, H=7)[0], eps=0.1)


def test_is_a_loop_over_pytorchs_batch_norm_in_training():
    inputs = draw(B=6, zoneout="fresh")

    def theirs(torch, a, W_hh, b, gamma_x, gamma_h, gamma_c, beta_c, h0, c0, z_h, z_c, **_):
        def norm(s, gamma, beta=None):
            return torch.nn.functional.batch_norm(s, None, None, gamma, beta, training=True)

        h, c, hs, cs = h0, c0, [], []
        for t in range(T):
            i, f, g, o = (norm(h @ W_hh, gamma_h) + norm(a[t], gamma_x, b)).chunk(4, dim=1)
            new = f.sigmoid() * c + i.sigmoid() * g.tanh()
            shown = o.sigmoid() * norm(new, gamma_c, beta_c).tanh()
            h, c = torch.lerp(shown, h, z_h[t]), torch.lerp(new, c, z_c[t])
            hs.append(h)
            cs.append(c)
        return torch.stack(hs), torch.stack(cs), h, c

    owes.compare_with_torch(CELL, inputs, theirs)


def test_is_a_loop_over_pytorchs_batch_norm_in_evaluation():
    inputs = draw(statistics=True)

    def theirs(torch, a, W_hh, b, gamma_x, gamma_h, gamma_c, beta_c, h0, c0, mean, var, **_):
        def norm(s, columns, t, gamma, beta=None):
            m, v = mean[t, columns], var[t, columns]
            return torch.nn.functional.batch_norm(s, m, v, gamma, beta, training=False)

        h, c, hs, cs = h0, c0, [], []
        x, w, cell = slice(0, 4 * H), slice(4 * H, 8 * H), slice(8 * H, 9 * H)
        for t in range(T):
            q = norm(h @ W_hh, w, t, gamma_h) + norm(a[t], x, t, gamma_x, b)
            i, f, g, o = q.chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * norm(c, cell, t, gamma_c, beta_c).tanh()
            hs.append(h)
            cs.append(c)
        return torch.stack(hs), torch.stack(cs), h, c

    owes.compare_with_torch(CELL, inputs, theirs)


# ---- statistics --------------------------------------------------------------------------------


def test_the_two_products_are_normalised_separately_and_step_by_step():
    inputs = draw(B=6)
    mean, var = CELL.call(inputs)[4:]
    of_x, of_h, of_c = np.split(var, [4 * H, 8 * H], axis=1)
    np.testing.assert_allclose(mean[:, : 4 * H], inputs["a"].mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(of_x, inputs["a"].var(axis=1), rtol=1e-12)
    assert (np.abs(of_x - of_h) > 1e-3).mean() > 0.9
    for part in (of_x, of_h, of_c):
        assert (np.abs(np.diff(part, axis=0)) > 1e-4).mean() > 0.9  # another at every step
    # What is normalised by itself may be scaled and shifted by itself, even by step.
    factor = np.array([2.0, 3.0, 5.0, 7.0])[:, None, None]
    scaled = inputs | {"a": factor * inputs["a"] - 4, "W_hh": 10 * inputs["W_hh"]}
    expected = CELL.call(inputs, eps=1e-12)[:4]
    for y, right in zip(CELL.call(scaled, eps=1e-12)[:4], expected, strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("label", ["training", "zoneout fresh"])
def test_with_the_batchs_own_statistics_evaluation_gives_what_training_gave(label):
    inputs, options = variant(label)
    *expected, mean, var = CELL.call(inputs, **options)
    got = CELL.call(inputs | {"mean": mean, "var": var}, **options)
    for y, right in zip(got, [*expected, mean, var], strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-13)
    # But its gradient is another: there the statistics are constants.
    frozen = CELL.run(inputs | {"mean": mean, "var": var}, **options)
    assert np.abs(frozen["da"] - CELL.run(inputs, **options)["da"]).max() > 1e-2


def test_the_cell_that_recurs_is_not_normalised():
    bias = np.repeat([-50.0, 50.0, 0.0, 0.0], H)  # keep everything, take in nothing
    inputs = draw() | {"b": bias}
    c = CELL.call(inputs)[1]
    np.testing.assert_allclose(c, np.broadcast_to(inputs["c0"], c.shape), rtol=1e-12)


def test_padded_steps_are_left_out_of_the_statistics():
    lengths = np.array([6, 2, 4, 6, 3])
    inputs = draw(T=6, B=5) | {"mask": np.arange(6)[:, None] < lengths}
    *_, mean, var = CELL.call(inputs)
    for t in range(6):
        rows = lengths > t
        np.testing.assert_allclose(mean[t, : 4 * H], inputs["a"][t, rows].mean(axis=0))
        np.testing.assert_allclose(var[t, : 4 * H], inputs["a"][t, rows].var(axis=0))
    # From step 4 on the two long ones are as in a batch of their own with the same states.
    h, c, *_ = CELL.call(inputs)
    alone = {
        **inputs,
        "a": inputs["a"][4:, [0, 3]],
        "mask": None,
        "h0": h[3, [0, 3]],
        "c0": c[3, [0, 3]],
    }
    for y, right in zip(CELL.call(alone)[:2], (h, c), strict=True):
        np.testing.assert_allclose(y, right[4:, [0, 3]], rtol=1e-12)


def test_a_step_that_counts_for_one_sequence_sees_only_biases_and_for_none_has_zero_statistics():
    mask = np.ones((4, 3), bool)
    mask[2], mask[3] = [False, True, False], False
    inputs = draw() | {"mask": mask}
    h, c, _, _, mean, var = CELL.call(inputs)
    np.testing.assert_array_equal(mean[2, : 4 * H], inputs["a"][2, 1])
    np.testing.assert_array_equal(mean[3], 0)
    np.testing.assert_array_equal(var[2:], 0)
    i, f, g, o = np.split(inputs["b"], 4)
    new = sigmoid(f) * c[1, 1] + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(c[2, 1], new, rtol=1e-13)
    np.testing.assert_allclose(h[2, 1], sigmoid(o) * np.tanh(inputs["beta_c"]), rtol=1e-13)
    np.testing.assert_array_equal(h[3], h[2])
    found = CELL.run(inputs)
    np.testing.assert_allclose(found["da"][2:], 0, atol=1e-12)


def test_a_batch_of_one_is_finite_and_exact():
    inputs = draw(B=1, H=2)
    owes.check_gradients(CELL, inputs)
    found = CELL.run(inputs)
    assert all(np.isfinite(x).all() for x in found.values())
    assert not found["da"].any()
    assert not found["dW_hh"].any()


def test_equal_initial_states_have_no_variance_and_finite_gradients():
    inputs = draw() | {"h0": np.zeros((B, H))}
    found = CELL.run(inputs)
    assert all(np.isfinite(x).all() for x in found.values())
    np.testing.assert_array_equal(CELL.call(inputs)[5][0, 4 * H : 8 * H], 0)


def test_a_gradient_of_the_statistics_is_refused():
    inputs = draw()
    xs = [None if x is None else Tensor(x, requires_grad=True) for x in inputs.values()]
    *_, mean, var = lstm_batchnorm.lstm_batchnorm(*xs)
    for y in (mean, var):
        with pytest.raises(NotImplementedError, match="lstm_batchnorm: a gradient came for the"):
            grad(y, xs[:1], np.ones(y.shape), retain_graph=True)


# ---- what every cell owes ----------------------------------------------------------------------


@every_variant
def test_manners(label):
    inputs, options = variant(label)
    owes.check_manners(CELL, inputs, **options)


@pytest.mark.parametrize("label", ["training", "all fresh", "evaluation"])
def test_gradients_of_each_output_alone_add_up(label):
    inputs, options = variant(label)
    owes.check_outputs_add_up(CELL, inputs, **options)


@pytest.mark.parametrize("label", ["mask", "all fresh", "all per unit"])
def test_padded_steps_hold_the_states_whatever_they_contain(label):
    inputs, options = variant(label, T=6)
    owes.check_padding(CELL, inputs, **options)


@pytest.mark.parametrize("label", ["training", "all fresh", "all per unit"])
def test_a_sequence_cut_in_two_gives_the_states_and_gradients_of_the_whole(label):
    inputs, options = variant(label, T=6)  # statistics are of a step, so this holds in training too
    owes.check_cut(CELL, inputs, ("a", "z_h", "z_c", "mask", "mean", "var"), **options)


@pytest.mark.parametrize(("T", "B"), [(0, 3), (4, 0)])
@pytest.mark.parametrize("mask", [False, True])
def test_no_step_or_no_sequence(T, B, mask):
    inputs = draw(T=T, B=B) | {"mask": np.ones((T, B), bool) if mask else None}
    found = CELL.run(inputs)
    np.testing.assert_array_equal(found["h_T"], inputs["h0"])
    for name, x in inputs.items():
        if x is not None and name != "mask":
            assert found[f"d{name}"].shape == x.shape
    assert not found["dW_hh"].any()
    assert CELL.call(inputs)[4].shape == (T, 9 * H)


def test_second_derivatives_and_kernels_are_refused_by_name():
    owes.check_refusals(CELL, draw())


@pytest.mark.gpu
@every_variant
def test_cupy_gives_the_same(label):
    inputs, options = variant(label)
    owes.check_on_gpu(CELL, inputs, **options)


BAD = {
    "a is a list, expected an array or a Tensor": {"a": [[[1.0]]]},
    "a has shape (4, 20), expected (T, B, 4H)": {"a": np.zeros((4, 20))},
    "a has shape (4, 3, 8), expected (T, B, 4H) = (4, 3, 20)": {"a": np.zeros((4, 3, 8))},
    "W_hh has shape (20, 5), expected (H, 4H) = (5, 20)": {"W_hh": np.zeros((20, 5))},
    "b has shape (5,), expected (4H,) = (20,)": {"b": np.zeros(5)},
    "gamma_x has shape (5,), expected (4H,) = (20,)": {"gamma_x": np.zeros(5)},
    "gamma_h has shape (5,), expected (4H,) = (20,)": {"gamma_h": np.zeros(5)},
    "gamma_c has shape (20,), expected (H,) = (5,)": {"gamma_c": np.zeros(20)},
    "beta_c is a NoneType, expected an array or a Tensor": {"beta_c": None},
    "c0 has shape (5, 3), expected (B, H) = (3, 5)": {"c0": np.zeros((5, 3))},
    "z_h has shape (4, 3, 1)": {"z_h": np.zeros((4, 3, 1))},
    "z_c has shape (4, 3)": {"z_c": np.zeros((4, 3))},
    "mask has shape (3, 4), expected (T, B) = (4, 3)": {"mask": np.zeros((3, 4))},
    "mean has shape (4, 20), expected (T, 9H) = (4, 45)": {"mean": np.zeros((4, 20))},
    "var has shape (3, 45), expected (T, 9H) = (4, 45)": {"var": np.ones((3, 45))},
    "got only one of mean and var, expected both for evaluation": {"mean": np.zeros((4, 45))},
    "got only one of mean and var": {"var": np.zeros((4, 45))},
    "expected float32 for all or float64 for all": {"gamma_c": np.zeros(5, np.float32)},
    "eps is 0, expected a finite number > 0": {"eps": 0},
    "eps is nan, expected a finite number": {"eps": np.nan},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused_with_the_shape_expected(words):
    inputs = draw()
    options = {k: v for k, v in BAD[words].items() if k not in inputs}
    inputs |= {k: v for k, v in BAD[words].items() if k in inputs}
    with pytest.raises((ValueError, TypeError)) as caught:
        CELL.call(inputs, **options)
    assert words in str(caught.value)
    assert str(caught.value).startswith("lstm_batchnorm: ")
