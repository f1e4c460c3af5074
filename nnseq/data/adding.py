"""The adding problem: sum the two marked numbers of a long sequence.

    x[t, b] = (v, m)   v ~ U(0, 1); m = 1 at one step of each half of the sequence, else 0   (1)
    y[b]    = the sum of the two v whose m is 1                                              (2)

The best constant answer is 1, the mean of y; its mean squared error is the variance of the sum of
two uniform numbers, 2/12 = 1/6. A model is worth something when it is far below that.

Hochreiter and Schmidhuber 1997, "Long short-term memory", posed it; the form with markers 0 and 1,
one in each half, is that of Li et al. 2018, "Independently recurrent neural network (IndRNN)".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

BASELINE_MSE = 1 / 6
TEST_SEED = 20180613  # the test set depends on T alone, never on the seed of a run
BLOCK = 50  # sequences at a time, so that 1,000 of length 5,000 are never in memory at once


def adding_batch(
    rng: np.random.Generator, T: int, B: int, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Draws B fresh sequences of length T.

    Args:
        rng: where the numbers come from; the only thing that changes.
        T: length, at least 2.
        B: number of sequences.
        dtype: float32 or float64.

    Returns:
        x: (T, B, 2) values in [0, 1] (1 by rounding) and markers in {0, 1}, eq. (1).
        y: (B, 1) sums in [0, 2], eq. (2).

    Raises:
        ValueError: T < 2 or B < 1.
    """
    if T < 2 or B < 1:
        raise ValueError(f"adding_batch: T = {T} and B = {B} came, expected T >= 2 and B >= 1")
    values = rng.random((T, B)).astype(dtype)
    first = rng.integers(0, T // 2, size=B)
    second = rng.integers(T // 2, T, size=B)
    b = np.arange(B)
    x = np.zeros((T, B, 2), dtype)
    x[:, :, 0] = values
    x[first, b, 1] = 1
    x[second, b, 1] = 1
    return x, (values[first, b] + values[second, b])[:, None]


def adding_blocks(
    rng: np.random.Generator, T: int, num_sequences: int = 1000, dtype: DTypeLike = np.float32
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields fresh sequences in blocks of at most BLOCK, whatever the batch size of training.

    Args:
        rng, T, dtype: as adding_batch.
        num_sequences: how many in all.

    Yields:
        x: (T, B, 2) and y: (B, 1), as adding_batch, with B <= BLOCK.
    """
    for start in range(0, num_sequences, BLOCK):
        yield adding_batch(rng, T, min(BLOCK, num_sequences - start), dtype)


def adding_test_set(
    T: int, num_sequences: int = 1000, dtype: DTypeLike = np.float32
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the test set for length T: the same sequences in every run, whatever its seed.

    Args and Yields as adding_blocks.
    """
    return adding_blocks(np.random.default_rng([TEST_SEED, T]), T, num_sequences, dtype)
