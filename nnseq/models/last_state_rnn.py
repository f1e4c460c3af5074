"""Recurrent layers, whichever they are, and a linear readout of their last state."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.linear import Linear
from nnseq.nn.module import Module
from nnseq.nn.recurrent import Recurrent


class LastStateRNN(Module):
    """Reads a sequence and answers once.

        h = rnn(x)          the last layer's output at its last step            (1)
        y = h W + b                                                             (2)

    Args:
        rnn: RNN, IRNN, LSTM, GRU, MUT or another Recurrent, with output="last".
        output_size: of y.
        rng: draws the initial W.
        readout_init: of W.

    Raises:
        TypeError: rnn is no Recurrent.
        ValueError: rnn returns all steps, or output_size is out of range.
    """

    def __init__(
        self,
        rnn: Recurrent,
        output_size: int,
        *,
        rng: np.random.Generator,
        readout_init: Initializer = GLOROT,
    ) -> None:
        if not isinstance(rnn, Recurrent):
            raise TypeError(
                f"LastStateRNN: rnn is a {type(rnn).__name__}, expected a Recurrent layer such as "
                f"LSTM(..., output='last')"
            )
        if rnn.output != "last":
            raise ValueError(
                f"LastStateRNN: rnn has output={rnn.output!r}, but only its last step is read; "
                f"build it with output='last'"
            )
        self.rnn = rnn
        dtype = next(rnn.parameters()).dtype
        self.readout = Linear(
            rnn.output_size, output_size, rng=rng, W_init=readout_init, dtype=dtype
        )

    def forward(
        self,
        x: Any,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """Map x (T, B, D) to y (B, output_size).

        Args:
            x: array or Tensor.
            mask, lengths: which steps count, as Recurrent; the last of them is read.
            rng: draws masks; needed in training where something is random.
        """
        h, _ = self.rnn(x, mask=mask, lengths=lengths, rng=rng)
        return self.readout(h)
