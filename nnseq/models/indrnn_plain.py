"""Plain IndRNN: layers on top of each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.models.indrnn_body import IndRNNBody, Walk
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.nn.arguments import check_size
from nnseq.nn.module import ModuleList


class PlainIndRNNBody(IndRNNBody):
    """num_layers times: product with the input, batch norm and recurrence, dropout.

        x ← dropout(IndRNN(x W_ih + b)),   layer by layer                       (1)

    with IndRNN the recurrence of NormalizedIndRNN. Li et al. 2018, arXiv:1803.04831v3.

    Args:
        input_size: D.
        hidden_size: H of every layer.
        num_layers: L, at least 1.
        options: of the recurrences.
        rng: draws the initial values.
        p_drop: of each layer's output.
        p_drop_last: of the last layer's; p_drop if left out.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        options: IndRNNOptions,
        *,
        rng: np.random.Generator,
        p_drop: float = 0.0,
        p_drop_last: float | None = None,
    ) -> None:
        super().__init__(options)
        self.input_size, self.output_size = input_size, hidden_size
        self.layers = ModuleList()
        L = check_size("PlainIndRNNBody", "num_layers", num_layers)
        for k in range(L):
            is_last = k == L - 1
            p = p_drop_last if is_last and p_drop_last is not None else p_drop
            D = hidden_size if k else input_size
            self.layers.append(options.block(D, hidden_size, rng, p_drop=p, is_last=is_last))
        self.num_states = len(self.recurrences())

    def run(self, x: Any, walk: Walk, only_last: bool) -> Any:
        *others, last = self.layers
        for layer in others:
            x = walk.through(layer, x)
        return walk.through(last, x, only_last)  # (1)
