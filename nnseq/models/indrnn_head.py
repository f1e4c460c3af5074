"""The head of an IndRNN language model: from the body's width to the decoder's."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.nn.batchnorm import BatchNorm
from nnseq.nn.module import Module


class IndRNNHead(Module):
    """A recurrence to the width of the decoder, which a tied decoder prescribes.

        y = IndRNN(x W_ih + b)                                                  (1)
        y ← BN(y)      where (1) has batch norm before its recurrence alone     (2)

    (2) starts with γ = 1 also under small_norm_init: it feeds no recurrence, but the decoder.

    Args:
        options: those of the body.
        input_size: of the body's outputs.
        output_size: e.
        rng: draws the initial values.
    """

    def __init__(
        self, options: IndRNNOptions, input_size: int, output_size: int, rng: np.random.Generator
    ) -> None:
        self.block = options.block(input_size, output_size, rng, p_drop=0.0)
        self.bn: Any = None
        if options.bn == "before":
            self.bn = BatchNorm(
                output_size,
                num_steps=options.bn_steps,
                eval_with=options.bn_eval,
                dtype=options.dtype,
            )

    def forward(self, x: Any, h0: Any = None, *, start: int = 0) -> Any:
        """Map x (T, B, D) to y (T, B, e) and the state h_T (B, e); start as SequenceBody."""
        y, h_T = self.block(x, h0, start=start)  # (1)
        return y if self.bn is None else self.bn(y, start=start), h_T  # (2)
