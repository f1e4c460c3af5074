"""Random masks: their probability, their independence, their bits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn.bernoulli import bernoulli, bernoulli_bool
from nnseq.tensor import Tensor


def rng(seed=0):
    return np.random.default_rng(seed)


# 1/2048 and 0.7 + 1/2048 lie between the multiples of 1/256 that a byte alone can give.
@pytest.mark.parametrize("p", [1 / 2048, 0.05, 0.25, 0.5, 0.7 + 1 / 2048, 0.995, 1 - 1 / 2048])
def test_the_share_of_ones_is_p(p):
    n = 2_000_000
    share = bernoulli_bool(rng(), p, (n,)).mean()
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n)


def test_entries_are_independent_of_their_neighbours_within_a_word_and_beyond():
    n = 400_000
    mask = bernoulli_bool(rng(1), 0.3, (n,)).astype(float) - 0.3
    for distance in (1, 2, 3, 4, 7, 8, 9, 16, 64):
        covariance = (mask[:-distance] * mask[distance:]).mean()
        assert abs(covariance) < 5 * 0.21 / math.sqrt(n), f"entries {distance} apart"


def test_all_patterns_of_eight_entries_are_equally_frequent_at_one_half():
    groups = 100_000
    bits = bernoulli_bool(rng(2), 0.5, (groups, 8))
    counts = np.bincount(bits @ (1 << np.arange(8)), minlength=256)
    chi_squared = ((counts - groups / 256) ** 2 / (groups / 256)).sum()
    assert abs(chi_squared - 255) < 5 * math.sqrt(2 * 255)


@pytest.mark.parametrize(("p", "value"), [(0.0, 0), (1.0, 1), (0, 0), (1, 1)])
def test_p_0_and_p_1_are_certain_and_draw_nothing(p, value):
    source = rng()
    before = source.bit_generator.state
    mask = bernoulli(source, p, (5, 3), np.empty(0, np.float32))
    np.testing.assert_array_equal(mask, np.full((5, 3), value, np.float32))
    assert source.bit_generator.state == before


@given(
    shape=st.lists(st.integers(0, 9), max_size=4), p=st.floats(0, 1), seed=st.integers(0, 10**6),
    dtype=st.sampled_from([np.float32, np.float64]), is_tensor=st.booleans(),
)  # fmt: skip
def test_shape_dtype_values_and_the_same_bits_again(shape, p, seed, dtype, is_tensor):
    like = Tensor(np.ones(2, dtype)) if is_tensor else np.ones(2, dtype)
    mask = bernoulli(rng(seed), p, tuple(shape), like)
    assert (mask.shape, mask.dtype, mask.flags.c_contiguous) == (tuple(shape), dtype, True)
    assert ((mask == 0) | (mask == 1)).all()
    np.testing.assert_array_equal(mask, bernoulli(rng(seed), p, tuple(shape), like))


def test_successive_masks_differ_and_any_bit_generator_serves():
    for bits in (np.random.PCG64, np.random.MT19937, np.random.Philox):
        source = np.random.Generator(bits(3))
        a, b = (bernoulli_bool(source, 0.5, (8, 100)) for _ in range(2))
        assert abs((a != b).mean() - 0.5) < 5 * 0.5 / math.sqrt(800)
        assert abs(a.mean() - 0.5) < 5 * 0.5 / math.sqrt(800)


class ForeignGenerator:
    """What CuPy's generator offers, with NumPy's numbers."""

    bit_generator = None

    def random(self, shape, dtype):
        assert dtype == np.float32
        return rng(5).random(shape, dtype=dtype)


def test_another_kind_of_generator_draws_where_its_arrays_are():
    mask = bernoulli_bool(ForeignGenerator(), 0.25, (40, 50))
    np.testing.assert_array_equal(mask, rng(5).random((40, 50), dtype=np.float32) < 0.25)
