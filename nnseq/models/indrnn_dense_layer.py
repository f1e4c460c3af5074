"""One layer of a dense block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.nn.module import Module
from nnseq.ops.joining import concat

BOTTLENECK = 4  # the inner recurrence of a layer is so many times as wide as what it adds


class DenseIndRNNLayer(Module):
    """Two recurrences, whose output stands beside the input.

        a = IndRNN(x)        (T, B, C) to (T, B, 4g)                            (1)
        y = [x ; IndRNN(a)]  to (T, B, C + g)                                   (2)

    Args:
        C: width of x.
        growth: g.
        options: of the parts.
        factor: 2 where differences stand beside the outputs of (1) and of (2), else 1.
        p_drop, p_drop_inner: of what (2) adds, and of a.
        rng: draws the initial values.
    """

    def __init__(
        self,
        C: int,
        growth: int,
        options: IndRNNOptions,
        *,
        factor: int,
        p_drop: float,
        p_drop_inner: float,
        rng: np.random.Generator,
    ) -> None:
        inner = BOTTLENECK * growth
        self.inner = options.block(C, inner, rng, p_drop=p_drop_inner)
        self.outer = options.block(factor * inner, growth, rng, p_drop=p_drop)

    def forward(self, x: Any, through: Callable[[Any, Any], Any]) -> Any:
        """Map (T, B, C) to (T, B, C + factor · g); through(block, x) runs a block."""
        a = through(self.inner, x)  # (1)
        return concat([x, through(self.outer, a)], -1)  # (2)
