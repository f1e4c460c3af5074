"""Features of skeletons: how far each joint is from lines through others, and what has changed.

Of a line through joints P and Q and a joint J beside it, with the lengths a = |PQ|, b = |PJ|,
c = |QJ| of the triangle, s = (a + b + c) / 2 and Heron's formula,

    area = √(s (s − a) (s − b) (s − c)) = ¼ √(((b + c)² − a²) (a² − (b − c)²))               (1)
    distance = 2 area / a;  0 where P and Q are one point, as in a body that is not seen     (2)

It does not change when the body walks or turns. There are 39 lines, and 23 joints beside each:

- 24 bones between neighbours;
- 5 limbs, from each of five ends (head, hands, ankles) to where it hangs on the body;
- 10 between two ends.

Zhang, Liu and Xiao 2017, "On geometric features for skeleton-based action recognition using
multilayer LSTM networks", introduced such distances; the lines are those of Li et al. 2018,
"Independently recurrent neural network (IndRNN)", made alike on both sides (see LI_LINES).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from nnseq.data.ntu_files import JOINTS

# Joints are counted from 1 here, as in the description of the data set.
HEAD, LEFT_SHOULDER, LEFT_HAND, RIGHT_HAND, LEFT_ANKLE, RIGHT_ANKLE = 4, 5, 8, 12, 15, 19
# fmt: off
BONES = [
    (4, 3), (3, 21), (21, 2), (2, 1),  # head to base of the spine
    (21, 5), (5, 6), (6, 7), (7, 8), (8, 22), (8, 23),  # left arm, hand, its tip and thumb
    (21, 9), (9, 10), (10, 11), (11, 12), (12, 24), (12, 25),  # right arm
    (1, 13), (13, 14), (14, 15), (15, 16), (1, 17), (17, 18), (18, 19), (19, 20),  # legs
]
# fmt: on
LIMBS = [(HEAD, 2), (LEFT_HAND, 5), (RIGHT_HAND, 9), (LEFT_ANKLE, 13), (RIGHT_ANKLE, 17)]
ENDS = (HEAD, LEFT_HAND, RIGHT_HAND, LEFT_ANKLE, RIGHT_ANKLE)
# The authors' program has the left shoulder where the left hand belongs: for their numbers only.
LI_ENDS = (HEAD, LEFT_SHOULDER, RIGHT_HAND, LEFT_ANKLE, RIGHT_ANKLE)
LINES = np.array(BONES + LIMBS + list(combinations(ENDS, 2))) - 1  # (39, 2), from 0
LI_LINES = np.array(BONES + LIMBS + list(combinations(LI_ENDS, 2))) - 1

BLOCK = 256  # skeletons at a time, so that the triangles of a block stay in the cache


def line_distances(x: np.ndarray, lines: np.ndarray = LINES) -> np.ndarray:
    """Computes the distance of every joint from every line that it is not on, eq. (2).

    Args:
        x: (..., 25 · 3 · bodies) x y z of the joints, body after body: (T, 150), (T, B, 150), ...
        lines: (L, 2) pairs of joints, from 0.

    Returns:
        (..., bodies · L · 23) of x's dtype: body after body, line after line, the joints in order.
        With the 39 lines and two bodies, 1,794.
    """
    skeletons = x.reshape(-1, JOINTS, 3)
    M, F = len(skeletons), len(lines) * (JOINTS - 2)
    y = np.empty((M, F), x.dtype)
    table = triangles(lines)
    for start in range(0, M, BLOCK):
        block = skeletons[start : start + BLOCK]
        y[start : start + BLOCK] = heron(block.transpose(2, 1, 0), *table).T
    return y.reshape(*x.shape[:-1], -1)


def triangles(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the 25 · 25 pairs of joints are the sides a (L,), b and c (L · 23,) of eq. (1)."""
    P, Q = lines.T[..., None]
    beside = [np.setdiff1d(np.arange(JOINTS), line) for line in lines]
    J = np.array(beside)  # (L, 23)
    return (P * JOINTS + Q)[:, 0], (P * JOINTS + J).ravel(), (Q * JOINTS + J).ravel()


def heron(xyz: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Eqs. (1) and (2) for a block of skeletons.

    Args:
        xyz: (3, 25, M).
        a: (L,), b and c: (L · 23,) pairs of joints, as triangles().

    Returns:
        (L · 23, M) distances.
    """
    M = xyz.shape[2]
    squares = np.square(xyz[:, :, None] - xyz[:, None]).sum(axis=0).reshape(-1, M)  # of 25 · 25
    sides = np.sqrt(squares)
    b_side, c_side = sides[b].reshape(len(a), -1, M), sides[c].reshape(len(a), -1, M)
    a_side, a_square = sides[a][:, None], squares[a][:, None]  # (L, 1, M)
    product = np.square(b_side + c_side) - a_square
    product *= a_square - np.square(b_side - c_side)
    area4 = np.sqrt(np.maximum(product, 0))  # below 0 by rounding, where J is on the line
    scale = np.divide(0.5, a_side, out=np.zeros_like(a_side), where=a_side > 0)
    distances: np.ndarray = area4 * scale
    return distances.reshape(-1, M)


def time_difference(x: np.ndarray) -> np.ndarray:
    """Appends to every step what changed since the step before.

        y_t = (x_t, x_t − x_{t−1}),  y_0 = (x_0, x_0)                                        (3)

    Args:
        x: (T, ..., D).

    Returns:
        (T, ..., 2D) of x's dtype.
    """
    return np.concatenate([x, np.diff(x, axis=0, prepend=np.zeros_like(x[:1]))], axis=-1)
