"""nnseq.data.fingerprint: equal for equal data, and for nothing else that a folder may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.corpus import Vocabulary
from nnseq.data.fingerprint import PIECE, PIECES, fingerprint

LARGE = np.random.default_rng(3).integers(0, 256, (3 * PIECES * PIECE // 7, 7), np.uint8)


def mapped(folder: Path, x: np.ndarray) -> np.ndarray:
    """The array as a reader of large files has it; each call writes another file."""
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, x)
    return np.lib.format.open_memmap(path, mode="r")


class Read(NamedTuple):
    x: Any
    files: tuple[str, ...] = ()
    folder: Path | None = None


def test_names_and_places_do_not_count() -> None:
    x, words = np.arange(5), Vocabulary("abc")
    first = Read((x, words), ("train.gz",), Path("here"))
    assert fingerprint(first) == fingerprint((x.copy(), Vocabulary("abc")))
    assert len(fingerprint(first)) == 16
    assert int(fingerprint(first), 16) >= 0
    assert fingerprint(Read(None, ("train.gz",))) == fingerprint("train.gz") == ""


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6).reshape(3, 2),
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.arange(6).reshape(2, 3)[::-1],
        np.arange(6).reshape(2, 3).astype(">i8"),
        (np.arange(3), np.arange(3, 6)),
    ],
)
def test_type_shape_and_order_count(other: Any) -> None:
    assert fingerprint(other) != fingerprint(np.arange(6).reshape(2, 3))


def test_the_words_that_ids_stand_for_count() -> None:
    found = {fingerprint(Vocabulary(words)) for words in (("ab", "c"), ("a", "bc"), ("c", "ab"))}
    assert len(found) == 3


@given(st.integers(0, 11), st.integers(1, 255))
def test_every_entry_of_a_small_array_counts(at: int, change: int) -> None:
    x = np.arange(12, dtype=np.uint8)
    y = x.copy()
    y[at] += np.uint8(change)
    assert fingerprint(x) != fingerprint(y)


@given(st.integers(0, LARGE.size - 1), st.integers(1, 255))
def test_every_entry_of_a_large_array_in_memory_counts(at: int, change: int) -> None:
    changed = LARGE.copy()
    changed.flat[at] ^= np.uint8(change)
    assert fingerprint(changed) != fingerprint(LARGE)


def test_the_first_and_last_entries_of_a_mapped_array_count_and_so_does_its_order(
    tmp_path: Path,
) -> None:
    assert LARGE.nbytes > 2 * PIECES * PIECE
    first, last = LARGE.copy(), LARGE.copy()
    first[0, 0] ^= 1
    last[-1, -1] ^= 1
    arrays = (LARGE, LARGE[::-1], np.roll(LARGE, 1), first, last)
    assert len({fingerprint(mapped(tmp_path, x)) for x in arrays}) == 5


def test_any_thirtieth_of_a_mapped_array_cannot_be_replaced_unnoticed(tmp_path: Path) -> None:
    rows, expected = len(LARGE) // 30, fingerprint(mapped(tmp_path, LARGE))
    for start in range(0, len(LARGE) - rows, 5000):
        changed = LARGE.copy()
        changed[start : start + rows] ^= 1
        assert fingerprint(mapped(tmp_path, changed)) != expected


def test_a_copied_file_or_slice_has_the_same_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(mapped(tmp_path, LARGE)) == fingerprint(mapped(tmp_path, LARGE))
    part = LARGE[::2, 1:4]
    assert fingerprint(part) == fingerprint(part.copy())
    small = LARGE[:9]
    assert fingerprint(mapped(tmp_path, small)) == fingerprint(small)
