"""Initialisers: ranges, moments, dtypes, reproducibility."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    Identity,
    KaimingUniform,
    Linear,
    Normal,
    Uniform,
    build,
    describe,
)
from nnseq.nn.initializers import (
    BlockOrthogonal,
    Orthogonal,
    UniformUnitScaling,
    rounded_down,
)

FAN_IN, FAN_OUT = 200, 300

# name: (initialiser, mean, standard deviation, largest absolute value)
DISTRIBUTIONS = {
    "normal": (Normal(0.3, mean=0.7), 0.7, 0.3, math.inf),
    "uniform": (Uniform(-0.2, 0.6), 0.2, 0.8 / math.sqrt(12), 0.6),
    "glorot uniform": (GlorotUniform(), 0, math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "glorot normal": (GlorotNormal(2.0), 0, 2 * math.sqrt(2 / 500), math.inf),
    "he": (HeNormal(), 0, math.sqrt(2 / 200), math.inf),
    "he, gain √2/2": (HeNormal(math.sqrt(2) / 2), 0, math.sqrt(0.5 / 200), math.inf),
    "unit scaling": (UniformUnitScaling(), 0, 1 / math.sqrt(200), math.sqrt(3 / 200)),
    "unit scaling 1.5": (
        UniformUnitScaling(1.5),
        0,
        1.5 / math.sqrt(200),
        1.5 * math.sqrt(3 / 200),
    ),
    "kaiming a=0": (KaimingUniform(), 0, math.sqrt(2 / 200), math.sqrt(6 / 200)),
    "kaiming a=8": (KaimingUniform(8.0), 0, math.sqrt(2 / 65 / 200), math.sqrt(6 / 65 / 200)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_moments_and_range_are_those_of_the_distribution(name, dtype):
    initializer, mean, std, largest = DISTRIBUTIONS[name]
    values = initializer(np.random.default_rng(0), (FAN_IN, FAN_OUT), dtype)
    assert values.dtype == dtype
    assert values.flags.c_contiguous
    n = values.size
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(n)
    assert values.std() == pytest.approx(std, rel=5 / math.sqrt(n))
    assert np.abs(values).max() <= largest * (1 + 1e-7)
    if largest < math.inf:  # uniform: it reaches its ends
        assert np.abs(values).max() > 0.999 * largest
    else:  # normal: 4 to 5 standard deviations among 60,000, and 31.7 % beyond one
        assert 3.8 < np.abs(values - mean).max() / std < 6
        assert (np.abs(values - mean) > std).mean() == pytest.approx(0.3173, abs=0.01)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_same_generator_gives_the_same_bits_and_float32_is_float64_rounded(name):
    initializer = DISTRIBUTIONS[name][0]
    a, b = (initializer(np.random.default_rng(3), (7, 5), np.float32) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    wide = initializer(np.random.default_rng(3), (7, 5), np.float64)
    np.testing.assert_allclose(a, wide, rtol=1e-7)
    other = initializer(np.random.default_rng(4), (7, 5), np.float32)
    assert (a != other).all()


@given(
    low=st.floats(-10, 10), width=st.floats(0, 1e-5), seed=st.integers(0, 1000),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_rounding_never_leaves_a_narrow_range(low, width, seed, dtype):
    """The range of u in an IndRNN's last layer is this narrow at long T."""
    high = low + width
    values = Uniform(low, high)(np.random.default_rng(seed), (50,), dtype).astype(np.float64)
    if float(rounded_down(high, dtype)) >= low:  # the range holds a number of that dtype
        assert low <= values.min()
        assert values.max() <= high
    np.testing.assert_allclose(values, low, atol=width + 1e-6)


def test_a_convolutions_window_multiplies_the_fans():
    values = HeNormal()(np.random.default_rng(0), (3, 40, 500), np.float64)
    assert values.std() == pytest.approx(math.sqrt(2 / 120), rel=0.02)
    values = GlorotUniform()(np.random.default_rng(0), (3, 40, 500), np.float64)
    assert values.max() == pytest.approx(math.sqrt(6 / 1620), rel=0.001)


def test_constant_and_identity():
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(Constant(0.5)(rng, (2, 3)), np.full((2, 3), 0.5, np.float32))
    np.testing.assert_array_equal(Identity(2.0)(rng, (2, 3)), [[2, 0, 0], [0, 2, 0]])


# ---- orthogonal --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 7), (1, 5), (5, 1), (2, 3, 4)])
@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_orthogonal_columns_or_rows_have_length_scale_and_right_angles(shape, scale):
    W = Orthogonal(scale)(np.random.default_rng(0), shape, np.float64)
    assert W.shape == shape
    W = W.reshape(-1, shape[-1])
    gram = W.T @ W if W.shape[0] >= W.shape[1] else W @ W.T
    np.testing.assert_allclose(gram, scale**2 * np.eye(len(gram)), atol=1e-14)


def test_orthogonal_favours_no_sign_and_neither_rotations_nor_reflections():
    """The U of an SVD alone fails: its signs are LAPACK's."""
    count = 2000
    rng = np.random.default_rng(0)
    W = np.array([Orthogonal()(rng, (5, 5), np.float64) for _ in range(count)])
    bound = 5 / math.sqrt(count)
    assert np.abs(W.mean(axis=0)).max() < bound * math.sqrt(1 / 5)
    assert abs(np.linalg.det(W).mean()) < bound
    deviation = math.sqrt(3 / 35 - 1 / 25)  # of W_ij², uniform over the orthogonal matrices
    np.testing.assert_allclose((W**2).mean(axis=0), 1 / 5, atol=bound * deviation)


@pytest.mark.parametrize(
    ("shape", "n"), [((5, 20), 5), ((20, 5), 5), ((4, 6), 2), ((3, 3), 3), ((1, 4), 1), ((1, 1), 1)]
)
def test_each_block_of_block_orthogonal_is_orthogonal_and_no_two_are_the_same(shape, n):
    W = BlockOrthogonal(1.1)(np.random.default_rng(0), shape, np.float64)
    assert W.shape == shape
    blocks = [W[i : i + n, j : j + n] for i in range(0, shape[0], n) for j in range(0, shape[1], n)]
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, 1.1**2 * np.eye(n), atol=1e-14)
    for k, block in enumerate(blocks[1:] if n > 1 else []):
        assert np.abs(block - blocks[k]).max() > 0.1


def test_one_big_orthogonal_matrix_is_not_block_orthogonal():
    """So the test above tells them apart."""
    W = Orthogonal()(np.random.default_rng(0), (5, 20), np.float64)
    np.testing.assert_allclose(W @ W.T, np.eye(5), atol=1e-14)
    assert np.abs(W[:, :5] @ W[:, :5].T - np.eye(5)).max() > 0.1


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), n=st.integers(2, 4),
    blocks=st.integers(1, 4), scale=st.floats(0.01, 10),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_orthogonal_at_any_size_and_the_same_bits_again(shape, n, blocks, scale, dtype):
    """All singular values are scale; √blocks scale of that many blocks side by side."""
    for initializer, size, singular in (
        (Orthogonal(scale), shape, scale),
        (BlockOrthogonal(scale), (n, n * blocks), scale * math.sqrt(blocks)),
    ):
        a, b = (initializer(np.random.default_rng(3), size, dtype) for _ in range(2))
        assert (a.dtype, a.shape, a.flags.c_contiguous) == (dtype, size, True)
        np.testing.assert_array_equal(a, b)
        wide = initializer(np.random.default_rng(3), size, np.float64)
        np.testing.assert_allclose(a, wide, rtol=1e-6)
        np.testing.assert_allclose(np.linalg.svd(wide, compute_uv=False), singular, rtol=1e-12)


@pytest.mark.parametrize(
    "initializer", [Orthogonal(1.1), BlockOrthogonal(0.5), UniformUnitScaling(1.3)]
)
def test_they_are_made_again_from_json(initializer):
    layer = Linear(3, 6, rng=np.random.default_rng(0), W_init=initializer)
    description = json.loads(json.dumps(describe(layer)))
    again = build(description, np.random.default_rng(0))
    np.testing.assert_array_equal(again.W.data, layer.W.data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(-1.0), "std=-1.0"),
        (lambda: Normal(math.nan), "finite std"),
        (lambda: Uniform(1.0, 0.0), "low <= high"),
        (lambda: Uniform(0.0, math.inf), "finite"),
        (lambda: GlorotUniform()(np.random.default_rng(0), (3,)), r"got shape \(3,\)"),
        (lambda: Identity()(np.random.default_rng(0), (3,)), "expected a matrix"),
        (lambda: Constant(math.nan), "Constant: value is nan"),
        (lambda: Identity(math.nan), "Identity: scale is nan"),
        (lambda: Identity(-1.0), r"Identity: scale is -1.0, expected a number in \[0.0, inf\)"),
        (lambda: GlorotUniform(math.inf), "GlorotUniform: gain is inf"),
        (lambda: GlorotUniform(-1.0), "GlorotUniform: gain is -1.0"),
        (lambda: GlorotNormal(math.nan), "GlorotNormal: gain is nan"),
        (lambda: GlorotNormal(-0.5), "GlorotNormal: gain is -0.5"),
        (lambda: HeNormal(-math.inf), "HeNormal: gain is -inf"),
        (lambda: HeNormal(-2.0), "HeNormal: gain is -2.0"),
        (lambda: KaimingUniform(math.nan), "KaimingUniform: a is nan"),
        (lambda: UniformUnitScaling(0.0), "UniformUnitScaling: factor is 0.0"),
        (lambda: Orthogonal(-1.0), r"Orthogonal: scale is -1.0, expected a number in \(0"),
        (lambda: Orthogonal(math.nan), "scale is nan"),
        (lambda: BlockOrthogonal(math.inf), "BlockOrthogonal: scale is inf"),
        (lambda: Orthogonal()(np.random.default_rng(0), (3,)), r"got shape \(3,\)"),
        (
            lambda: BlockOrthogonal()(np.random.default_rng(0), (3, 4)),
            r"got shape \(3, 4\), expected a matrix whose sides have a common divisor",
        ),
        (lambda: BlockOrthogonal()(np.random.default_rng(0), (0, 4)), r"got shape \(0, 4\)"),
        (lambda: BlockOrthogonal()(np.random.default_rng(0), (4,)), r"got shape \(4,\)"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_scale_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="Orthogonal: scale is 'big', expected a number"):
        Orthogonal("big")
