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


def test_the_first_and_last_entries_of_a_large_array_count_and_so_does_its_order() -> None:
    assert LARGE.nbytes > 2 * PIECES * PIECE
    found = {fingerprint(LARGE), fingerprint(LARGE[::-1]), fingerprint(np.roll(LARGE, 1))}
    for at in (0, -1):
        changed = LARGE.copy()
        changed[at, at] ^= 1
        found.add(fingerprint(changed))
    assert len(found) == 5


def test_any_thirtieth_of_a_large_array_cannot_be_replaced_unnoticed() -> None:
    rows = len(LARGE) // 30
    for start in range(0, len(LARGE) - rows, 1000):
        changed = LARGE.copy()
        changed[start : start + rows] ^= 1
        assert fingerprint(changed) != fingerprint(LARGE)


def test_a_mapped_or_sliced_array_has_the_fingerprint_of_a_copy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", LARGE)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert fingerprint(mapped) == fingerprint(LARGE)
    part = LARGE[::2, 1:4]
    assert fingerprint(part) == fingerprint(part.copy())
