"""Residual IndRNN, pre-activation: each block adds to what it was given."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.models.indrnn_body import IndRNNBody, Walk
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.nn.arguments import check_size
from nnseq.nn.module import Module, ModuleList


class ResidualIndRNNBlock(Module):
    """Twice recurrence, dropout and linear map, and the input added.

        a = dropout(IndRNN(x)) W_1 + b_1                                        (1)
        y = x + dropout(IndRNN(a)) W_2 + b_2                                    (2)

    Args:
        H: width of x and y.
        options: of the parts.
        p_drop: of both dropouts.
        rng: draws the initial values.
    """

    def __init__(
        self, H: int, options: IndRNNOptions, *, p_drop: float, rng: np.random.Generator
    ) -> None:
        self.rnn_1 = options.recurrence(H, rng, p_drop=p_drop)
        self.linear_1 = options.linear(H, H, rng)
        self.rnn_2 = options.recurrence(H, rng, p_drop=p_drop)
        self.linear_2 = options.linear(H, H, rng)

    def forward(self, x: Any, walk: Walk) -> Any:
        """Map (T, B, H) to (T, B, H)."""
        a = self.linear_1(walk.through(self.rnn_1, x))  # (1)
        return x + self.linear_2(walk.through(self.rnn_2, a))  # (2)


class ResidualIndRNNBody(IndRNNBody):
    """A linear map, pre-activation residual blocks, and a last recurrence.

        x ← x W_0 + b_0                                                         (1)
        x ← x + f_k(x),   k = 1, ..., num_blocks      see ResidualIndRNNBlock   (2)
        y = dropout(IndRNN(x))                                                  (3)

    So num_blocks blocks are 2 · num_blocks + 1 recurrences on top of each other. Li, Li, Cook, Gao
    2019, "Deep independently recurrent neural network (IndRNN)", arXiv:1910.06251; He, Zhang, Ren,
    Sun 2016, "Identity mappings in deep residual networks", arXiv:1603.05027v3.

    Args:
        input_size: D.
        hidden_size: H of every layer.
        num_blocks: at least 1.
        options: of the recurrences.
        rng: draws the initial values.
        p_drop: inside the blocks.
        p_drop_last: of (3); p_drop if left out.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_blocks: int,
        options: IndRNNOptions,
        *,
        rng: np.random.Generator,
        p_drop: float = 0.0,
        p_drop_last: float | None = None,
    ) -> None:
        super().__init__(options)
        self.input_size, self.output_size = input_size, hidden_size
        self.linear = options.linear(input_size, hidden_size, rng)
        self.blocks = ModuleList(
            ResidualIndRNNBlock(hidden_size, options, p_drop=p_drop, rng=rng)
            for _ in range(check_size("ResidualIndRNNBody", "num_blocks", num_blocks))
        )
        p_drop_last = p_drop if p_drop_last is None else p_drop_last
        self.rnn = options.recurrence(hidden_size, rng, p_drop=p_drop_last, is_last=True)
        self.num_states = len(self.recurrences())

    def run(self, x: Any, walk: Walk, only_last: bool) -> Any:
        x = self.linear(x)  # (1)
        for block in self.blocks:
            x = block(x, walk)  # (2)
        return walk.through(self.rnn, x, only_last)  # (3)
