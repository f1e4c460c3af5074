"""What the readers of image sets hand back: pixels, labels, and the files they come from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnseq.data.files import data_error

NUM_CLASSES = 10  # of MNIST and of CIFAR-10
SPLITS = ("train", "test")


class Images(NamedTuple):
    """Labelled images; the arrays are read-only.

    Attributes:
        images: (N, H, W) grey or (N, C, H, W) coloured, uint8.
        labels: (N,) uint8 in 0 .. 9.
        files: the names of the files read, in the order of their images.
    """

    images: np.ndarray
    labels: np.ndarray
    files: tuple[str, ...]


def check_split(reader: str, split: str) -> None:
    """Refuses a split that is not "train" or "test"."""
    if split not in SPLITS:
        raise ValueError(f'{reader}: split {split!r} came, expected "train" or "test"')


def check_labels(path: Path, labels: np.ndarray, start: int, stride: int) -> None:
    """Refuses the first label above 9.

    Args:
        path: the file they come from.
        labels: (N,) uint8.
        start: the byte of that file where the first label stands.
        stride: bytes from one label to the next.

    Raises:
        DataError: a label above 9.
    """
    wrong = np.flatnonzero(labels >= NUM_CLASSES)
    if wrong.size:
        i = int(wrong[0])
        place, came = f"byte {start + i * stride}", f"label {labels[i]} of image {i}"
        raise data_error(path, place, came, f"0 to {NUM_CLASSES - 1}")
