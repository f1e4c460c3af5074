"""Clips of NTU RGB+D of any length made into T steps: at random places, at times turned.

For a clip of n frames, with w = n // T, step t = 0 … T − 1 shows the frame

    n >= 2T:     one at random of [w t, w (t + 1)), the last step of [w (T − 1), n)          (1)
    T < n < 2T:  s + t, from a random start s of 0 … n − T                                   (2)
    n <= T:      d + t − s, from a random step s of 0 … max(T − n, T // 4) on, and blank     (3)
                 (zeros) before the clip and behind it; where its end does not fit, it begins
                 at a random frame d of 0 … s + n − T

Li et al. 2018, "Independently recurrent neural network (IndRNN)", train on such crops with T = 20;
the rules are those of the authors' program, but for the ends of the ranges: it never draws the last
s and d, and so never the last frame in (2).
"""

from __future__ import annotations

import numpy as np

from nnseq.data.files import data_error
from nnseq.data.ntu import NTU

BLANK = -1  # in place of a frame
ANGLES = (0.0, np.pi / 4)


def crops(rng: np.random.Generator, data: NTU, indices: np.ndarray, T: int) -> np.ndarray:
    """Draws one crop of each of B clips.

    Args:
        rng: where the frames come from.
        data: the clips.
        indices: (B,) int, which of them.
        T: steps.

    Returns:
        (T, B, 150) float32: x y z of 25 joints of body 0, then of body 1.

    Raises:
        ValueError: T < 1.
        DataError: a number that is not finite in a frame that was drawn.
    """
    frames = crop_indices(rng, data.lengths[indices], T)
    x = cut(np.asarray(data.clips), indices, frames)
    if not np.isfinite(x).all():
        t, b = np.argwhere(~np.isfinite(x).all(axis=-1))[0]
        place = f"clip {indices[b]}, frame {frames[t, b]}"
        raise data_error(
            data.folder / data.files[0], place, "a coordinate that is not finite", "metres"
        )
    return x


def crop_indices(rng: np.random.Generator, lengths: np.ndarray, T: int) -> np.ndarray:
    """Draws the frames to show, eqs. (1) to (3).

    Args:
        rng: where they come from.
        lengths: (B,) frames that each clip has, >= 1.
        T: steps.

    Returns:
        (T, B) int: frames in increasing order, or BLANK.

    Raises:
        ValueError: T < 1, or a length < 1.
    """
    n = np.asarray(lengths, np.int64)
    if T < 1 or (n < 1).any():
        came = f"T = {T} and lengths from {n.min(initial=1)} on"
        raise ValueError(f"crop_indices: {came} came, expected 1 or more")
    t = np.arange(T)[:, None]
    w = n // T
    is_short = n <= T
    starts = np.where(is_short, np.maximum(T - n, T // 4), n - T)
    s = rng.integers(0, starts, endpoint=True)
    d = rng.integers(0, np.where(is_short, np.maximum(s + n - T, 0), 0), endpoint=True)
    widths = np.where(t < T - 1, w, n - w * (T - 1))
    spread = w * t + rng.integers(0, np.maximum(widths, 1))  # (1)
    frames = np.where(n < 2 * T, s + t, spread)  # (2)
    shifted = np.where((t >= s) & (t < s + n), d + t - s, BLANK)
    return np.where(is_short, shifted, frames)  # (3)


def cut(clips: np.ndarray, indices: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(T, B, D) float32: of clip indices[b] the frame frames[t, b], zeros where that is BLANK."""
    x: np.ndarray = clips[indices, np.maximum(frames, 0)].astype(np.float32)
    x[frames == BLANK] = 0
    return x


def rotate(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Turns half of the clips, at random, as if the camera stood elsewhere.

    With the axes of the camera (x to the side, y up, z away from it) and angles α, β, each 0 or
    45° with equal chance,

        p' = R_y(β) R_x(α) p                                                                 (4)

    The authors' program means this; its matrix has lost the terms with z, and so shears. Turning is
    about the camera, where zeros, a body that is not seen, stay zeros.

    Args:
        rng: which clips turn, and how far.
        x: (T, B, 150) or, of one clip, (T, 150).

    Returns:
        the same shape and dtype; new, also where nothing turned.
    """
    T, B = len(x), x.shape[1] if x.ndim == 3 else 1
    turns = rng.integers(0, 2, B)
    alpha, beta = np.where(turns, np.array(ANGLES)[rng.integers(0, 2, (2, B))], 0.0)
    R = rotations(alpha, beta).astype(x.dtype)
    y: np.ndarray = x.reshape(T, B, -1, 3) @ R.transpose(0, 2, 1)
    return y.reshape(x.shape)


def rotations(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """(B, 3, 3) matrices R_y(β) R_x(α) of eq. (4), from angles (B,) in radians."""
    ca, sa, cb, sb = np.cos(alpha), np.sin(alpha), np.cos(beta), np.sin(beta)
    zero = np.zeros_like(ca)
    rows = [[cb, sb * sa, sb * ca], [zero, ca, -sa], [-sb, cb * sa, cb * ca]]
    return np.moveaxis(np.array(rows), -1, 0)


def random_length(
    rng: np.random.Generator, T: int, std: float = 5.0, low: int = 5, high: int = 40
) -> int:
    """Draws the number of steps of one batch, so that the same motion comes at many speeds.

    N(T, std²) without its decimals; drawn once more where that is outside low … high, and T where
    that is outside too: the rule and the numbers of the authors' `data_randtime_aug`, which changes
    the length of test batches as well.

    Args:
        rng: where it comes from.
        T: the usual number of steps.
        std, low, high: as above.

    Returns:
        steps, low to high or T.
    """
    for _ in range(2):
        drawn = int(rng.normal(T, std))
        if low <= drawn <= high:
            return drawn
    return T
