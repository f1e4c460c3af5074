"""IndRNNBody: what the IndRNN networks share; each subclass writes only the way x takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.models.body import SequenceBody, States, without_padding
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.models.time_difference import time_difference
from nnseq.nn.normalized_indrnn import NormalizedIndRNN
from nnseq.nn.padding import last_steps


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
        options: the arguments that the parts have in common, kept for a head that is added.

    Attributes:
        options: the same.
    """

    def __init__(self, options: IndRNNOptions) -> None:
        self.options = options

    @property
    def num_recurrences(self) -> int:
        """How many recurrences there are."""
        return sum(isinstance(module, NormalizedIndRNN) for _, module in self.named_modules())

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
