"""SequenceBody: what stands between the input of a network and its readout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.nn.arguments import check_features
from nnseq.nn.module import Module
from nnseq.nn.padding import step_mask
from nnseq.tensor import Tensor

States = tuple[Any, ...]


class SequenceBody(Module):
    """Base class: reads a sequence, and gives a vector for every step or for the last one.

    Attributes:
        input_size: D. output_size: O.
        num_states: how many arrays the tuple of states has.
        has_cells: forward takes return_cells=True, and then returns cell states as well.
        reads_ahead: y_t depends on steps after t, as of a layer that runs backwards.
    """

    input_size: int
    output_size: int
    num_states: int
    has_cells = False
    reads_ahead = False

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
        """Run over a whole sequence.

        Args:
            x: (T, B, D).
            states: what an earlier call returned as states; None: zeros.
            mask: (T, B), nonzero where the step counts; elsewhere the states are held, and
                whatever stands in x changes nothing. Or None.
            lengths: (B,) the same as a mask: the first so many steps count.
            rng: draws masks; needed in training where something is random.
            start: steps since the states were zero, for batch norm step by step.
            only_last: return y of each sequence's last step that counts alone.

        Returns:
            y: (T, B, O), or (B, O) under only_last; what stands at padded steps means nothing.
            states: the final ones, a tuple of num_states arrays (B, width).

        Raises:
            ValueError, TypeError: shapes, states or dtypes that do not fit, no step for only_last,
                or no generator where one is needed.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def check(self, x: Any, states: Any, mask: Any, lengths: Any, only_last: bool) -> Array | None:
        """Refuse what does not fit; return which steps count, as step_mask."""
        who = type(self).__name__
        check_features(who, "x", x, self.input_size, "(T, B, D)")
        if states is not None and not isinstance(states, (tuple, list)):
            raise TypeError(
                f"{who}: states is a {type(states).__name__}, expected a tuple of "
                f"{self.num_states} arrays, as an earlier call returned it"
            )
        if states is not None and len(states) != self.num_states:
            raise ValueError(
                f"{who}: got {len(states)} states, expected {self.num_states}, as an earlier call "
                f"returned them"
            )
        if only_last and x.shape[0] == 0:
            raise ValueError(f"{who}: x has no step, so there is no last one for only_last")
        return step_mask(who, x, mask, lengths)


def check_body(who: str, body: Any) -> None:
    """Refuse what is no SequenceBody."""
    if not isinstance(body, SequenceBody):
        raise TypeError(
            f"{who}: body is a {type(body).__name__}, expected a SequenceBody; recurrent layers "
            f"become one by RecurrentBody(rnn)"
        )


def refuse_unused(who: str, because: str, **given: Any) -> None:
    """Refuse options, given by name, of a part that is left out."""
    for name, value in given.items():
        if value:
            raise ValueError(f"{who}: {name} is {value!r}, but {because}")


def detach(states: Iterable[Any] | None) -> tuple[Array, ...] | None:
    """Return the same states as plain arrays, to be carried on without their history."""
    if states is None:
        return None
    return tuple(state.data if isinstance(state, Tensor) else state for state in states)
