"""Inputs for every kernel of the registry, at the registry's sizes.

A new kernel adds its builder to `_BUILDERS`; a test fails as long as it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tests.cells import recurrent_cases

Sizes = Mapping[str, int]


class Example(NamedTuple):
    """One call of an op's forward and backward; a gradient that is not given is None."""

    label: str
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    doutputs: tuple[Any, ...]


def examples(op: str, sizes: Sizes, dtype: str) -> Iterator[Example]:
    """Yields examples of an op for these sizes; they vary options and optional inputs.

    Raises KeyError when the op has no builder here.
    """
    if op not in _BUILDERS:
        raise KeyError(
            f"examples: no inputs for {op!r}; add a builder to tests/gpu_ladder/examples.py"
        )
    return _BUILDERS[op](sizes, np.dtype(dtype))


def _indrnn(sizes: Sizes, dtype: np.dtype[Any]) -> Iterator[Example]:
    """Every activation, with and without mask; clipping and a missing dh or dh_T by turns."""
    T, B, H = sizes["T"], sizes["B"], sizes["H"]
    rng = np.random.default_rng(T + 100 * B + 10_000 * H)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return rng.normal(size=shape).astype(dtype)

    turns = product(("relu", "tanh", "identity"), (False, True))
    for turn, (act, masked) in enumerate(turns):
        mask = rng.random((T, B)) < 0.7 if masked else None
        u = rng.uniform(-1, 1, H).astype(dtype)
        step_clip = (0.0, 0.5)[turn % 2 ^ turn // 2 % 2]
        dh, dh_T = draw(T, B, H), draw(B, H)
        given = ((dh, dh_T), (dh, None), (None, dh_T))[turn % 3]
        label = f"{act}, masked={masked}, step_clip={step_clip}, doutputs {turn % 3}"
        options = {"act": act, "step_clip": step_clip}
        yield Example(label, (draw(T, B, H), u, draw(B, H), mask), options, given)


EVERYTHING = {"T": 3, "B": 2, "H": 5}  # where every option runs alone, too
AT_ALL_SIZES = ("plain", "all fresh")


def _recurrent(op: str, sizes: Sizes, dtype: np.dtype[Any]) -> Iterator[Example]:
    """Every variant of a cell at one size, a few at the others; gradients missing by turns.

    What stands at padded steps is NaN.
    """
    T, B, H = sizes["T"], sizes["B"], sizes["H"]
    for turn, variant in enumerate(recurrent_cases.variants(op)):
        if sizes != EVERYTHING and variant.label not in AT_ALL_SIZES:
            continue
        inputs, options, doutputs = recurrent_cases.draw(op, variant, T, B, H, dtype, seed=turn)
        if "mask" in variant.present:
            inputs = recurrent_cases.with_nan_in_padding(op, inputs)
        missing = turn % (len(doutputs) + 1)  # the last turn has all
        given = tuple(None if k == missing else dy for k, dy in enumerate(doutputs))
        yield Example(variant.label, inputs, options, given)


_BUILDERS: dict[str, Callable[[Sizes, np.dtype[Any]], Iterator[Example]]] = {
    "indrnn": _indrnn,
    **{op: partial(_recurrent, op) for op in recurrent_cases.CELLS},
}
