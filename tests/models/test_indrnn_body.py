"""What holds for every IndRNN body: formulas, gradients, states, padding, dropout, files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import interop
from nnseq.gradcheck import gradcheck
from nnseq.models import IndRNNOptions, PlainIndRNNBody, ResidualIndRNNBody, detach
from nnseq.nn import Dropout
from nnseq.ops import concat
from nnseq.optim import SGD
from nnseq.tensor import Tensor, grad
from tests.nn.functional import as_function
from tests.strategies import arrays

from .networks import KINDS, NORMS, B, D, Formulas, H, T, draw, make, states_of

ALL = [(kind, norm) for kind in KINDS for norm in NORMS]
MASK = np.arange(T)[:, None] < [4, 2, 3]


@pytest.mark.parametrize(("kind", "norm"), ALL)
@pytest.mark.parametrize("is_training", [True, False])
def test_output_and_states_are_those_of_the_formulas(kind, norm, is_training):
    body = make(kind, **NORMS[norm])
    x, states, arrays = draw(1, T, B, D), states_of(body), body.state_dict()
    formulas = Formulas(
        arrays, NORMS[norm].get("bn"), states=states, is_training=is_training, start=4
    )
    expected = formulas.run(kind, x)
    y, final = body.train(is_training)(x, states, start=4)
    assert y.shape == (T, B, body.output_size)
    assert (expected != 0).mean() > 0.4  # few dead units, or little would be compared
    np.testing.assert_allclose(y.data, expected, rtol=1e-9, atol=1e-11)
    assert len(final) == body.num_states == len(formulas.final)
    for state, right in zip(detach(final), formulas.final, strict=True):
        np.testing.assert_allclose(state, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("bn", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_batch_norm_has_its_place(kind, bn):
    """The other place gives another output, from the same parameters."""
    x, outputs = draw(1, T, B, D), {}
    for place in ("before", "after"):
        body = make(kind, bn=place)
        states = tuple(np.zeros(s.shape) for s in states_of(body))
        outputs[place] = body(x)[0].data
        formulas = Formulas(body.state_dict(), place, states=states)
        np.testing.assert_allclose(outputs[place], formulas.run(kind, x), rtol=1e-9, atol=1e-11)
    assert np.abs(outputs["before"] - outputs["after"]).max() > 0.1


DROPS = {
    "plain": {"p_drop": 0.3, "p_drop_last": 0.5},
    "residual": {"p_drop": 0.3, "p_drop_last": 0.5},
    "dense": {
        "p_drop": 0.3, "p_drop_inner": 0.2, "p_drop_first": 0.4, "p_drop_transition": 0.1,
        "p_drop_last": 0.5,
    },
    "dense without ends": {"p_drop": 0.3, "p_drop_inner": 0.2, "p_drop_transition": 0.1},
}  # fmt: skip
DROPS["dense with differences"] = DROPS["dense"]


@pytest.mark.parametrize(
    ("norm", "is_training"),
    [("none", True), ("before, by step", True), ("after", True), ("before, by step", False)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_input_the_states_and_every_parameter(kind, norm, is_training):
    """With frozen masks, the batch's statistics in training and the running ones in evaluation."""
    T, B = 3, 2 + (norm != "none")
    body = make(kind, blocks=(1, 1), **NORMS[norm], **DROPS[kind])
    states = [state[:B] for state in states_of(body)]
    body.train(is_training)

    def call(body, x, *states):
        y, final = body(x, states, rng=np.random.default_rng(3), start=1)
        return concat([z.reshape(-1) for z in (y, *final)], 0)

    f, parameters = as_function(body, call)
    rng = np.random.default_rng(7)
    gradcheck(f, *parameters, draw(6, T, B, D), *states, rng=rng)


@pytest.mark.parametrize(("kind", "norm"), ALL)
def test_two_calls_with_the_states_carried_are_one_call_in_evaluation(kind, norm):
    body, x = make(kind, **NORMS[norm]).eval(), draw(1, 2 * T, B, D)
    whole, final = body(x)
    first, states = body(x[:3])
    second, carried = body(x[3:], states, start=3)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12)
    for state, right in zip(detach(carried), detach(final), strict=True):
        np.testing.assert_allclose(state, right, rtol=1e-12)


@pytest.mark.parametrize("bn", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_calls_are_one_call_in_training_where_each_step_has_its_statistics(kind, bn):
    whole, halves = (make(kind, bn=bn, bn_steps=2 * T) for _ in range(2))
    x = draw(1, 2 * T, B, D)
    y, _ = whole(x)
    first, states = halves(x[:3])
    second, _ = halves(x[3:], states, start=3)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), y.data, rtol=1e-9)
    theirs = halves.state_dict()
    for name, array in whole.state_dict().items():
        np.testing.assert_allclose(theirs[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
        assert not name.endswith("running_mean") or array.shape[0] == 2 * T


@pytest.mark.parametrize("kind", KINDS)
def test_far_from_the_reset_the_last_row_of_statistics_serves_every_step(kind):
    """And start does matter on the way there."""
    body, x = make(kind, bn="before", bn_steps=6).eval(), draw(1, T, B, D)
    outputs = [body(x, start=start)[0].data for start in (0, 3, 5, 6, 1000)]
    for late in outputs[3:]:
        np.testing.assert_array_equal(late, outputs[2])
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    assert np.abs(outputs[1] - outputs[2]).max() > 1e-3


@pytest.mark.parametrize(("kind", "norm"), ALL)
def test_padding_changes_nothing(kind, norm):
    """In evaluation a padded sequence is the sequence; in training too what pads it is unseen."""
    body, x = make(kind, **NORMS[norm]), draw(1, T, B, D)
    lengths, b = np.array([4, 2, 3]), np.arange(B)
    for dirt in (1e3, np.nan):
        dirty = np.where(MASK[..., None], x, dirt)
        again = make(kind, **NORMS[norm])
        body.load_state_dict(again.state_dict())
        clean = body(x, lengths=lengths, only_last=True)[0]
        y = again(dirty, mask=MASK, only_last=True)[0]
        np.testing.assert_array_equal(y.data, clean.data)
        y.backward(draw(2, *y.shape))
        assert all(np.isfinite(p.grad).all() for p in again.parameters())
    body.eval()
    y, states = body(x, lengths=lengths)
    last, _ = body(x, lengths=lengths, only_last=True)
    np.testing.assert_allclose(last.data, y.data[lengths - 1, b], rtol=1e-12)
    for i, n in enumerate(lengths):
        alone, final = body(x[:n, i : i + 1])
        np.testing.assert_allclose(y.data[:n, i], alone.data[:, 0], rtol=1e-9, atol=1e-12)
        for state, right in zip(detach(states), detach(final), strict=True):
            np.testing.assert_allclose(state[i], right[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", [None, MASK])
def test_the_last_step_alone_is_the_last_of_all_steps(kind, mask):
    body, x = make(kind, bn="after", **DROPS[kind]), draw(1, T, B, D)
    other = make(kind, bn="after", **DROPS[kind])
    rng_a, rng_b = np.random.default_rng(2), np.random.default_rng(2)
    every, _ = body(x, mask=mask, rng=rng_a)
    last, _ = other(x, mask=mask, rng=rng_b, only_last=True)
    t = np.full(B, T - 1) if mask is None else mask.sum(axis=0) - 1
    np.testing.assert_array_equal(last.data, every.data[t, np.arange(B)])
    assert rng_a.bit_generator.state == rng_b.bit_generator.state


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_masks_stay_over_time_and_change_between_calls(kind, monkeypatch):
    seen = []

    def forward(self, x, rng=None):
        y = original(self, x, rng)
        if self.is_training:
            seen.append((self.p_drop, y.data == 0))
        return y

    original = Dropout.forward
    monkeypatch.setattr(Dropout, "forward", forward)
    body = make(kind, act="identity", **DROPS[kind])
    x, rng = draw(1, T, B, D), np.random.default_rng(0)
    first = body(x, rng=rng)[0].data
    masks, seen = seen, []
    second = body(x, rng=rng)[0].data
    assert (first != second).any()
    assert len(masks) == len(body.recurrences())
    for _, dropped in masks:
        assert (dropped == dropped[0]).all()
    assert any((a != b).any() for (_, a), (_, b) in zip(masks, seen, strict=True))
    expected = {
        "plain": [0.3, 0.3, 0.5],
        "residual": [0.3, 0.3, 0.5],
        "dense": [0.4, *[0.2, 0.3] * 2, 0.1, 0.2, 0.3, 0.5],
        "dense without ends": [*[0.2, 0.3] * 2, 0.1, 0.2, 0.3],
    }
    expected["dense with differences"] = expected["dense"]
    assert [p for p, _ in masks] == expected[kind]
    seen.clear()
    body.eval()
    np.testing.assert_array_equal(body(x)[0].data, body(x, rng=rng)[0].data)
    assert not seen
    with pytest.raises(TypeError, match="rng is None"):
        body.train()(x)


@pytest.mark.parametrize("kind", KINDS)
def test_u_stays_in_its_bound(kind):
    body = make(kind, bn="after", MAG=1.5)
    optimizer = SGD(body.named_parameters(), 5.0)
    for seed in range(3):
        optimizer.zero_grad()
        y, _ = body(draw(seed, T, B, D))
        y.backward(draw(seed + 9, *y.shape))
        optimizer.step()
        body.constrain()
        for name, x in body.named_parameters():
            if name.endswith(".u"):
                assert np.abs(x.data).max() <= 1.5 ** (1 / T), name
    free = make(kind, constrain_u=False)
    for x in free.parameters():
        x.data[...] = 3.0
    free.constrain()
    assert all((x.data == 3.0).all() for x in free.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_body_comes_back_bit_for_bit(kind, tmp_path):
    options = {"bn": "before", "bn_steps": 6, "u_bound": 1.2, **DROPS[kind]}
    body, x = make(kind, **options), draw(1, T, B, D)
    body(x, rng=np.random.default_rng(1))
    interop.save(body, tmp_path / "body.h5")
    again = interop.load(tmp_path / "body.h5")
    assert type(again) is type(body)
    np.testing.assert_array_equal(again(x, start=2)[0].data, body.eval()(x, start=2)[0].data)
    y, z = (m.train()(x, rng=np.random.default_rng(4))[0].data for m in (body, again))
    np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_six_layers_and_two_blocks_agree_with_the_same_network_in_torch(kind, place):
    """A loop over time and BatchNorm1d over steps and batch; output and all gradients, float64."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")

    class Theirs(Formulas):
        def batch_norm(self, x, name):
            layer = torch.nn.BatchNorm1d(x.shape[-1], dtype=torch.float64)
            statistics = {
                key: torch.tensor(start[f"{name}.{key}"]) for key in ("running_mean", "running_var")
            }
            layer.load_state_dict(statistics, strict=False)
            weights = {"weight": self.p[f"{name}.gamma"], "bias": self.p[f"{name}.beta"]}
            flat = x.reshape(-1, x.shape[-1])
            y = torch.func.functional_call(layer, weights, flat).reshape(x.shape)
            for key in statistics:
                trained[f"{name}.{key}"] = getattr(layer, key).numpy()
            return y

    options = IndRNNOptions(7, bn=place, dtype=np.float64)
    cls, depth = (PlainIndRNNBody, 6) if kind == "plain" else (ResidualIndRNNBody, 2)
    body = cls(D, H, depth, options, rng=np.random.default_rng(0))
    start, trained = body.state_dict(), {}
    x = draw(1, 7, B, D)
    p = {name: torch.tensor(array) for name, array in start.items()}
    names = [name for name, _ in body.named_parameters()]
    leaves = [p[name].requires_grad_() for name in names]
    q = torch.tensor(x, requires_grad=True)
    zeros = [torch.zeros(B, H, dtype=torch.float64)] * body.num_states
    theirs = Theirs(p, place, states=zeros, xp=torch)
    expected = theirs.plain(q, 6) if kind == "plain" else theirs.residual(q, 2)
    f, parameters = as_function(body, lambda body, x: body(x)[0])
    check_against_torch(torch, f, [*parameters, x], expected, [*leaves, q])
    buffers = dict(body.named_buffers())
    assert buffers.keys() == trained.keys()
    for name, array in trained.items():
        np.testing.assert_allclose(buffers[name], array, rtol=1e-10, atol=1e-12, err_msg=name)


def check_against_torch(torch, f, inputs, expected, leaves):
    tensors = [Tensor(array, requires_grad=True) for array in inputs]
    y = f(*tensors)
    dy = draw(8, *y.shape)
    found = grad([y], tensors, [dy])
    right = torch.autograd.grad([expected], leaves, [torch.tensor(dy)])
    for mine, other in zip([y.data, *found], [expected, *right], strict=True):
        other = other.detach().numpy()
        scale = np.abs(other).max(initial=1.0)
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-10 * scale)


@given(
    sizes=st.tuples(st.integers(2, 4), st.integers(2, 3), st.integers(1, 3)),
    kind=st.sampled_from(KINDS),
    norm=st.sampled_from(list(NORMS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts(sizes, kind, norm, dtype, data):
    T, B, D = sizes
    body, x = make(kind, D=D, **NORMS[norm]), data.draw(arrays((T, B, D)))
    body.eval()  # the few entries here may tie, and batch norm divides by their deviation
    expected, states = body(x)
    y, final = body.astype(dtype)(x.astype(dtype, order="K"))
    assert y.dtype == dtype
    tolerance = 1e-3 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y.data, expected.data, rtol=tolerance, atol=tolerance)
    for state, right in zip(detach(final), detach(states), strict=True):
        assert state.dtype == dtype
        np.testing.assert_allclose(state, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda b: b(draw(0, T, B, D + 1)), ValueError, r"Body: x has shape \(4, 3, 3\)"),
        (lambda b: b([[[1.0, 2.0]]]), TypeError, "Body: x is a list, expected an array"),
        (lambda b: b(draw(0, T, B, D), states_of(b)[:-1]), ValueError, "states, expected"),
        (lambda b: b(draw(0, T, B, D), np.zeros((1, B, H))), TypeError, "states is a ndarray"),
        (
            lambda b: b(draw(0, T, B + 1, D), states_of(b)),
            ValueError,
            r"has shape \(3, \d\), expected \(B, [HC]\) = \(4, \d\)",
        ),
        (lambda b: b(draw(0, 0, B, D), only_last=True), ValueError, "x has no step"),
        (lambda b: b(draw(0, T, B, D), lengths=[9, 1, 1]), ValueError, r"Body: lengths are \[9"),
        (lambda b: b(draw(0, T, B, D).astype(np.float32)), TypeError, "float32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_refused(kind, call, error, message):
    with pytest.raises(error, match=message):
        call(make(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seq_len": 0}, "seq_len is 0"),
        ({"MAG": 0.0}, "MAG is 0.0"),
        ({"u_bound": -0.5}, "u_bound is -0.5"),
        ({"act": "gelu"}, "act is 'gelu'"),
        ({"bn": "around"}, "bn is 'around'"),
        ({"bn_steps": 4}, "bn_steps is 4, but bn is None"),
        ({"p_drop": 1.0}, "p_drop is 1.0"),
    ],
)
def test_bad_arguments_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        make(kind, **options)
