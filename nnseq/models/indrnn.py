"""The plain IndRNN network: a stack, and a linear readout of its last state."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.models.indrnn_options import u_range
from nnseq.nn.arguments import check_size
from nnseq.nn.indrnn import recurrent_bound, recurrent_init
from nnseq.nn.indrnn_stack import IndRNNStack
from nnseq.nn.initializers import GLOROT, SMALL, Initializer, Normal
from nnseq.nn.linear import Linear
from nnseq.nn.module import Module
from nnseq.nn.normalized_indrnn import Place


class PlainIndRNN(Module):
    """Reads a sequence and answers once, from the last layer's last state.

        h = IndRNNStack(x)                                                      (1)
        y = h_T W + b                                                           (2)

    Initial values are those of the adding problem in Li et al. 2018, arXiv:1803.04831v3, and its
    authors' code, with U_bound = MAG^(1/T): W_ih ~ N(0, in2hid_std²), u ~ U(0, U_bound) (tanh:
    U(-U_bound, U_bound)), in the last layer u ~ U((1/MAG)^(1/T), U_bound), because only what its
    units remember to the end is read; |u| ≤ U_bound all along.

    Args:
        input_size: D.
        hidden_size: H of every layer.
        num_layers: L.
        output_size: of y.
        seq_len: T, the length that U_bound is made for; others can be read. See set_seq_len.
        rng: draws the initial values.
        MAG: how much a gradient may grow over T steps.
        act: "relu", "tanh" or "identity".
        in2hid_std: standard deviation of W_ih; None for KaimingUniform(8), U(±√(6 / (65 fan_in))).
        u_bound: U_bound itself, in place of seq_len and MAG.
        constrain_u: hold |u| ≤ U_bound in training; else U_bound is for the start alone.
        init_last_u: give the last layer its own range.
        readout_init: of W in (2).
        bn, bn_steps, p_drop, learn_h0, step_clip, dtype: as IndRNNStack.

    Raises:
        ValueError, TypeError: out of range, or no u is left for the last layer's own range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        output_size: int,
        *,
        seq_len: int,
        rng: np.random.Generator,
        MAG: float = 2.0,
        act: str = "relu",
        in2hid_std: float | None = 0.001,
        u_bound: float | None = None,
        constrain_u: bool = True,
        init_last_u: bool = True,
        readout_init: Initializer = GLOROT,
        bn: Place | None = None,
        bn_steps: int | None = None,
        p_drop: float = 0.0,
        learn_h0: bool = False,
        step_clip: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        self.seq_len = check_size("PlainIndRNN", "seq_len", seq_len)
        self.MAG, self.act, self.has_own_bound = MAG, act, u_bound is not None
        low, bound = u_range("PlainIndRNN", seq_len, MAG, act, u_bound, init_last_u)
        self.constrain_u = bool(constrain_u)
        self.stack = IndRNNStack(
            input_size,
            hidden_size,
            num_layers,
            rng=rng,
            act=act,
            W_init=SMALL if in2hid_std is None else Normal(in2hid_std),
            u_init=recurrent_init(act, bound),
            u_init_last=recurrent_init(act, bound, low) if init_last_u else None,
            u_bound=bound if constrain_u else None,
            bn=bn,
            bn_steps=bn_steps,
            p_drop=p_drop,
            learn_h0=learn_h0,
            step_clip=step_clip,
            dtype=dtype,
        )
        self.readout = Linear(hidden_size, output_size, rng=rng, W_init=readout_init, dtype=dtype)

    def set_seq_len(self, seq_len: int) -> None:
        """Hold |u| to the bound of another length from now on, as a curriculum does.

        Raises:
            ValueError: u is not constrained, or u_bound was given and does not depend on T.
        """
        if self.has_own_bound or not self.constrain_u:
            raise ValueError(
                "PlainIndRNN: set_seq_len would change nothing, because u_bound was given or "
                "constrain_u is False"
            )
        self.stack.u_bound = recurrent_bound(seq_len, self.MAG, self.act)
        self.seq_len = self._arguments["seq_len"] = int(seq_len)

    def forward(
        self,
        x: Any,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """Map x (T, B, input_size) to y (B, output_size).

        Args:
            x: array or Tensor.
            mask, lengths: which steps count, as IndRNN; the last of them is read.
            rng: draws dropout masks; needed in training where p_drop > 0.
        """
        h, _ = self.stack(x, mask=mask, lengths=lengths, rng=rng, only_last=True)
        return self.readout(h)
