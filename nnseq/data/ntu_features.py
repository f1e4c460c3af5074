"""Features of skeletons: how far each joint is from lines through others.

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

BLOCK = 128  # skeletons at a time, so that the triangles of a block stay in the cache


def line_distances(x: np.ndarray, lines: np.ndarray = LINES) -> np.ndarray:
    """Computes the distance of every joint from every line that it is not on, eq. (2).

    Args:
        x: (..., bodies · 75) x y z of the joints, body after body: (T, 150), (T, B, 150), ...
        lines: (L, 2) pairs of joints, from 0.

    Returns:
        (..., bodies · L · 23) of x's dtype: body after body, line after line, the joints in order.
        With the 39 lines and two bodies, 1,794.
    """
    skeletons = x.reshape(-1, JOINTS, 3)
    P, Q = lines.T[..., None]  # (L, 1)
    J = np.array([np.setdiff1d(np.arange(JOINTS), line) for line in lines])  # (L, 23)
    sides = (P * JOINTS + Q, P * JOINTS + J, Q * JOINTS + J)
    y = np.zeros((len(skeletons), *J.shape), x.dtype)
    seen = np.flatnonzero(skeletons.any(axis=(1, 2)))  # most clips have one body
    for start in range(0, len(seen), BLOCK):
        block = seen[start : start + BLOCK]
        y[block] = heights(skeletons[block], *sides)
    return y.reshape(*x.shape[:-1], -1)


def heights(p: np.ndarray, PQ: np.ndarray, PJ: np.ndarray, QJ: np.ndarray) -> np.ndarray:
    """Eqs. (1) and (2) for a block of M skeletons.

    Args:
        p: (M, 25, 3) places.
        PQ: (L, 1), which of the 25 · 25 pairs of joints is the line.
        PJ, QJ: (L, 23), the same for the other two sides of its triangles.

    Returns:
        (M, L, 23) distances of the J from the lines.
    """
    squares = np.zeros((len(p), JOINTS, JOINTS), p.dtype)
    for k in range(3):  # a sum over an axis of 3 takes four times as long
        squares += np.square(p[:, :, None, k] - p[:, None, :, k])
    squares = squares.reshape(len(p), -1)
    lengths = np.sqrt(squares)
    a, a_square = lengths.take(PQ, axis=1), squares.take(PQ, axis=1)
    b, c = lengths.take(PJ, axis=1), lengths.take(QJ, axis=1)
    product = np.square(b + c) - a_square
    product *= a_square - np.square(b - c)
    area4 = np.sqrt(np.maximum(product, 0))  # below 0 by rounding, where J is on the line
    half = np.divide(0.5, a, out=np.zeros_like(a), where=a > 0)
    distances: np.ndarray = area4 * half
    return distances
