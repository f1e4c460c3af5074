"""Which steps of a padded batch a penalty counts."""

from __future__ import annotations

from typing import Any

from nnseq.backend import Array, array_module
from nnseq.nn.padding import step_mask, without_padding
from nnseq.ops.arguments import float_array


def counted_steps(who: str, name: str, x: Any, mask: Any) -> tuple[Any, Array]:
    """Return x with 0 at padded steps, and 1 for every step that counts, else 0.

    The zeros are put in before anything is computed: NaN at a padded step reaches no gradient.

    Args:
        who, name: for messages.
        x: (T, B, D) array or Tensor.
        mask: (T, B), nonzero where the step counts; or None.

    Returns:
        x: (T, B, D), and counts: (T, B) of x's dtype.

    Raises:
        ValueError: x is not (T, B, D), or empty; or as nnseq.nn.padding.step_mask.
        TypeError: x is not a float array or Tensor.
    """
    a = float_array(who, name, x)
    if a.ndim != 3 or a.size == 0:
        raise ValueError(f"{who}: {name} has shape {a.shape}, expected (T, B, D), none of them 0")
    valid = step_mask(who, x, mask, None)
    if valid is None:
        return x, array_module(a).ones(a.shape[:2], a.dtype)
    return without_padding(x, valid), valid.astype(a.dtype)


def at_least_1(count: Any) -> Any:
    """A count to divide by: an empty sum stays 0 instead of 0 / 0."""
    return array_module(count).maximum(count, 1)
