"""IndRNN layers on top of each other, with batch norm and dropout between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnseq.nn.arguments import check_features, check_float, check_size
from nnseq.nn.indrnn import IndRNN
from nnseq.nn.initializers import SMALL, Initializer
from nnseq.nn.module import Module, ModuleList
from nnseq.nn.normalized_indrnn import NormalizedIndRNN, Place
from nnseq.nn.padding import step_mask


class IndRNNBlock(NormalizedIndRNN):
    """One level of a stack: the product with the input, then all of NormalizedIndRNN.

        a = x W_ih + b                                                          (5)
        then (1) to (4) of NormalizedIndRNN

    Args:
        rnn: an IndRNN, (5) and (2).
        bn, bn_steps, gamma_init, p_drop: as NormalizedIndRNN.

    Raises:
        ValueError, TypeError: out of range, or another rnn.
    """

    takes = IndRNN

    def project(self, x: Any) -> Any:
        """Return (5) of x (T, B, D)."""
        check_features("IndRNNBlock", "x", x, self.rnn.input_size, "(T, B, D)")
        return self.rnn.project(x)


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
