"""Initialisers: ranges, moments, dtypes, reproducibility."""

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
    Normal,
    Uniform,
)
from nnseq.nn.initializers import rounded_down

FAN_IN, FAN_OUT = 200, 300

# name: (initialiser, mean, standard deviation, largest absolute value)
DISTRIBUTIONS = {
    "normal": (Normal(0.3, mean=0.7), 0.7, 0.3, math.inf),
    "uniform": (Uniform(-0.2, 0.6), 0.2, 0.8 / math.sqrt(12), 0.6),
    "glorot uniform": (GlorotUniform(), 0, math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "glorot normal": (GlorotNormal(2.0), 0, 2 * math.sqrt(2 / 500), math.inf),
    "he": (HeNormal(), 0, math.sqrt(2 / 200), math.inf),
    "he, gain √2/2": (HeNormal(math.sqrt(2) / 2), 0, math.sqrt(0.5 / 200), math.inf),
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(-1.0), "std=-1.0"),
        (lambda: Normal(math.nan), "finite std"),
        (lambda: Uniform(1.0, 0.0), "low <= high"),
        (lambda: Uniform(0.0, math.inf), "finite"),
        (lambda: GlorotUniform()(np.random.default_rng(0), (3,)), r"got shape \(3,\)"),
        (lambda: Identity()(np.random.default_rng(0), (3,)), "expected a matrix"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
