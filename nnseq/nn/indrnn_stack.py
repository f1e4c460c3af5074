"""IndRNN layers on top of each other, with batch norm and dropout between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from nnseq.nn.arguments import check_choice, check_features, check_float, check_size
from nnseq.nn.batchnorm import BatchNorm
from nnseq.nn.dropout import Dropout
from nnseq.nn.indrnn import IndRNN
from nnseq.nn.initializers import SMALL, Initializer
from nnseq.nn.module import Module, ModuleList
from nnseq.nn.padding import last_steps, step_mask

Place = Literal["before", "after"]


class IndRNNBlock(Module):
    """One level of a stack: input product, recurrence, batch norm on either side, dropout.

        a = x W_ih + b                                                          (1)
        a ← BN(a)                          bn = "before"                        (2)
        h_t = act(a_t + u ∘ h_{t-1})                                            (3)
        y = BN(h)                          bn = "after"; else y = h             (4)
        y ← dropout(y), the same mask at every step                             (5)

    The state that is carried is h, before (4) and (5).

    Args:
        rnn: (1) and (3).
        bn: None, "before" or "after".
        bn_steps: normalise every time step by itself, with running statistics for so many steps;
            None for over all steps and the batch together.
        p_drop: of (5).

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        rnn: IndRNN,
        *,
        bn: Place | None = None,
        bn_steps: int | None = None,
        p_drop: float = 0.0,
    ) -> None:
        self.place = check_choice("IndRNNBlock", "bn", bn, (None, "before", "after"))
        if bn is None and bn_steps is not None:
            raise ValueError(f"IndRNNBlock: bn_steps is {bn_steps}, but bn is None; name its place")
        self.rnn = rnn
        self.bn: Any = None
        if bn is not None:
            self.bn = BatchNorm(rnn.hidden_size, num_steps=bn_steps, dtype=rnn.u.dtype)
        self.dropout = Dropout(p_drop, shared_over_time=True)

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
            x: (T, B, D).
            h0: (B, H) or None.
            mask, lengths: as IndRNN; padded steps do not count in the statistics either.
            rng: draws the dropout mask; needed in training where p_drop > 0.
            start: steps since the state was zero, for batch norm step by step.
            only_last: return y of each sequence's last step alone.

        Returns:
            y: (T, B, H), or (B, H) under only_last; h_T: (B, H) the state to carry on.

        Raises:
            ValueError: a shape does not fit, or only_last of a reversed rnn, whose last step in
                time is its first.
            TypeError: x is neither an array nor a Tensor.
        """
        check_features("IndRNNBlock", "x", x, self.rnn.input_size, "(T, B, D)")
        if only_last and self.rnn.reverse:
            raise ValueError(
                "IndRNNBlock: only_last reads step T - 1, where a reversed rnn begins; "
                "take h_T, or y[0]"
            )
        valid = step_mask("IndRNNBlock", x, mask, lengths)
        a = self.rnn.project(x)
        if self.place == "before":
            a = self.bn(a, mask=valid, start=start)  # (2)
        h, h_T = self.rnn.recur(a, h0, mask=valid)
        if not only_last:
            y = self.bn(h, mask=valid, start=start) if self.place == "after" else h  # (4)
            return self.dropout(y, rng), h_T
        if self.place == "after":  # the statistics need all steps, the rest only the last
            y = self.bn(h, mask=valid, start=start)
            y = y[-1] if valid is None else y[last_steps(valid)]
        else:
            y = h_T  # and h receives no gradient: the kernel is told so
        return self.dropout(y.reshape(1, *y.shape), rng).reshape(*y.shape), h_T


class IndRNNStack(Module):
    """num_layers IndRNNBlocks; each feeds the next.

    Args:
        input_size: D of the first layer.
        hidden_size: H of all, or one for each.
        num_layers: L, at least 1.
        rng: draws the initial values.
        act: "relu", "tanh" or "identity".
        W_init: of every W_ih.
        u_init: of u; u_init_last of the last layer's u instead, where it is given.
        u_bound: on every |u|; None for no constraint.
        bn, bn_steps, p_drop: as IndRNNBlock.
        learn_h0, step_clip, dtype: as IndRNN.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        *,
        rng: np.random.Generator,
        act: str = "relu",
        W_init: Initializer = SMALL,
        u_init: Initializer | None = None,
        u_init_last: Initializer | None = None,
        u_bound: float | None = None,
        bn: Place | None = None,
        bn_steps: int | None = None,
        p_drop: float = 0.0,
        learn_h0: bool = False,
        step_clip: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        L = check_size("IndRNNStack", "num_layers", num_layers)
        sizes = list(hidden_size) if isinstance(hidden_size, Sequence) else [hidden_size] * L
        if len(sizes) != L:
            raise ValueError(f"IndRNNStack: hidden_size is {hidden_size}, expected {L} sizes")
        self.layers = ModuleList()
        for k, (D, H) in enumerate(zip([input_size, *sizes], sizes, strict=False)):
            is_last = k == L - 1 and u_init_last is not None
            rnn = IndRNN(
                D,
                H,
                rng=rng,
                act=act,
                W_init=W_init,
                u_init=u_init_last if is_last else u_init,
                u_bound=u_bound,
                learn_h0=learn_h0,
                step_clip=step_clip,
                dtype=dtype,
            )
            self.layers.append(IndRNNBlock(rnn, bn=bn, bn_steps=bn_steps, p_drop=p_drop))

    @property
    def u_bound(self) -> float | None:
        """The constraint on |u|; setting it applies it at once."""
        bound: float | None = self.layers[0].rnn.u_bound
        return bound

    @u_bound.setter
    def u_bound(self, bound: float | None) -> None:
        if bound is not None:
            bound = check_float("IndRNNStack", "u_bound", bound, 0.0, open_low=True)
        for block in self.layers:
            block.rnn.u_bound = bound
        self.constrain()

    def forward(
        self,
        x: Any,
        h0: Sequence[Any] | None = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
        start: int = 0,
        only_last: bool = False,
    ) -> Any:
        """Run all layers over a whole sequence.

        Args:
            x: (T, B, D).
            h0: one (B, H) per layer, such as an earlier call's states; or None.
            mask, lengths, rng, start: as IndRNNBlock.
            only_last: return the last layer's output at each sequence's last step alone.

        Returns:
            y: (T, B, H), or (B, H) under only_last, of the last layer; and the tuple of all layers'
            final states, (B, H) each.

        Raises:
            ValueError: h0 is not one state per layer, or shapes that do not fit.
            TypeError: x is neither an array nor a Tensor.
        """
        check_features("IndRNNStack", "x", x, self.layers[0].rnn.input_size, "(T, B, D)")
        L = len(self.layers)
        if h0 is not None and len(h0) != L:
            raise ValueError(f"IndRNNStack: h0 has {len(h0)} states, expected one for each of {L}")
        valid = step_mask("IndRNNStack", x, mask, lengths)
        states = []
        for k, block in enumerate(self.layers):
            x, h_T = block(
                x,
                None if h0 is None else h0[k],
                mask=valid,
                rng=rng,
                start=start,
                only_last=only_last and k == L - 1,
            )
            states.append(h_T)
        return x, tuple(states)
