"""LayerNormLSTM: the layers over the LSTM with layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.lstm_layernorm import lstm_layernorm
from nnseq.nn.arguments import check_float, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear


class LayerNormLSTMDirection(CellDirection):
    """One direction: W_ih (D, 4H), W_hh (H, 4H), and gains and biases of x, h and c."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        options: CellOptions,
        *,
        gain_init: float,
        forget_init: float,
        eps: float,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            options,
            states=("h", "c"),
            gates=(0.0, 0.0, 0.0, 0.0),
            recurrent_gates=4,
        )
        H, dtype = self.hidden_size, options.dtype
        bias_x = np.repeat(np.array([0.0, forget_init, 0.0, 0.0], dtype), H)
        self.gain_x, self.bias_x = Parameter(np.full(4 * H, gain_init, dtype)), Parameter(bias_x)
        self.gain_h = Parameter(np.full(4 * H, gain_init, dtype))
        self.bias_h = Parameter(np.zeros(4 * H, dtype))
        self.gain_c = Parameter(np.full(H, gain_init, dtype))
        self.bias_c = Parameter(np.zeros(H, dtype))
        self.eps = eps

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        h, c, h_T, c_T = lstm_layernorm(
            linear(x, W_ih),
            W_hh,
            self.gain_x,
            self.bias_x,
            self.gain_h,
            self.bias_h,
            self.gain_c,
            self.bias_c,
            *states,
            *self.zoneout_weights(x, rng),
            valid,
            eps=self.eps,
        )
        return h, (h_T, c_T), {"c": c}


class LayerNormLSTM(Recurrent):
    """LSTM with layer normalisation.

        [i f g o] = [σ σ tanh σ](LN(x_t W_ih) + LN(h_{t-1} W_hh))               (1)
        c_t = f ∘ c_{t-1} + i ∘ g,   h_t = o ∘ tanh LN(c_t)                     (2)

    where each LN has a gain and a bias of its own; with zoneout where nnseq.cells.lstm_layernorm
    writes it. Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450v1. Parameters of a
    direction: W_ih (D, 4H), W_hh (H, 4H), gain_x, bias_x, gain_h, bias_h (4H,), gain_c, bias_c
    (H,). The states are the tuple (h, c).

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate.
        zoneout_h, zoneout_c: the chances that h and c of a unit keep their old values; in
            evaluation, the weights of these.
        zoneout_masks: "fresh", "shared" between h and c, or "static"; seq_len: of static masks,
            the longest sequence. See nnseq.nn.zoneout.
        p_dropconnect: the chance to drop an entry of W_hh, for a whole call, in training.
        gain_init: where all gains start.
        forget_init: where the forget gate's part of bias_x starts; the other biases start at 0.
        eps: added to every variance; above 0.
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
        p_dropconnect: float = 0.0,
        gain_init: float = 1.0,
        forget_init: float = 1.0,
        eps: float = 1e-5,
        dtype: Any = np.float32,
    ) -> None:
        who = "LayerNormLSTM"
        self.hidden_size = check_size(who, "hidden_size", hidden_size)
        self.eps = check_float(who, "eps", eps, 0.0, open_low=True)
        gain_init = check_float(who, "gain_init", gain_init, -np.inf)
        forget_init = check_float(who, "forget_init", forget_init, -np.inf)
        options = CellOptions(
            rng=rng,
            dtype=dtype,
            bias=False,
            W_init=W_init,
            W_hh_init=W_hh_init,
            zoneout=(zoneout_h, zoneout_c),
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_dropconnect=p_dropconnect,
        )
        super().__init__(
            input_size,
            lambda D: LayerNormLSTMDirection(
                D,
                hidden_size,
                options,
                gain_init=gain_init,
                forget_init=forget_init,
                eps=self.eps,
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
