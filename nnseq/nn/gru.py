"""GRU: the layers over the two GRU cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.gru import gru
from nnseq.cells.gru_before import gru_before
from nnseq.nn.arguments import check_flag, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear


class GRUDirection(CellDirection):
    """One direction of a GRU: W_ih (D, 3H), W_hh (H, 3H), b (3H,), b_hn (H,) or None."""

    def __init__(
        self, input_size: int, hidden_size: int, options: CellOptions, reset_after: bool
    ) -> None:
        super().__init__(input_size, hidden_size, options, gates=(0.0, 0.0, 0.0), recurrent_gates=3)
        self.reset_after = reset_after
        self.b_hn = None
        if reset_after and options.bias:
            self.b_hn = Parameter(np.zeros(self.hidden_size, options.dtype))

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        (z_h,) = self.zoneout_weights(x, rng)
        d_i = self.input_gate_weights(x, rng)
        if self.reset_after:
            h, h_T = gru(linear(x, W_ih, self.b), W_hh, self.b_hn, *states, z_h, d_i, valid)
        else:
            h, h_T = gru_before(linear(x, W_ih, self.b), W_hh, *states, z_h, d_i, valid)
        return h, (h_T,), {}


class GRU(Recurrent):
    """Gated recurrent units, gates in the order r, z, n.

        [r z] = σ(x_t W_ih + b + h_{t-1} W_hh), columns r and z                 (1)
        n = tanh(a_n + r ∘ (h_{t-1} W_n + b_hn))     reset_after                (2)
        n = tanh(a_n + (r ∘ h_{t-1}) W_n)            otherwise                  (3)
        h_t = (1 - z) ∘ n + z ∘ h_{t-1}                                         (4)

    with zoneout and input-gate dropout where nnseq.cells.gru and nnseq.cells.gru_before write
    them. (2) is the form of cuDNN and PyTorch, (3) that of Cho et al. 2014, arXiv:1406.1078v3.
    Parameters of a direction: W_ih (D, 3H), W_hh (H, 3H), b (3H,) and, for (2), b_hn (H,).

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        reset_after: (2), else (3).
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        bias: are there a b and, for (2), a b_hn? They start at 0.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate.
        zoneout_h: the chance that a unit keeps its old value; in evaluation, the weight of it.
        zoneout_masks: "fresh" for every step, or "static"; seq_len: of static masks, the longest
            sequence. See nnseq.nn.zoneout.
        p_drop_igate: the chance to drop n of a unit, see nnseq.nn.input_gate_dropout.
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
        reset_after: bool = True,
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
        p_drop_igate: float = 0.0,
        p_dropconnect: float = 0.0,
        weight_norm: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        self.reset_after = check_flag("GRU", "reset_after", reset_after)
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
            p_drop_igate=p_drop_igate,
            p_dropconnect=p_dropconnect,
            weight_norm=weight_norm,
        )
        super().__init__(
            input_size,
            lambda D: GRUDirection(D, hidden_size, options, self.reset_after),
            num_layers=num_layers,
            bidirectional=bidirectional,
            reverse=reverse,
            residual=residual,
            learn_states=learn_states,
            output=output,
            p_drop=p_drop,
            dtype=dtype,
        )
