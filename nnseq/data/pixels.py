"""Images as sequences of pixels, one pixel a step."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

WHITE = 255  # the largest pixel, which becomes 1


def pixel_permutation(rng: np.random.Generator, T: int) -> np.ndarray:
    """Draws one order of T pixels, each of them once.

    Zoneout's own script draws T indices with replacement, so that more than a third of the pixels
    never comes; this is a permutation, as in Le et al. 2015, "A simple way to initialize recurrent
    networks of rectified linear units".

    Args:
        rng: where it comes from.
        T: number of pixels, at least 1.

    Returns:
        (T,) int64: step t shows pixel permutation[t].

    Raises:
        ValueError: T < 1.
    """
    if T < 1:
        raise ValueError(f"pixel_permutation: T = {T} came, expected T >= 1")
    return rng.permutation(T)


def pixel_sequences(
    images: np.ndarray, permutation: np.ndarray | None = None, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Lays images out as sequences of pixels, row by row.

        x[t, b, c] = images[b, c, p // W, p % W] / 255   with p = permutation[t], or t   (1)

    Args:
        images: (B, H, W) or (B, C, H, W), uint8.
        permutation: (T,) integers, each of 0 .. T - 1 once, T = H·W; None: the pixels in order.
        dtype: float32 or float64.

    Returns:
        (T, B, C) in [0, 1]; C = 1 for grey images.

    Raises:
        TypeError: images that are not uint8.
        ValueError: another rank, or something that is not a permutation of the T pixels.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"pixel_sequences: images are {images.dtype}, expected uint8 (0 to 255)")
    if images.ndim not in (3, 4):
        raise ValueError(
            f"pixel_sequences: images have shape {images.shape}, expected (B, H, W) or (B, C, H, W)"
        )
    B, C = images.shape[0], images.shape[1] if images.ndim == 4 else 1
    T = math.prod(images.shape[-2:])
    pixels = images.reshape(B, C, T)
    if permutation is not None:
        check_permutation(permutation, T)
        pixels = pixels[:, :, permutation]
    dtype = np.dtype(dtype)
    x: np.ndarray = np.divide(pixels.transpose(2, 0, 1), dtype.type(WHITE), dtype=dtype, order="C")
    return x


def check_permutation(permutation: np.ndarray, T: int) -> None:
    """Refuses what is not each of 0 .. T - 1 once."""
    is_one = permutation.shape == (T,) and np.issubdtype(permutation.dtype, np.integer)
    if not is_one or not np.array_equal(np.sort(permutation), np.arange(T)):
        came = f"{permutation.dtype} of shape {permutation.shape}"
        raise ValueError(
            f"pixel_sequences: the permutation ({came}) does not hold each of 0 .. {T - 1} once"
        )
