"""The launches of gru.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from nnseq_kernels.recurrence.cell import Cell, ColumnSum, Kernel, Product, WeightGradient, spec

KERNELS = {
    "gru_forward": Kernel(
        reads="a q b_hn? z_h? d_i? mask?",
        writes="h gates",
        scalars="z_h_t z_h_b d_i_t d_i_b t B H",
    ),
    "gru_backward": Kernel(
        reads="h gates z_h? d_i? mask? dh? dh_T? dh_rec",
        writes="dh_carry dq da",
        scalars="z_h_t z_h_b d_i_t d_i_b t T B H",
    ),
}
AXES = {
    **{"a": "T B 3H", "q": "B 3H", "b_hn": "H", "gates": "T B 4H", "dq": "T B 3H"},
    "da": "T B 3H",
}

CELL = Cell(
    spec=spec(__file__, KERNELS, AXES, registers=40),
    arguments=("a", "W_hh", "b_hn", "h0", "z_h", "d_i", "mask"),
    blocks={"W": (0, 3)},
    forward=(Product("h", "W", "q"), "gru_forward"),
    backward=("gru_backward", Product("dq", "W", "dh_rec", transposed=True)),
    kept=("gates",),
    da=("da",),
    weight_gradients=(WeightGradient("W", "h", "dq"),),
    column_sums=(ColumnSum("b_hn", "dq", first=2),),  # b_hn stands beside q_n
)
SPEC = CELL.spec
