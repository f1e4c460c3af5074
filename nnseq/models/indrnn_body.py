"""IndRNNBody: what the IndRNN networks share; each subclass writes only the way x takes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.models.body import SequenceBody, States
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.models.time_difference import time_difference
from nnseq.nn.normalized_indrnn import NormalizedIndRNN
from nnseq.nn.padding import last_steps, without_padding


class Walk:
    """One call of a body: it runs the layers, and keeps their states, in the order of the calls.

    Args:
        states: what the layers begin with, in that order; None: zeros.
        valid: (T, B) bool, False at padded steps; or None.
        rng, start: as SequenceBody.forward.

    Attributes:
        final: the states that the layers left.
    """

    def __init__(self, states: States | None, valid: Array | None, rng: Any, start: int) -> None:
        self.initial: Iterator[Any] = itertools.repeat(None) if states is None else iter(states)
        self.valid, self.rng, self.start = valid, rng, start
        self.final: list[Any] = []

    def through(self, layer: NormalizedIndRNN, x: Any, only_last: bool = False) -> Any:
        """Return the layer's y of x; or of the last step alone, (B, H)."""
        y, h_T = layer(
            x,
            next(self.initial),
            mask=self.valid,
            rng=self.rng,
            start=self.start,
            only_last=only_last,
        )
        self.final.append(h_T)
        return y

    def through_with_difference(self, layer: NormalizedIndRNN, x: Any) -> Any:
        """Return the layer's y of x with its differences beside it."""
        return self.with_difference(self.through(layer, x))

    def with_difference(self, x: Any) -> Any:
        """Return [x_t ; x_t - x_{t-1}], (T, B, 2C)."""
        y, x_T = time_difference(x, next(self.initial), self.valid)
        self.final.append(x_T)
        return y

    def last(self, y: Any) -> Any:
        """Return y (T, B, C) of each sequence's last step that counts, (B, C)."""
        return y[-1] if self.valid is None else y[last_steps(self.valid)]


class IndRNNBody(SequenceBody):
    """Base class of bodies whose layers are NormalizedIndRNNs.

    Args:
        options: what the parts have in common; an argument of every subclass.

    Raises:
        TypeError: options are no IndRNNOptions.
    """

    def __init__(self, options: IndRNNOptions) -> None:
        if not isinstance(options, IndRNNOptions):
            raise TypeError(
                f"{type(self).__name__}: options is a {type(options).__name__}, expected "
                f"IndRNNOptions(seq_len, ...)"
            )
        self._options = options

    @property
    def options(self) -> IndRNNOptions:
        """Those that make such a body as this one is now."""
        return dataclasses.replace(self._options, dtype=next(self.parameters()).dtype)

    def arguments(self) -> dict[str, Any]:
        """As Module.arguments, after astype and set_seq_len too."""
        return super().arguments() | {"options": self.options}

    def recurrences(self) -> list[NormalizedIndRNN]:
        """Return all recurrences, with what stands around them."""
        return [part for _, part in self.named_modules() if isinstance(part, NormalizedIndRNN)]

    def set_seq_len(self, seq_len: int) -> None:
        """Hold |u| to the bound of another length from now on, as a curriculum does.

        Raises:
            ValueError, TypeError: out of range; or u is not constrained, or u_bound was given and
                does not depend on T. Nothing is changed then.
        """
        if self._options.u_bound is not None or not self._options.constrain_u:
            raise ValueError(
                f"{type(self).__name__}: set_seq_len would change nothing, because u_bound was "
                f"given or constrain_u is False"
            )
        self._options = dataclasses.replace(self._options, seq_len=seq_len)
        _, bound = self._options.u_range()
        for part in self.recurrences():
            part.rnn.u_bound = bound
        self.constrain()

    def run(self, x: Any, walk: Walk, only_last: bool) -> Any:
        """Return y (T, B, O) of x (T, B, D), or (B, O) under only_last; every layer by walk."""
        raise NotImplementedError(f"{type(self).__name__} defines no run")

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
    ) -> Any:
        """Run over a whole sequence, as SequenceBody.forward."""
        valid = self.check(x, states, mask, lengths, only_last)
        walk = Walk(states, valid, rng, start)
        y = self.run(without_padding(x, valid), walk, only_last)
        return y, tuple(walk.final)
