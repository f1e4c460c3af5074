"""ProjectedLSTM: an LSTM whose recurrent state is a projection of what its cells show."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.lstm_projection import lstm_projection
from nnseq.nn.arguments import check_flag, check_float, check_rng, check_size, float_dtype
from nnseq.nn.cell_direction import ORTHOGONAL
from nnseq.nn.initializers import GLOROT, Initializer, check_initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Direction, Recurrent, Run, States
from nnseq.nn.zoneout import Zoneout
from nnseq.ops.linear import linear


class ProjectedLSTMDirection(Direction):
    """One direction: W_ih (D, 4H), W_hh (P, 4H), b (4H,), W_hr (H, P), p (3, H) or None."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        proj_size: int,
        *,
        rng: np.random.Generator,
        bias: bool,
        inits: tuple[Initializer, Initializer, Initializer],
        zoneout: tuple[float, float],
        peepholes: bool,
        forget_bias: float,
        clips: tuple[float, float],
        dtype: Any,
    ) -> None:
        H, P = hidden_size, proj_size
        super().__init__(input_size, {"h": P, "c": H})
        W_init, W_hh_init, W_hr_init = inits

        def draw(init: Initializer, fan_in: int) -> Parameter:
            return Parameter(np.concatenate([init(rng, (fan_in, H), dtype) for _ in "ifgo"], 1))

        self.W_ih, self.W_hh = draw(W_init, self.input_size), draw(W_hh_init, P)
        self.b = Parameter(np.zeros(4 * H, dtype)) if bias else None
        self.W_hr = Parameter(W_hr_init(rng, (H, P), dtype))
        self.p = Parameter(np.zeros((3, H), dtype)) if peepholes else None
        self.zoneout_h, self.zoneout_c = Zoneout(zoneout[:1], P), Zoneout(zoneout[1:], H)
        self.forget_bias, (self.cell_clip, self.proj_clip) = forget_bias, clips

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        T, B = x.shape[:2]
        h, c, h_T, c_T = lstm_projection(
            linear(x, self.W_ih, self.b),
            self.W_hh,
            self.W_hr,
            *states,
            self.p,
            *self.zoneout_h(T, B, x, rng),
            *self.zoneout_c(T, B, x, rng),
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
        rng: draws the initial values.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        bias: is there a b? It starts at 0, and forget_bias is added to the forget gate beside it.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate. W_hr_init: of W_hr.
        zoneout_h, zoneout_c: the chances that h and c of a unit keep their old values; in
            evaluation, the weights of these. Masks are fresh at every step.
        peepholes: the gates see c through p = [p_i, p_f, p_o], which starts at 0.
        forget_bias: added to the forget gate's pre-activation; not a parameter.
        cell_clip, proj_clip: c̃ and h̃ are clipped to ± these, where their gradients end; 0 is off.
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
        peepholes: bool = False,
        forget_bias: float = 1.0,
        cell_clip: float = 0.0,
        proj_clip: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        who = "ProjectedLSTM"
        self.hidden_size = check_size(who, "hidden_size", hidden_size)
        self.proj_size = check_size(who, "proj_size", proj_size)
        rng, dtype = check_rng(who, rng), float_dtype(who, dtype)
        inits = {"W_init": W_init, "W_hh_init": W_hh_init, "W_hr_init": W_hr_init}
        for name, init in inits.items():
            check_initializer(who, name, init)
        bias = check_flag(who, "bias", bias)
        peepholes = check_flag(who, "peepholes", peepholes)
        zoneout = (
            check_float(who, "zoneout_h", zoneout_h, 0.0, 1.0),
            check_float(who, "zoneout_c", zoneout_c, 0.0, 1.0),
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
                rng=rng,
                bias=bias,
                inits=(W_init, W_hh_init, W_hr_init),
                zoneout=zoneout,
                peepholes=peepholes,
                forget_bias=self.forget_bias,
                clips=clips,
                dtype=dtype,
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
