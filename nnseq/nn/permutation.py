"""One fixed order of the steps of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import check_rng, check_size
from nnseq.nn.module import Module
from nnseq.tensor import Tensor


class Permutation(Module):
    """Show the steps of every sequence in the same random order.

        y_t = x_order(t),   order: each of 0 .. T - 1 once                      (1)

    The order is drawn at construction and saved with the parameters, so that a network that has
    learned with it is always evaluated with it.

    Args:
        T: steps.
        rng: draws the order.

    Attributes:
        order: (T,) int64, saved, not trained.

    Raises:
        ValueError, TypeError: out of range.
    """

    buffers = ("order",)

    def __init__(self, T: int, *, rng: np.random.Generator) -> None:
        T = check_size("Permutation", "T", T)
        self.order: Array = check_rng("Permutation", rng).permutation(T)

    def forward(self, x: Any) -> Any:
        """Return x (T, ...) in the order of (1).

        Raises:
            ValueError: another T.
        """
        if x.ndim == 0 or x.shape[0] != len(self.order):
            raise ValueError(
                f"Permutation: x has shape {tuple(x.shape)}, expected (T, ...) with "
                f"T = {len(self.order)}"
            )
        xp = array_module(x.data if isinstance(x, Tensor) else x)
        return x[xp.asarray(self.order)]
