"""LSTM: the layers over the LSTM cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.lstm import lstm
from nnseq.nn.arguments import check_flag, check_float, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear


class LSTMDirection(CellDirection):
    """One direction of an LSTM: W_ih (D, 4H), W_hh (H, 4H), b (4H,), p (3, H) or None."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        options: CellOptions,
        *,
        peepholes: bool,
        forget_bias: float,
        cell_clip: float,
        ogate_zoneout: bool,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            options,
            states=("h", "c"),
            gates=(0.0, 0.0, 0.0, 0.0),
            recurrent_gates=4,
        )
        self.p = Parameter(np.zeros((3, self.hidden_size), options.dtype)) if peepholes else None
        self.forget_bias, self.cell_clip = forget_bias, cell_clip
        self.ogate_zoneout = ogate_zoneout

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        z_h, z_c = self.zoneout_weights(x, rng)
        h, c, h_T, c_T = lstm(
            linear(x, W_ih, self.b),
            W_hh,
            *states,
            self.p,
            z_h,
            z_c,
            self.input_gate_weights(x, rng),
            valid,
            forget_bias=self.forget_bias,
            cell_clip=self.cell_clip,
            ogate_zoneout=self.ogate_zoneout,
        )
        return h, (h_T, c_T), {"c": c}


class LSTM(Recurrent):
    """Long short-term memory, gates in the order i, f, g, o.

        [i f g o] = [σ σ tanh σ](x_t W_ih + b + h_{t-1} W_hh)                   (1)
        c_t = f ∘ c_{t-1} + i ∘ g,   h_t = o ∘ tanh c_t                         (2)

    with forget bias, peepholes, cell clip, zoneout and input-gate dropout where nnseq.cells.lstm
    writes them. Parameters of a direction: W_ih (D, 4H), W_hh (H, 4H), b (4H,), p (3, H).

    The states are the tuple (h, c).

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        bias: is there a b? It starts at 0, and forget_bias is added to the forget gate beside it.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate.
        zoneout_h, zoneout_c: the chances that h and c of a unit keep their old values; in
            evaluation, the weights of these.
        zoneout_masks: "fresh", "shared" between h and c, or "static"; seq_len: of static masks,
            the longest sequence. See nnseq.nn.zoneout.
        p_drop_igate: the chance to drop i ∘ g of a unit, see nnseq.nn.input_gate_dropout.
        ogate_zoneout: h is held as well where the input gate was dropped; needs p_drop_igate.
        peepholes: the gates see c through p = [p_i, p_f, p_o], which starts at 0.
        forget_bias: added to the forget gate's pre-activation; not a parameter.
        cell_clip: c̃ is clipped to [-cell_clip, cell_clip], where its gradient ends; 0 is off.
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
        zoneout_c: float = 0.0,
        zoneout_masks: str = "fresh",
        seq_len: int | None = None,
        p_drop_igate: float = 0.0,
        ogate_zoneout: bool = False,
        peepholes: bool = False,
        forget_bias: float = 1.0,
        cell_clip: float = 0.0,
        p_dropconnect: float = 0.0,
        weight_norm: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        peepholes = check_flag("LSTM", "peepholes", peepholes)
        ogate_zoneout = check_flag("LSTM", "ogate_zoneout", ogate_zoneout)
        if ogate_zoneout and not p_drop_igate:
            raise ValueError(
                "LSTM: ogate_zoneout reuses the masks of the input gate, but p_drop_igate is 0; "
                "give it a value above 0"
            )
        self.forget_bias = check_float("LSTM", "forget_bias", forget_bias, -np.inf)
        self.cell_clip = check_float("LSTM", "cell_clip", cell_clip, 0.0)
        self.hidden_size = check_size(type(self).__name__, "hidden_size", hidden_size)
        options = CellOptions(
            rng=rng,
            dtype=dtype,
            bias=bias,
            W_init=W_init,
            W_hh_init=W_hh_init,
            zoneout=(zoneout_h, zoneout_c),
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_drop_igate=p_drop_igate,
            p_dropconnect=p_dropconnect,
            weight_norm=weight_norm,
        )
        super().__init__(
            input_size,
            lambda D: LSTMDirection(
                D,
                hidden_size,
                options,
                peepholes=peepholes,
                forget_bias=self.forget_bias,
                cell_clip=self.cell_clip,
                ogate_zoneout=ogate_zoneout,
            ),
            num_layers=num_layers,
            bidirectional=bidirectional,
            reverse=reverse,
            residual=residual,
            learn_states=learn_states,
            output=output,
            p_drop=p_drop,
            dtype=dtype,
        )
