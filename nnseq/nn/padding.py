"""Sequences of different lengths in one batch: which steps count."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.ops.indexing import masked_fill
from nnseq.tensor import Tensor


def step_mask(who: str, x: Any, mask: Any, lengths: Any) -> Array | None:
    """Return which steps count, (T, B) bool, or None where all do.

    Args:
        who: the layer, for messages.
        x: (T, B, ...) array or Tensor.
        mask: (T, B), nonzero where the step counts, at least once in every sequence; or None.
        lengths: (B,) whole numbers in [1, T]: the first so many steps count; or None.

    Raises:
        ValueError: both are given, a shape or a length that does not fit, NaN in the mask, or a
            sequence without any step that counts.
        TypeError: lengths are not whole numbers.
    """
    array = x.data if isinstance(x, Tensor) else x
    T, B = array.shape[:2]
    if lengths is not None:
        if mask is not None:
            raise ValueError(f"{who}: got both a mask and lengths, expected one of them")
        lengths = _plain(lengths)
        lengths = to_device(lengths, "cpu") if hasattr(lengths, "dtype") else np.asarray(lengths)
        if lengths.dtype.kind not in "iu":
            raise TypeError(f"{who}: lengths are {lengths.dtype}, expected whole numbers")
        if lengths.shape != (B,) or (lengths < 1).any() or (lengths > T).any():
            raise ValueError(
                f"{who}: lengths are {lengths.tolist()}, expected {B} numbers in [1, {T}]"
            )
        mask = np.arange(T)[:, None] < lengths
    if mask is None:
        return None
    mask = _plain(mask)
    mask = to_device(mask if hasattr(mask, "dtype") else np.asarray(mask), device_of(array))
    if mask.shape != (T, B) or mask.dtype.kind not in "biuf":
        raise ValueError(
            f"{who}: mask is {mask.dtype} {mask.shape}, expected numbers or bool (T, B) = {(T, B)}"
        )
    if mask.dtype.kind == "f" and (mask != mask).any():
        raise ValueError(f"{who}: mask has NaN, expected 0 or another number for every step")
    valid = mask if mask.dtype == bool else mask != 0
    counts = valid.any(axis=0)
    if not counts.all():
        empty = np.flatnonzero(~to_device(counts, "cpu")).tolist()
        raise ValueError(
            f"{who}: no step of the sequences {empty} counts, expected at least one in each; "
            f"leave them out of the batch"
        )
    return valid


def without_padding(x: Any, valid: Array | None) -> Any:
    """Return x (T, B, ...) with zeros at padded steps, whatever stands there.

    A layer's input needs it too: in dW = xᵀ da, da = 0 does not stop a NaN in x.
    """
    return x if valid is None else masked_fill(x, ~valid, 0.0)


def last_steps(mask: Array) -> tuple[Array, Array]:
    """Return the index (t, b) of each sequence's last step that counts.

    Args:
        mask: (T, B) bool, True at least once in every column, as step_mask returns it.
    """
    xp = array_module(mask)
    T, B = mask.shape
    return T - 1 - xp.argmax(mask[::-1], axis=0), xp.arange(B)


def first_steps(mask: Array) -> tuple[Array, Array]:
    """Return the index (t, b) of each sequence's first step that counts; mask as for last_steps."""
    xp = array_module(mask)
    return xp.argmax(mask, axis=0), xp.arange(mask.shape[1])


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x
