"""Images as sequences of pixels, one pixel a step."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

WHITE = 255  # the largest pixel, which becomes 1


def pixel_sequences(
    images: np.ndarray, dtype: DTypeLike = np.float32, *, signed: bool = False
) -> np.ndarray:
    """Lays images out as sequences of pixels, row by row.

        x[t, b, c] = p / 255,   p = images[b, c, t // W, t % W]                              (1)
        x[t, b, c] = p / 128 - 1                                               where signed   (2)

    (2) is what the program of Li et al. 2019, arXiv:1910.06251, does.

    Another order of the steps is the network's (nnseq.nn.Permutation), with which it is saved.

    Args:
        images: (B, H, W) or (B, C, H, W), uint8.
        dtype: float32 or float64.
        signed: (2), in place of (1).

    Returns:
        (T, B, C) in [0, 1], or in [-1, 1), new; T = H·W, and C = 1 for grey images.

    Raises:
        TypeError: images that are not uint8.
        ValueError: another rank.
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
    dtype = np.dtype(dtype)
    scale = dtype.type(128 if signed else WHITE)
    x: np.ndarray = np.divide(pixels.transpose(2, 0, 1), scale, dtype=dtype, order="C")
    if signed:
        x -= 1
    return x
