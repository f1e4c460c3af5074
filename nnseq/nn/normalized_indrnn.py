"""An IndRNN's recurrence with what stands around it: batch norm on either side, dropout."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from nnseq.nn.arguments import check_choice, check_features
from nnseq.nn.batchnorm import BatchNorm
from nnseq.nn.dropout import Dropout
from nnseq.nn.indrnn import IndRNNRecurrence
from nnseq.nn.module import Module
from nnseq.nn.padding import last_steps, step_mask

Place = Literal["before", "after"]


class NormalizedIndRNN(Module):
    """A recurrence from pre-activations, batch norm on either side of it, and dropout.

        a ← BN(a)                          bn = "before"                        (1)
        h_t = act(a_t + u ∘ h_{t-1})                                            (2)
        y = BN(h)                          bn = "after"; else y = h             (3)
        y ← dropout(y), the same mask at every step                             (4)

    The state that is carried is h, before (3) and (4). Li et al. 2018, arXiv:1803.04831v3.

    Args:
        rnn: an IndRNNRecurrence, (2).
        bn: None, "before" or "after".
        bn_steps: normalise every time step by itself, with running statistics for so many steps;
            None for over all steps and the batch together.
        bn_eval: "running", or "batch": also evaluate with the batch's own statistics.
        gamma_init: where γ of batch norm starts.
        p_drop: of (4).

    Raises:
        ValueError, TypeError: out of range, or another rnn.
    """

    rnn: Any  # of the class that takes names
    bn: Any  # BatchNorm or None
    takes: ClassVar[type[IndRNNRecurrence]] = IndRNNRecurrence

    def __init__(
        self,
        rnn: Any,
        *,
        bn: Place | None = None,
        bn_steps: int | None = None,
        bn_eval: str = "running",
        gamma_init: float = 1.0,
        p_drop: float = 0.0,
    ) -> None:
        who = type(self).__name__
        if type(rnn) is not self.takes:
            raise TypeError(
                f"{who}: rnn is a {type(rnn).__name__}, expected the class {self.takes.__name__}"
            )
        self.place = check_choice(who, "bn", bn, (None, "before", "after"))
        for name, value, off in (("bn_steps", bn_steps, None), ("bn_eval", bn_eval, "running")):
            if bn is None and value != off:
                raise ValueError(f"{who}: {name} is {value}, but bn is None; name its place")
        self.rnn, self.bn = rnn, None
        if bn is not None:
            self.bn = BatchNorm(
                rnn.hidden_size,
                num_steps=bn_steps,
                gamma_init=gamma_init,
                eval_with=bn_eval,
                dtype=rnn.u.dtype,
            )
        self.dropout = Dropout(p_drop, shared_over_time=True)

    def project(self, x: Any) -> Any:
        """Return a, the pre-activations (T, B, H) of x: here x itself."""
        check_features(type(self).__name__, "x", x, self.rnn.hidden_size, "(T, B, H)")
        return x

    def forward(
        self,
        x: Any,
        h0: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
        start: int = 0,
        only_last: bool = False,
    ) -> Any:
        """Run over a whole sequence.

        Args:
            x: (T, B, H) pre-activations; of an IndRNNBlock, its input (T, B, D).
            h0: (B, H) or None.
            mask, lengths: as IndRNN; padded steps do not count in the statistics either.
            rng: draws the dropout mask; needed in training where p_drop > 0.
            start: steps since the state was zero, for batch norm step by step.
            only_last: return y of each sequence's last step alone.

        Returns:
            y: (T, B, H), or (B, H) under only_last; h_T: (B, H) the state to carry on.

        Raises:
            ValueError: a shape does not fit, or only_last of no step or of a reversed rnn, whose
                last step in time is its first.
            TypeError: x is neither an array nor a Tensor.
        """
        who, a = type(self).__name__, self.project(x)
        if only_last and self.rnn.reverse:
            raise ValueError(
                f"{who}: only_last reads step T - 1, where a reversed rnn begins; take h_T, or y[0]"
            )
        if only_last and a.shape[0] == 0:
            raise ValueError(f"{who}: x has no step, so there is no last one for only_last")
        valid = step_mask(who, a, mask, lengths)
        if self.place == "before":
            a = self.bn(a, mask=valid, start=start)  # (1)
        h, h_T = self.rnn.recur(a, h0, mask=valid)  # (2)
        if not only_last:
            y = self.bn(h, mask=valid, start=start) if self.place == "after" else h  # (3)
            return self.dropout(y, rng), h_T
        if self.place == "after":  # the statistics need all steps, the rest only the last
            y = self.bn(h, mask=valid, start=start)
            y = y[-1] if valid is None else y[last_steps(valid)]
        else:
            y = h_T  # and h receives no gradient: the kernel is told so
        return self.dropout(y.reshape(1, *y.shape), rng).reshape(*y.shape), h_T
