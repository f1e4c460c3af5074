"""Hypothesis strategies that the tests share: shapes, layouts in memory, and arrays of them.

Entries come from a seeded generator: hypothesis chooses what matters to an op (shape, layout,
range) and is not asked to search through single floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

Draw = Callable[[st.SearchStrategy[Any]], Any]

seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from([1, 2, 3, 4, 5])  # one, odd, even; small, as every entry is checked
LAYOUTS = ("contiguous", "transposed", "strided", "reversed")


@st.composite
def shapes(
    draw: Draw, min_dims: int = 0, max_dims: int = 3, max_size: int = 30, zero: bool = True
) -> tuple[int, ...]:
    """A shape of at most max_size entries; at times with an axis of size 0."""
    side = st.sampled_from([1, 2, 3, 3, 4, 5, 0] if zero else [1, 2, 3, 3, 4, 5])
    shape = st.lists(side, min_size=min_dims, max_size=max_dims).map(tuple)
    return draw(shape.filter(lambda s: np.prod(s) <= max_size))


def broadcastable(count: int, max_side: int = 4) -> st.SearchStrategy[Any]:
    """Shapes that broadcast against each other, some with an axis of size 0."""
    found = st_np.mutually_broadcastable_shapes(
        num_shapes=count, min_side=0, max_side=max_side, max_dims=3
    )
    return found.filter(lambda s: np.prod(s.result_shape) <= 30).map(lambda s: s.input_shapes)


def lay_out(x: np.ndarray, layout: str) -> np.ndarray:
    """The same entries in memory that is contiguous, or transposed, strided or reversed."""
    if layout == "transposed" and x.ndim:
        return np.ascontiguousarray(x.T).T
    if layout == "strided":
        wide = np.zeros((*x.shape, 2), x.dtype)
        wide[..., 0] = x
        return wide[..., 0]
    if layout == "reversed" and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    return np.array(x)


@st.composite
def arrays(
    draw: Draw,
    shape: Any,
    low: float = -2.0,
    high: float = 2.0,
    *,
    apart_from: float | None = None,
    distinct: bool = False,
) -> np.ndarray:
    """A float64 array of that shape (or strategy of shapes) in a random layout.

    Args:
        low, high: the range of the entries.
        apart_from: a kink that no entry comes closer to than 0.05.
        distinct: no two entries closer than 0.05, in random order.
    """
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    rng = np.random.default_rng(draw(seeds))
    x = rng.uniform(low, high, shape)
    if distinct:
        x = 0.1 * (rng.permutation(x.size).reshape(shape) - x.size / 2) + rng.uniform(0, 0.05)
    if apart_from is not None:
        x = np.where(np.abs(x - apart_from) < 0.05, x + 0.1 * np.sign(x - apart_from), x)
    return lay_out(x, draw(st.sampled_from(LAYOUTS)))


def integers(shape: Any, low: int, high: int) -> st.SearchStrategy[np.ndarray]:
    """An int64 array with entries in [low, high)."""
    return seeds.map(lambda s: np.random.default_rng(s).integers(low, high, shape))
