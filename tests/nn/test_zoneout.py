"""Zoneout masks. A weight of 1 keeps the old value."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn.description import build, describe
from nnseq.nn.zoneout import Zoneout
from nnseq.tensor import Tensor

T, B, H = 4, 3, 5
LIKE = np.empty(0, np.float64)


def rng(seed=0):
    return np.random.default_rng(seed)


def static(p=(0.3, 0.6), seq_len=T, hidden_size=H, seed=0):
    return Zoneout(p, hidden_size, masks="static", seq_len=seq_len, rng=rng(seed))


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# ---- how many, and where -----------------------------------------------------------------------


@pytest.mark.parametrize("masks", ["fresh", "shared"])
@pytest.mark.parametrize("p", [(0.15,), (0.05, 0.5), (0.5, 0.05), (0.9, 0.9)])
def test_the_share_of_frozen_units_is_p_for_each_state(p, masks):
    weights = Zoneout(p, 64, masks=masks)(50, 20, LIKE, rng())
    for z, q in zip(weights, p, strict=True):
        assert z.shape == (50, 20, 64)
        assert set(np.unique(z)) == {0, 1}
        assert abs((z == 1).mean() - q) < 5 * math.sqrt(q * (1 - q) / z.size)


@pytest.mark.parametrize("q", [0.2, 0.5])
def test_p_is_the_chance_to_keep_the_old_value_not_to_update(q):
    (z,) = Zoneout((q,), 100)(30, 20, LIKE, rng())
    old, new = rng(1).normal(size=(2, 30, 20, 100))
    s = z * old + (1 - z) * new  # (1)
    assert abs((s == old).mean() - q) < 5 * math.sqrt(q * (1 - q) / s.size)
    assert ((s == old) | (s == new)).all()  # nothing is scaled


def test_fresh_masks_of_h_and_c_are_independent():
    z_h, z_c = Zoneout((0.3, 0.6), 64)(50, 20, LIKE, rng())
    assert abs(correlation(z_h, z_c)) < 5 / math.sqrt(z_h.size)


def test_fresh_masks_are_independent_over_steps_sequences_and_units():
    (z,) = Zoneout((0.4,), 60)(40, 30, LIKE, rng())
    for a, b in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1]), (z[..., 1:], z[..., :-1])):
        assert abs(correlation(a, b)) < 5 / math.sqrt(a.size)
        assert (a != b).any()


def test_shared_masks_of_equal_p_are_one_mask():
    z_h, z_c = Zoneout((0.3, 0.3), 40, masks="shared")(T, B, LIKE, rng())
    np.testing.assert_array_equal(z_h, z_c)
    (alone,) = Zoneout((0.3,), 40, masks="shared")(T, B, LIKE, rng())
    np.testing.assert_array_equal(z_h, alone)


@pytest.mark.parametrize("p", [(0.2, 0.7), (0.7, 0.2), (0.3, 1.0)])
def test_of_shared_masks_the_rarer_lies_in_the_other(p):
    z = Zoneout(p, 64, masks="shared")(50, 20, LIKE, rng())
    rare, often = (z[k] for k in np.argsort(p))
    assert (rare <= often).all()
    assert (rare < often).any()


def test_a_shared_mask_of_one_state_leaves_the_other_alone():
    z_h, z_c = Zoneout((0.0, 0.5), H, masks="shared")(T, B, LIKE, rng())
    assert z_h is None
    assert set(np.unique(z_c)) == {0, 1}


# ---- evaluation --------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", ["fresh", "shared"])
def test_evaluation_has_the_probabilities_themselves_and_draws_nothing(masks):
    layer, source = Zoneout((0.05, 0.5), H, masks=masks).eval(), rng()
    before = source.bit_generator.state
    for z_h, z_c in (layer(T, B, LIKE), layer(T, B, LIKE, source)):
        np.testing.assert_array_equal(z_h, np.full((1, 1, H), 0.05))
        np.testing.assert_array_equal(z_c, np.full((1, 1, H), 0.5))
    assert source.bit_generator.state == before
    assert layer.train()(T, B, LIKE, source)[0].shape == (T, B, H)


def test_one_step_averaged_over_many_masks_is_the_step_in_evaluation():
    count, q = 100_000, 0.3
    layer = Zoneout((q,), H)
    old, new = rng(1).normal(size=(2, H))
    (z,) = layer(1, count, LIKE, rng())
    steps = z[0] * old + (1 - z[0]) * new
    (z,) = layer.eval()(1, count, LIKE)
    expected = z[0, 0] * old + (1 - z[0, 0]) * new
    sigma = np.abs(old - new) * math.sqrt(q * (1 - q) / count)
    assert (np.abs(steps.mean(axis=0) - expected) < 5 * sigma).all()


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("masks", ["fresh", "shared"])
def test_p_0_needs_no_weights_and_no_generator(masks, is_training):
    layer = Zoneout((0.0, 0.0), H, masks=masks).train(is_training)
    assert layer(T, B, LIKE) == (None, None)
    assert static(p=(0.0, 0.0)).train(is_training)(T, B, LIKE) == (None, None)


@pytest.mark.parametrize("is_training", [True, False])
def test_p_1_keeps_everything(is_training):
    z_h, z_c = Zoneout((1.0, 0.0), H).train(is_training)(T, B, LIKE, rng())
    assert (z_h == 1).all()
    assert z_c is None


# ---- static masks ------------------------------------------------------------------------------


def test_static_masks_are_the_same_for_the_batch_and_the_run_also_in_evaluation():
    layer = static()
    first = layer(T, B, LIKE)
    again, evaluated = layer(T, 7, LIKE, rng(9)), layer.eval()(T, 1, LIKE)
    for k in range(2):
        assert first[k].shape == (T, 1, H)
        assert set(np.unique(first[k])) == {0, 1}
        np.testing.assert_array_equal(first[k], again[k])
        np.testing.assert_array_equal(first[k], evaluated[k])


def test_static_masks_have_share_p_and_differ_over_steps_and_states():
    z_h, z_c = static((0.3, 0.6), seq_len=200, hidden_size=100)(200, B, LIKE)
    for z, q in ((z_h, 0.3), (z_c, 0.6)):
        assert abs(z.mean() - q) < 5 * math.sqrt(q * (1 - q) / z.size)
        assert abs(correlation(z[1:], z[:-1])) < 5 / math.sqrt(z.size)
    assert abs(correlation(z_h, z_c)) < 5 / math.sqrt(z_h.size)


def test_a_shorter_sequence_has_the_first_static_steps_and_a_longer_one_is_refused():
    layer = static()
    for whole, part in zip(layer(T, B, LIKE), layer(2, B, LIKE), strict=True):
        np.testing.assert_array_equal(part, whole[:2])
    with pytest.raises(ValueError, match="has 5 steps, expected at most seq_len = 4"):
        layer(T + 1, B, LIKE)


def test_static_masks_are_saved_and_loaded_and_the_others_have_nothing_to_save():
    a, b = static(seed=1), static(seed=2)
    assert (a.held != b.held).any()
    assert set(a.state_dict()) == {"held"}
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a(T, B, LIKE)[1], b(T, B, LIKE)[1])
    assert a.astype(np.float64).held.dtype == bool
    assert Zoneout((0.3,), H).state_dict() == {}


# ---- arrays ------------------------------------------------------------------------------------


@given(
    sizes=st.tuples(*[st.integers(0, 6)] * 2, st.integers(1, 9)), seed=st.integers(0, 10**6),
    p=st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=1, max_size=3),
    masks=st.sampled_from(["fresh", "shared", "static"]), is_training=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]), is_tensor=st.booleans(),
)  # fmt: skip
def test_any_size(sizes, seed, p, masks, is_training, dtype, is_tensor):
    T, B, H = sizes
    longest = {"seq_len": max(T, 1), "rng": rng(seed)} if masks == "static" else {}
    layer = Zoneout(p, H, masks=masks, **longest).train(is_training)
    like = Tensor(np.ones(2, dtype)) if is_tensor else np.ones(2, dtype)
    weights, again = (layer(T, B, like, rng(seed)) for _ in range(2))
    shape = (T, 1, H) if masks == "static" else (T, B, H) if is_training else (1, 1, H)
    for z, same, q in zip(weights, again, p, strict=True):
        assert (z is None) == (q == 0)
        if z is not None:
            assert (type(z), z.shape, z.dtype) == (np.ndarray, shape, dtype)
            is_drawn = masks == "static" or is_training
            assert np.isin(z, [0, 1] if is_drawn else [dtype(q)]).all()
            np.testing.assert_array_equal(z, same)


@pytest.mark.parametrize("layer", [Zoneout((0.05, 0.5), H, masks="shared"), static()])
def test_it_is_made_again_from_its_json(layer):
    again = build(json.loads(json.dumps(describe(layer))))
    assert repr(again) == repr(layer)
    again.load_state_dict(layer.state_dict())
    assert again.p == layer.p


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Zoneout((0.1, 1.5), H), ValueError, r"Zoneout: p\[1\] is 1.5, expected .* \[0.0"),
        (lambda: Zoneout((-0.1,), H), ValueError, r"p\[0\] is -0.1"),
        (lambda: Zoneout((math.nan,), H), ValueError, r"p\[0\] is nan"),
        (lambda: Zoneout(("much",), H), TypeError, r"p\[0\] is 'much', expected a number"),
        (lambda: Zoneout((True,), H), TypeError, r"p\[0\] is True"),
        (lambda: Zoneout(0.5, H), TypeError, r"p is 0.5, expected one probability for each state"),
        (lambda: Zoneout((), H), TypeError, r"p is \(\), expected one probability"),
        (lambda: Zoneout((0.5,), 0), ValueError, "hidden_size is 0"),
        (lambda: Zoneout((0.5,), H, masks="frozen"), ValueError, "masks is 'frozen', .* 'static'"),
        (
            lambda: Zoneout((0.5,), H, seq_len=3),
            ValueError,
            "seq_len is 3, but masks are 'fresh'; .* choose masks='static'",
        ),
        (
            lambda: Zoneout((0.5,), H, masks="static", rng=rng()),
            TypeError,
            "seq_len of static masks is None",
        ),
        (
            lambda: Zoneout((0.5,), H, masks="static", seq_len=3),
            TypeError,
            "Zoneout with static masks: rng is None, expected a generator",
        ),
        (
            lambda: Zoneout((0.5,), H)(T, B, LIKE),
            TypeError,
            r"Zoneout in training \(eval\(\) turns it off\): rng is None, expected a generator",
        ),
        (lambda: Zoneout((0.5,), H)(T, B, LIKE, 0), TypeError, "rng is 0"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("masks", ["fresh", "static"])
def test_states_of_other_widths_have_masks_of_their_own_widths(masks):
    options = {"seq_len": T, "rng": rng(1)} if masks == "static" else {}
    layer = Zoneout((0.3, 0.6), (3, 5), masks=masks, **options)
    batch = 1 if masks == "static" else B
    z_h, z_c = layer(T, B, LIKE, rng())
    assert (z_h.shape, z_c.shape) == ((T, batch, 3), (T, batch, 5))
    assert z_h.flags.c_contiguous
    if masks == "fresh":
        z_h, z_c = layer.eval()(T, B, LIKE)
        np.testing.assert_array_equal(z_h, np.full((1, 1, 3), 0.3))
        np.testing.assert_array_equal(z_c, np.full((1, 1, 5), 0.6))


@pytest.mark.parametrize(("masks", "widths"), [("shared", (3, 5)), ("fresh", (3, 5, 5))])
def test_widths_that_do_not_fit_the_states_are_refused(masks, widths):
    with pytest.raises(ValueError, match=r"Zoneout: hidden_size is \(3, 5.*, expected one number"):
        Zoneout((0.3, 0.6), widths, masks=masks)
