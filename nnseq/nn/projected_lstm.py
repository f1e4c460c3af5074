"""ProjectedLSTM: an LSTM whose recurrent state is a projection of what its cells show."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.lstm_projection import lstm_projection
from nnseq.nn.arguments import check_flag, check_float, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer, check_initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear


class ProjectedLSTMDirection(CellDirection):
    """One direction: W_ih (D, 4H), W_hh (P, 4H), b (4H,), W_hr (H, P), p (3, H) or None."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        proj_size: int,
        options: CellOptions,
        *,
        W_hr_init: Initializer,
        peepholes: bool,
        forget_bias: float,
        clips: tuple[float, float],
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            options,
            states=("h", "c"),
            gates=(0.0, 0.0, 0.0, 0.0),
            recurrent_gates=4,
            proj_size=proj_size,
        )
        H, P, dtype = hidden_size, proj_size, options.dtype
        self.W_hr = Parameter(W_hr_init(options.rng, (H, P), dtype))
        self.p = Parameter(np.zeros((3, H), dtype)) if peepholes else None
        self.forget_bias, (self.cell_clip, self.proj_clip) = forget_bias, clips

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        h, c, h_T, c_T = lstm_projection(
            linear(x, W_ih, self.b),
            W_hh,
            self.W_hr,
            *states,
            self.p,
            *self.zoneout_weights(x, rng),
            valid,
            forget_bias=self.forget_bias,
            cell_clip=self.cell_clip,
            proj_clip=self.proj_clip,
        )
        return h, (h_T, c_T), {"c": c}


class ProjectedLSTM(Recurrent):
    """LSTM with a linear projection between its cells and its recurrent state.

        [i f g o] = [σ σ tanh σ](x_t W_ih + b + h_{t-1} W_hh)                   (1)
        c_t = f ∘ c_{t-1} + i ∘ g,   h_t = (o ∘ tanh c_t) W_hr                  (2)

    with forget bias, peepholes, clips and zoneout where nnseq.cells.lstm_projection writes them.
    h is P wide, and so is y; c is H wide. Parameters of a direction: W_ih (D, 4H), W_hh (P, 4H),
    b (4H,), W_hr (H, P), p (3, H): with P < H/2 fewer in all than the LSTM's. The states are the
    tuple (h, c).

    Sak, Senior, Beaufays 2014, "Long short-term memory based recurrent neural network
    architectures for large vocabulary speech recognition", arXiv:1402.1128v1. With forget_bias = 0
    it is PyTorch's nn.LSTM with proj_size.

    Args:
        input_size, hidden_size, proj_size: D, H and P.
        rng: draws the initial values, and static zoneout masks.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        bias: is there a b? It starts at 0, and forget_bias is added to the forget gate beside it.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate. W_hr_init: of W_hr.
        zoneout_h, zoneout_c: the chances that h and c of a unit keep their old values; in
            evaluation, the weights of these.
        zoneout_masks: "fresh" for every step, or "static"; seq_len: of static masks, the longest
            sequence. See nnseq.nn.zoneout. h and c share none, being P and H wide.
        peepholes: the gates see c through p = [p_i, p_f, p_o], which starts at 0.
        forget_bias: added to the forget gate's pre-activation; not a parameter.
        cell_clip, proj_clip: c̃ and h̃ are clipped to ± these, where their gradients end; 0 is off.
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
        proj_size: int,
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
        W_hr_init: Initializer = GLOROT,
        zoneout_h: float = 0.0,
        zoneout_c: float = 0.0,
        zoneout_masks: str = "fresh",
        seq_len: int | None = None,
        peepholes: bool = False,
        forget_bias: float = 1.0,
        cell_clip: float = 0.0,
        proj_clip: float = 0.0,
        p_dropconnect: float = 0.0,
        weight_norm: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        who = "ProjectedLSTM"
        self.hidden_size = check_size(who, "hidden_size", hidden_size)
        self.proj_size = check_size(who, "proj_size", proj_size)
        check_initializer(who, "W_hr_init", W_hr_init)
        peepholes = check_flag(who, "peepholes", peepholes)
        options = CellOptions(
            rng=rng,
            dtype=dtype,
            bias=bias,
            W_init=W_init,
            W_hh_init=W_hh_init,
            zoneout=(zoneout_h, zoneout_c),
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_dropconnect=p_dropconnect,
            weight_norm=weight_norm,
        )
        self.forget_bias = check_float(who, "forget_bias", forget_bias, -np.inf)
        clips = (
            check_float(who, "cell_clip", cell_clip, 0.0),
            check_float(who, "proj_clip", proj_clip, 0.0),
        )
        super().__init__(
            input_size,
            lambda D: ProjectedLSTMDirection(
                D,
                self.hidden_size,
                self.proj_size,
                options,
                W_hr_init=W_hr_init,
                peepholes=peepholes,
                forget_bias=self.forget_bias,
                clips=clips,
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
