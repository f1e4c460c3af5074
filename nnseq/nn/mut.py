"""MUT: the layers over the three cells that a search over architectures found."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.cells.mut1 import mut1
from nnseq.cells.mut2 import mut2
from nnseq.cells.mut3 import mut3
from nnseq.nn.arguments import check_choice, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear

# Per variant: where b starts for each gate of W_ih, where b_x starts, how many gates W_hh has.
# The gates r and z start at 1.
STARTS = {
    1: ((1.0, 1.0), 0.0, 2),  # a_r, a_z; b_x is in the candidate
    2: ((1.0, 0.0), 1.0, 3),  # a_z, a_n; b_x is in r
    3: ((1.0, 1.0, 0.0), None, 3),  # a_r, a_z, a_n
}


class MUTDirection(CellDirection):
    """One direction: W_ih, W_hh and b, b_x (H,) for variants 1 and 2, W_map (D, H) where D ≠ H."""

    def __init__(
        self, input_size: int, hidden_size: int, options: CellOptions, variant: int
    ) -> None:
        gates, b_x, recurrent_gates = STARTS[variant]
        H, D = check_size("MUT", "hidden_size", hidden_size), input_size
        super().__init__(H, H, options, gates=gates, recurrent_gates=recurrent_gates)
        self.input_size, self.variant = check_size("MUT", "input_size", D), variant
        self.W_map = None
        if D != H:
            self.W_map = Parameter(options.W_init(options.rng, (D, H), options.dtype))
        self.b_x = None
        if options.bias and b_x is not None:
            self.b_x = Parameter(np.full(H, b_x, options.dtype))

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        W_ih, W_hh = self.weights(rng)
        (z_h,) = self.zoneout_weights(x, rng)
        x = x if self.W_map is None else linear(x, self.W_map)
        if self.variant == 3:
            h, h_T = mut3(linear(x, W_ih, self.b), W_hh, *states, z_h, valid)
        else:
            cell = mut1 if self.variant == 1 else mut2
            h, h_T = cell(linear(x, W_ih, self.b), x, self.b_x, W_hh, *states, z_h, valid)
        return h, (h_T,), {}


class MUT(Recurrent):
    """The mutated GRUs MUT1, MUT2 and MUT3 (JZS1 to JZS3 elsewhere).

    MUT1 and MUT2 add x itself to what a gate or the candidate sees, so x must have width H:

        x̂ = x W_map     where D ≠ H;  else x̂ = x, and there is no W_map        (1)
        a = x̂ W_ih + b                                                          (2)

    The cell reads a and, in MUT1 and MUT2, x̂; see nnseq.cells.mut1, mut2, mut3. W_map has no bias
    and is there for MUT3 too, so that the variants compare. Jozefowicz, Zaremba, Sutskever 2015,
    "An empirical exploration of recurrent network architectures", ICML.

    Parameters of a direction, G and R being 2 and 2 for MUT1, 2 and 3 for MUT2, 3 and 3 for MUT3:
    W_ih (H, GH), b (GH,), W_hh (H, RH), b_x (H,) for MUT1 and MUT2, and W_map (D, H) where D ≠ H.

    Args:
        input_size, hidden_size: D and H.
        rng: draws the initial values, and static zoneout masks.
        variant: 1, 2 or 3.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        bias: are there biases? Those of the gates r and z start at 1, the candidate's at 0.
        W_init, W_hh_init: of W_ih and W_map, and of W_hh, gate by gate.
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
        variant: int = 1,
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
        self.variant = check_choice("MUT", "variant", variant, tuple(STARTS))
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
            lambda D: MUTDirection(D, hidden_size, options, variant),
            num_layers=num_layers,
            bidirectional=bidirectional,
            reverse=reverse,
            residual=residual,
            learn_states=learn_states,
            output=output,
            p_drop=p_drop,
            dtype=dtype,
        )
