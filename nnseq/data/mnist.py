"""MNIST: 28 × 28 grey digits, in idx files.

An idx file is two zero bytes, the type of an entry (8: unsigned bytes), the rank, then for each
axis its size as a big-endian number of four bytes, then the entries, the last axis fastest.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits": 60,000 images to train on and
10,000 to test on. Nothing here insists on these two numbers: they are the files' own.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from nnseq.data.files import AGAIN, data_error, find, read_bytes
from nnseq.data.images import Images, check_labels, check_split

SIDE = 28
UNSIGNED_BYTE = 8  # idx's number for the type of an entry
MAX_RANK = 64  # of a NumPy array
PREFIXES = {"train": "train", "test": "t10k"}


def mnist(folder: str | os.PathLike[str], split: str) -> Images:
    """Reads the digits of one split.

    Args:
        folder: holds the two files of the split, plain or packed, as they are distributed:
            train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-...; a dot in the place of
            the hyphen before idx will do.
        split: "train" or "test".

    Returns:
        images (N, 28, 28) and labels (N,).

    Raises:
        ValueError: another split.
        DataError: a file is missing, is no idx file or not whole, does not hold 28 × 28 images or
            labels 0 to 9, or the two do not have the same count.
    """
    check_split("mnist", split)
    images_path = _find(folder, f"{PREFIXES[split]}-images", "idx3-ubyte")
    labels_path = _find(folder, f"{PREFIXES[split]}-labels", "idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    _check_rank(images_path, images, 3, "images")
    _check_rank(labels_path, labels, 1, "labels")
    N, H, W = images.shape
    if (H, W) != (SIDE, SIDE):
        raise data_error(images_path, "byte 8", f"images of {H} × {W}", f"{SIDE} × {SIDE}")
    if len(labels) != N:
        expected = f"{N} as {images_path.name} has images"
        raise data_error(labels_path, "byte 4", f"{len(labels)} labels", expected, AGAIN)
    check_labels(labels_path, labels, start=8, stride=1)
    return Images(images, labels, (images_path.name, labels_path.name))


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an idx file of unsigned bytes, plain or packed.

    Args:
        path: the file.

    Returns:
        uint8 array of the file's rank (0 to 64) and sizes, read-only.

    Raises:
        DataError: the file cannot be read or unpacked, does not begin like an idx file of unsigned
            bytes, has an axis of size 0, or holds fewer or more entries than its sizes say. Offsets
            are those of the unpacked file.
    """
    content = read_bytes(path)
    shape = _shape(path, content)
    start, size = 4 + 4 * len(shape), math.prod(shape)
    if len(content) != start + size:
        sizes = " × ".join(map(str, shape))
        expected = f"{start + size} as the sizes {sizes} say"
        place = f"byte {min(len(content), start + size)}"
        raise data_error(path, place, f"the file has {len(content)} bytes", expected, AGAIN)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _shape(path: str | os.PathLike[str], content: bytes) -> tuple[int, ...]:
    """The sizes that the head of an idx file gives, each at least 1."""
    kind = f"0x0000{UNSIGNED_BYTE:02x} and the rank (idx, unsigned bytes)"
    if len(content) < 4:
        raise data_error(path, f"byte {len(content)}", "the file ends", kind, AGAIN)
    if content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise data_error(path, "byte 0", f"0x{content[:4].hex()}", kind)
    rank = content[3]
    if rank > MAX_RANK:
        raise data_error(path, "byte 3", f"rank {rank}", f"at most {MAX_RANK}")
    if len(content) < 4 + 4 * rank:
        place, expected = f"byte {len(content)}", f"{rank} sizes of 4 bytes"
        raise data_error(path, place, "the file ends", expected, AGAIN)
    shape = tuple(np.frombuffer(content, ">u4", rank, offset=4).tolist())
    if 0 in shape:
        raise data_error(path, f"byte {4 + 4 * shape.index(0)}", "size 0", "at least 1")
    return shape


def _find(folder: str | os.PathLike[str], stem: str, kind: str) -> Path:
    """The file as it is distributed, or as some programs unpack it."""
    return find(folder, "mnist", f"{stem}-{kind}", f"{stem}.{kind}")


def _check_rank(path: Path, x: np.ndarray, rank: int, what: str) -> None:
    """Refuses images where labels should be, and the reverse."""
    if x.ndim != rank:
        raise data_error(path, "byte 3", f"rank {x.ndim}", f"{rank}: the file should hold {what}")
