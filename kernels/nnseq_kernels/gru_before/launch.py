"""The launches of gru_before.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from nnseq_kernels.recurrence.cell import Cell, Kernel, Product, WeightGradient, spec

KERNELS = {
    "gru_before_gates": Kernel(reads="a q_rz h", writes="gates s", scalars="t B H"),
    "gru_before_state": Kernel(
        reads="a q_n z_h? d_i? mask?", writes="h gates", scalars="z_h_t z_h_b d_i_t d_i_b t B H"
    ),
    "gru_before_state_backward": Kernel(
        reads="h gates z_h? d_i? mask? dh? dh_T? dh_rec",
        writes="dh_carry dq_rz dq_n",
        scalars="z_h_t z_h_b d_i_t d_i_b t T B H",
    ),
    "gru_before_gates_backward": Kernel(
        reads="h gates mask? ds", writes="dh_carry dq_rz s_all", scalars="t B H"
    ),
}
AXES = {
    **{"a": "T B 3H", "gates": "T B 3H", "s_all": "T B H", "dq_n": "T B H"},
    **dict.fromkeys(("q_n", "s", "ds"), "B H"),
    **{"q_rz": "B 2H", "dq_rz": "T B 2H"},
}

CELL = Cell(
    spec=spec(__file__, KERNELS, AXES, registers=40),
    arguments=("a", "W_hh", "h0", "z_h", "d_i", "mask"),
    blocks={"W_rz": (0, 2), "W_n": (2, 3)},
    forward=(
        Product("h", "W_rz", "q_rz"),
        "gru_before_gates",
        Product("s", "W_n", "q_n"),
        "gru_before_state",
    ),
    backward=(
        "gru_before_state_backward",
        Product("dq_n", "W_n", "ds", transposed=True),
        "gru_before_gates_backward",
        Product("dq_rz", "W_rz", "dh_rec", transposed=True),
    ),
    kept=("gates",),
    da=("dq_rz", "dq_n"),
    weight_gradients=(
        WeightGradient("W_rz", "h", "dq_rz"),
        WeightGradient("W_n", "s_all", "dq_n"),
    ),
)
SPEC = CELL.spec
