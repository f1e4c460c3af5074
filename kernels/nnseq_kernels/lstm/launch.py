"""The launches of lstm.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from nnseq_kernels.recurrence.cell import Cell, ColumnSum, Kernel, Product, WeightGradient, spec

KERNELS = {
    "lstm_forward": Kernel(
        reads="a q p? z_h? z_c? d_i? mask?",
        writes="h c gates",
        scalars="forget_bias cell_clip ogate_zoneout z_h_t z_h_b z_c_t z_c_b d_i_t d_i_b t B H",
    ),
    "lstm_backward": Kernel(
        reads="h c gates p? z_h? z_c? d_i? mask? dh? dc? dh_T? dc_T? dh_rec",
        writes="dh_carry dc_carry dq dp_b?",
        scalars="cell_clip ogate_zoneout z_h_t z_h_b z_c_t z_c_b d_i_t d_i_b t T B H",
    ),
}
AXES = {
    **{"a": "T B 4H", "q": "B 4H", "p": "3 H", "gates": "T B 4H", "dq": "T B 4H"},
    "dp_b": "B 3H",
}

CELL = Cell(
    spec=spec(__file__, KERNELS, AXES, registers=64),
    arguments=("a", "W_hh", "h0", "c0", "p", "z_h", "z_c", "d_i", "mask"),
    states=("h", "c"),
    blocks={"W": (0, 4)},
    forward=(Product("h", "W", "q"), "lstm_forward"),
    backward=("lstm_backward", Product("dq", "W", "dh_rec", transposed=True)),
    kept=("gates",),
    da=("dq",),
    weight_gradients=(WeightGradient("W", "h", "dq"),),
    column_sums=(ColumnSum("p", "dp_b", first=0),),
    on_demand={"dp_b": "p"},
)
SPEC = CELL.spec
