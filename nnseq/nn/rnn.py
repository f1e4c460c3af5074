"""RNN and IRNN: the layers over the Elman cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.elman import elman
from nnseq.nn.arguments import check_choice, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Identity, Initializer, Normal
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear

ACTIVATIONS = ("tanh", "relu", "identity")


class RNNDirection(CellDirection):
    """One direction of an RNN: W_ih (D, H), W_hh (H, H), b (H,)."""

    def __init__(self, input_size: int, hidden_size: int, options: CellOptions, act: str) -> None:
        super().__init__(input_size, hidden_size, options, gates=(0.0,), recurrent_gates=1)
        self.act = act

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        (z_h,) = self.zoneout_weights(x, rng)
        h, h_T = elman(linear(x, W_ih, self.b), W_hh, *states, z_h, valid, act=self.act)
        return h, (h_T,), {}


class RNN(Recurrent):
    """Simple recurrent layers (Elman's network).

        h_t = act(x_t W_ih + b + h_{t-1} W_hh)                                  (1)

    and zoneout, see nnseq.cells.elman. Parameters of a direction: W_ih (D, H), W_hh (H, H), b (H,).

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        act: "tanh", "relu" or "identity".
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        bias: is there a b? It starts at 0.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate.
        zoneout_h: the chance that a unit keeps its old value; in evaluation, the weight of it.
        zoneout_masks: "fresh" for every step, or "static"; seq_len: of static masks, the longest
            sequence. See nnseq.nn.zoneout.
        p_dropconnect: the chance to drop an entry of W_hh, for a whole call, in training.
        weight_norm: W_ih and W_hh have column lengths of their own, see nnseq.nn.weight_norm.
        dtype: float32 or float64.

    Raises:
        ValueError, TypeError: out of range, or an option that could change nothing.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        act: str = "tanh",
        num_layers: int = 1,
        bidirectional: bool = False,
        reverse: bool = False,
        bias: bool = True,
        residual: bool = False,
        learn_states: bool = False,
        output: str = "all",
        p_drop: float = 0.0,
        W_init: Initializer = GLOROT,
        W_hh_init: Initializer = ORTHOGONAL,
        zoneout_h: float = 0.0,
        zoneout_masks: str = "fresh",
        seq_len: int | None = None,
        p_dropconnect: float = 0.0,
        weight_norm: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        self.act = check_choice(type(self).__name__, "act", act, ACTIVATIONS)
        self.hidden_size = check_size(type(self).__name__, "hidden_size", hidden_size)
        options = CellOptions(
            rng=rng,
            dtype=dtype,
            bias=bias,
            W_init=W_init,
            W_hh_init=W_hh_init,
            zoneout=(zoneout_h,),
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_dropconnect=p_dropconnect,
            weight_norm=weight_norm,
        )
        super().__init__(
            input_size,
            lambda D: RNNDirection(D, hidden_size, options, act),
            num_layers=num_layers,
            bidirectional=bidirectional,
            reverse=reverse,
            residual=residual,
            learn_states=learn_states,
            output=output,
            p_drop=p_drop,
            dtype=dtype,
        )


class IRNN(RNN):
    """The RNN of rectified linear units that starts as an adder: W_hh = scale · I.

        h_t = max(0, x_t W_ih + b + h_{t-1} W_hh)                               (1)
        W_ih ~ N(0, std²),  b = 0                                               (2)

    Le, Jaitly, Hinton 2015, "A Simple Way to Initialize Recurrent Networks of Rectified Linear
    Units", arXiv:1504.00941v2. With scale below 1 (such as 0.01) it forgets sooner.

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        scale: of the identity.
        std: of (2).
        num_layers, ..., dtype: as RNN.

    Raises:
        ValueError, TypeError: as RNN.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        scale: float = 1.0,
        std: float = 0.001,
        num_layers: int = 1,
        bidirectional: bool = False,
        reverse: bool = False,
        bias: bool = True,
        residual: bool = False,
        learn_states: bool = False,
        output: str = "all",
        p_drop: float = 0.0,
        zoneout_h: float = 0.0,
        zoneout_masks: str = "fresh",
        seq_len: int | None = None,
        p_dropconnect: float = 0.0,
        weight_norm: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            rng=rng,
            act="relu",
            num_layers=num_layers,
            bidirectional=bidirectional,
            reverse=reverse,
            bias=bias,
            residual=residual,
            learn_states=learn_states,
            output=output,
            p_drop=p_drop,
            W_init=Normal(std),
            W_hh_init=Identity(scale),
            zoneout_h=zoneout_h,
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_dropconnect=p_dropconnect,
            weight_norm=weight_norm,
            dtype=dtype,
        )
