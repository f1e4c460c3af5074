"""Images as sequences of pixels: their order, their range, and true permutations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.pixels import pixel_permutation, pixel_sequences
from tests.strategies import seeds

sides = st.integers(1, 6)


@given(T=st.integers(1, 300), seed=seeds)
def test_a_permutation_has_every_pixel_once(T, seed):
    permutation = pixel_permutation(np.random.default_rng(seed), T)
    assert sorted(permutation.tolist()) == list(range(T))
    again = pixel_permutation(np.random.default_rng(seed), T)
    np.testing.assert_array_equal(permutation, again, strict=True)


def test_a_permutation_of_784_is_not_the_order_itself_nor_the_same_for_each_seed():
    one, two = (pixel_permutation(np.random.default_rng(seed), 784) for seed in (0, 1))
    assert np.mean(one == np.arange(784)) < 0.01
    assert np.mean(one == two) < 0.01


def test_a_permutation_of_nothing_is_refused():
    with pytest.raises(ValueError, match="T = 0 came, expected T >= 1"):
        pixel_permutation(np.random.default_rng(0), 0)


@given(B=sides, C=sides, H=sides, W=sides, seed=seeds, permuted=st.booleans())
def test_step_t_is_pixel_p_of_every_channel(B, C, H, W, seed, permuted):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (B, C, H, W), np.uint8)
    permutation = pixel_permutation(rng, H * W) if permuted else None
    x = pixel_sequences(images, permutation, np.float64)
    assert x.shape == (H * W, B, C)
    assert x.flags.c_contiguous
    for t in range(H * W):
        p = t if permutation is None else permutation[t]
        for b in range(B):
            for c in range(C):
                assert x[t, b, c] == int(images[b, c, p // W, p % W]) / 255


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float32"])
def test_grey_images_have_one_channel_from_0_to_1(dtype):
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    x = pixel_sequences(images, dtype=dtype)
    assert x.shape == (128, 2, 1)
    assert x.dtype == dtype
    assert x.min() == 0
    assert x.max() == 1
    np.testing.assert_array_equal(
        x[:, 1, 0], np.arange(128, 256, dtype=dtype) / np.dtype(dtype).type(255)
    )


def test_images_in_any_layout_give_the_same_and_stay_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 4, 5), np.uint8)
    wide = np.zeros((3, 2, 4, 10), np.uint8)
    wide[..., ::2] = images
    before = wide.copy()
    np.testing.assert_array_equal(pixel_sequences(wide[..., ::2]), pixel_sequences(images))
    np.testing.assert_array_equal(wide, before)


def test_what_is_not_pixels_is_refused():
    with pytest.raises(TypeError, match="images are float32, expected uint8"):
        pixel_sequences(np.zeros((1, 2, 2), np.float32))
    with pytest.raises(ValueError, match=r"images have shape \(4,\), expected \(B, H, W\) or"):
        pixel_sequences(np.zeros(4, np.uint8))


@pytest.mark.parametrize(
    "permutation",
    [
        np.array([0, 1, 2, 2]),
        np.array([0, 1, 2]),
        np.array([1, 2, 3, 4]),
        np.array([-1, 0, 1, 2]),
        np.array([[0, 1, 2, 3]]),
        np.array([0.0, 1.0, 2.0, 3.0]),
        np.array([True, False, True, True]),
    ],
)
def test_what_is_not_a_permutation_of_the_pixels_is_refused(permutation):
    with pytest.raises(ValueError, match=r"does not hold each of 0 \.\. 3 once"):
        pixel_sequences(np.zeros((1, 2, 2), np.uint8), permutation)
