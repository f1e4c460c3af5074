"""Damaged copies of a file, as hypothesis draws them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]


def _cut(where: float) -> Damage:
    return lambda content: content[: int(where * len(content))]


def _lengthen(more: bytes) -> Damage:
    return lambda content: content + more


def _flip(where: float, bits: int, near_the_head: bool) -> Damage:
    def flipped(content: bytes) -> bytes:
        span = min(len(content), 24) if near_the_head else len(content)
        at = int(where * span)
        return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]

    return flipped


def damages() -> st.SearchStrategy[Any]:
    """A file cut short, made longer, or with one byte changed (half of these in its head)."""
    where = st.floats(0, 1, exclude_max=True)
    return st.one_of(
        where.map(_cut),
        st.binary(min_size=1, max_size=40).map(_lengthen),
        st.builds(_flip, where, st.integers(1, 255), st.booleans()),
    )
