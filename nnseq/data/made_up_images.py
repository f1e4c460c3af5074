"""Small made-up image sets in the real formats, for `--smoke` and tests.

Class k is a bright block whose height grows with k: it can be told from the sum of the pixels, in
any order, and from where the block begins. Nothing measured on them says anything about MNIST or
CIFAR-10.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from nnseq.data.cifar10 import NAMES, SHAPE
from nnseq.data.images import NUM_CLASSES
from nnseq.data.mnist import PREFIXES, SIDE, UNSIGNED_BYTE

COUNTS = {"train": 400, "test": 100}


def made_up_mnist(folder: Path, rng: np.random.Generator) -> None:
    """Writes 400 and 100 images of 28 × 28 as the four packed idx files of MNIST.

    Args:
        folder: must exist.
        rng: where labels, brightness and places come from.
    """
    for split, prefix in PREFIXES.items():
        labels = shuffled_labels(rng, COUNTS[split])
        images = blocks(rng, labels, (1, SIDE, SIDE))[:, 0]
        write(folder / f"{prefix}-images-idx3-ubyte.gz", idx(images))
        write(folder / f"{prefix}-labels-idx1-ubyte.gz", idx(labels))


def made_up_cifar10(folder: Path, rng: np.random.Generator) -> None:
    """Writes 400 images as data_batch_1 and data_batch_2 of CIFAR-10, and 100 as test_batch.

    Args:
        folder: must exist.
        rng: where labels, brightness and places come from.
    """
    for name in (*NAMES["train"][:2], *NAMES["test"]):
        count = COUNTS["test"] if name in NAMES["test"] else COUNTS["train"] // 2
        labels = shuffled_labels(rng, count)
        images = blocks(rng, labels, SHAPE).reshape(count, -1)
        records = np.concatenate([labels[:, None], images], axis=1)
        write(folder / f"{name}.gz", records.tobytes())


def shuffled_labels(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) uint8: every class as often as every other, in random order."""
    return rng.permutation(np.arange(count) % NUM_CLASSES).astype(np.uint8)


def blocks(rng: np.random.Generator, labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draws one image a label: (N, C, H, W) uint8.

    The block of class k covers the lowest 2 + 2 k rows, some columns at random left out at its
    sides; each image has its own brightness, each channel its own share of it.
    """
    N, (C, H, W) = len(labels), shape
    left = rng.integers(0, W // 7, N)[:, None]
    right = W - rng.integers(0, W // 7, N)[:, None]
    top = H - 2 * (1 + labels.astype(int))[:, None]
    is_row = np.arange(H) >= top  # (N, H)
    is_column = (np.arange(W) >= left) & (np.arange(W) < right)  # (N, W)
    brightness = rng.uniform(160, 255, (N, 1)) * np.linspace(1, 0.6, C)
    block = is_row[:, None, :, None] & is_column[:, None, None, :]
    return (block * brightness[:, :, None, None]).astype(np.uint8)


def idx(x: np.ndarray) -> bytes:
    """The bytes of an idx file that holds the uint8 array x."""
    head = bytes([0, 0, UNSIGNED_BYTE, x.ndim]) + np.array(x.shape, ">u4").tobytes()
    return head + x.tobytes()


def write(path: Path, content: bytes) -> None:
    """Writes a packed file; the same content gives the same bytes."""
    path.write_bytes(gzip.compress(content, mtime=0))
