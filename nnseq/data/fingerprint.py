"""The fingerprint of what was read: whether two folders hold the same data.

SHA-256 of every array's type, shape and entries, in their order. An array that is mapped from its
file (np.memmap) may be larger than memory, and reading it takes longer than what a run does before
its first step: above 512 KiB only 32 pieces of 16 KiB count, spread evenly over it, the first and
the last rows among them. What changed between two pieces is then not noticed, be it a thousand
rows; another order, size or preparation is.

The same entries, mapped and in memory, have different fingerprints above 512 KiB: clips of NTU
RGB+D as .skeleton files and as the .npy files made of them count as different data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnseq.data.corpus import Vocabulary

PIECES, PIECE = 32, 1 << 14  # bytes
DIGITS = 16  # hexadecimal: against mistakes, not against forgers


def fingerprint(data: Any) -> str:
    """The fingerprint of arrays and vocabularies.

    Args:
        data: one of them, or a tuple, named or not, in which they are at any depth. What else is in
            it, such as the names of files, does not count.

    Returns:
        16 hexadecimal digits; "" where there is nothing to take it of.
    """
    digest, is_empty = hashlib.sha256(), True
    for part in _parts(data):
        is_empty = False
        if isinstance(part, Vocabulary):
            digest.update("\0".join(part.tokens).encode())
            continue
        digest.update(f"{part.dtype.str} {part.shape}".encode())
        for rows in _pieces(part):
            digest.update(np.ascontiguousarray(rows).data)
    return "" if is_empty else digest.hexdigest()[:DIGITS]


def _parts(data: Any) -> Iterator[Any]:
    if isinstance(data, np.ndarray | Vocabulary):
        yield data
    elif isinstance(data, tuple):
        for part in data:
            yield from _parts(part)


def _pieces(x: np.ndarray) -> Iterator[np.ndarray]:
    """The whole array, or some of the rows of one that is mapped; it is read only there."""
    if not isinstance(x, np.memmap) or x.nbytes <= PIECES * PIECE:
        yield x
        return
    rows = min(len(x), max(1, PIECE * len(x) // x.nbytes))
    for start in np.linspace(0, len(x) - rows, PIECES).astype(int):
        yield x[start : start + rows]
