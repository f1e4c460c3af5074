"""LayerNormGRU: the layers over the GRU with layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.gru_layernorm import gru_layernorm
from nnseq.nn.arguments import check_float, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear


class LayerNormGRUDirection(CellDirection):
    """One direction: W_ih (D, 3H), W_hh (H, 3H), and gains and biases of x and h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        options: CellOptions,
        *,
        gain_init: float,
        eps: float,
    ) -> None:
        super().__init__(input_size, hidden_size, options, gates=(0.0, 0.0, 0.0), recurrent_gates=3)
        H, dtype = self.hidden_size, options.dtype
        self.gain_x = Parameter(np.full(3 * H, gain_init, dtype))
        self.bias_x = Parameter(np.zeros(3 * H, dtype))
        self.gain_h = Parameter(np.full(3 * H, gain_init, dtype))
        self.bias_h = Parameter(np.zeros(3 * H, dtype))
        self.eps = eps

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        h, h_T = gru_layernorm(
            linear(x, W_ih),
            W_hh,
            self.gain_x,
            self.bias_x,
            self.gain_h,
            self.bias_h,
            *states,
            *self.zoneout_weights(x, rng),
            valid,
            eps=self.eps,
        )
        return h, (h_T,), {}


class LayerNormGRU(Recurrent):
    """Gated recurrent units with layer normalisation; the reset gate acts after the product.

        [r z] = σ(LN(x_t W_rz) + LN(h_{t-1} U_rz))                              (1)
        n = tanh(LN(x_t W_n) + r ∘ LN(h_{t-1} U_n))                             (2)
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}                                         (3)

    where W_ih = [W_rz W_n], W_hh = [U_rz U_n], and each LN has a gain and a bias of its own; with
    zoneout where nnseq.cells.gru_layernorm writes it. Ba, Kiros, Hinton 2016, "Layer
    Normalization", arXiv:1607.06450v1. Parameters of a direction: W_ih (D, 3H), W_hh (H, 3H),
    gain_x, bias_x, gain_h, bias_h (3H,).

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate.
        zoneout_h: the chance that a unit keeps its old value; in evaluation, the weight of it.
        zoneout_masks: "fresh" for every step, or "static"; seq_len: of static masks, the longest
            sequence. See nnseq.nn.zoneout.
        p_dropconnect: the chance to drop an entry of W_hh, for a whole call, in training.
        gain_init: where all gains start; the biases start at 0.
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
        zoneout_masks: str = "fresh",
        seq_len: int | None = None,
        p_dropconnect: float = 0.0,
        gain_init: float = 1.0,
        eps: float = 1e-5,
        dtype: Any = np.float32,
    ) -> None:
        self.hidden_size = check_size("LayerNormGRU", "hidden_size", hidden_size)
        self.eps = check_float("LayerNormGRU", "eps", eps, 0.0, open_low=True)
        gain_init = check_float("LayerNormGRU", "gain_init", gain_init, -np.inf)
        options = CellOptions(
            rng=rng,
            dtype=dtype,
            bias=False,
            W_init=W_init,
            W_hh_init=W_hh_init,
            zoneout=(zoneout_h,),
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_dropconnect=p_dropconnect,
        )
        super().__init__(
            input_size,
            lambda D: LayerNormGRUDirection(
                D, hidden_size, options, gain_init=gain_init, eps=self.eps
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
