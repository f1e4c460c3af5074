"""Images as sequences of pixels: their order and their range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.pixels import pixel_sequences
from tests.strategies import seeds

sides = st.integers(1, 6)


@given(B=sides, C=sides, H=sides, W=sides, seed=seeds)
def test_step_t_is_pixel_t_of_every_channel(B, C, H, W, seed):
    images = np.random.default_rng(seed).integers(0, 256, (B, C, H, W), np.uint8)
    x = pixel_sequences(images, np.float64)
    assert x.shape == (H * W, B, C)
    assert x.flags.c_contiguous
    for t in range(H * W):
        for b in range(B):
            for c in range(C):
                assert x[t, b, c] == int(images[b, c, t // W, t % W]) / 255


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signed_pixels_have_black_at_minus_1(dtype):
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    x = pixel_sequences(images, dtype, signed=True)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x[:, 0, 0], np.arange(128) / 128 - 1)
    np.testing.assert_array_equal(x[:, 1, 0], np.arange(128, 256) / 128 - 1)


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
