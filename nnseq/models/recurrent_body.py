"""RecurrentBody: LSTM, GRU, RNN and other Recurrent layers as the body of a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.models.body import SequenceBody, States
from nnseq.nn.padding import last_steps
from nnseq.nn.recurrent import Recurrent


class RecurrentBody(SequenceBody):
    """Recurrent layers; their states are one tuple, also where there is only h.

    Args:
        rnn: a Recurrent. With output="last" it serves networks that read the last step alone, and
            in both directions; with output="all", which only_last cuts short, all others.

    Raises:
        TypeError: rnn is no Recurrent.
    """

    def __init__(self, rnn: Recurrent) -> None:
        if not isinstance(rnn, Recurrent):
            raise TypeError(
                f"RecurrentBody: rnn is a {type(rnn).__name__}, expected a Recurrent layer such "
                f"as LSTM(...)"
            )
        self.rnn = rnn
        self.input_size, self.output_size = rnn.input_size, rnn.output_size
        self.num_states = len(rnn.state_sizes)
        self.has_cells = "c" in rnn.state_sizes
        self.reads_ahead = any(direction.is_reversed for direction in rnn.directions)

    def forward(
        self,
        x: Any,
        states: States | None = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
        start: int = 0,
        only_last: bool = False,
        return_cells: bool = False,
    ) -> Any:
        """Run over a whole sequence, as SequenceBody.forward; y is zero at padded steps.

        Args:
            start: nothing here depends on it: a BatchNormLSTM counts from the start of each call.
            return_cells: also return c (T, B, width), the last layer's cell states at all steps.

        Raises:
            ValueError: only_last of a layer that runs backwards and returns all steps, or all
                steps of one that returns the last; and as SequenceBody.
        """
        valid = self.check(x, states, mask, lengths, only_last)
        self._check_output(only_last)
        given = states if states is None or self.num_states > 1 else states[0]
        y, final, *c = self.rnn(x, given, mask=valid, rng=rng, **self._cells(return_cells))
        if only_last and self.rnn.output == "all":
            y = y[-1] if valid is None else y[last_steps(valid)]
        return (y, final if self.num_states > 1 else (final,), *c)

    def _cells(self, return_cells: bool) -> dict[str, bool]:
        return {"return_cells": True} if return_cells else {}

    def _check_output(self, only_last: bool) -> None:
        layer = type(self.rnn).__name__
        if self.rnn.output == "last" and not only_last:
            raise ValueError(
                f"RecurrentBody: all steps are to be read, but {layer} has output='last'; build "
                f"it with output='all'"
            )
        if only_last and self.rnn.output == "all" and self.reads_ahead:
            raise ValueError(
                f"RecurrentBody: only_last reads step T - 1, where a {layer} that runs backwards "
                f"begins; build it with output='last'"
            )
