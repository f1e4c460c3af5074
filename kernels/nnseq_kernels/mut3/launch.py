"""The launches of mut3.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from nnseq_kernels.recurrence.cell import Cell, Kernel, Product, WeightGradient, spec

KERNELS = {
    "mut3_gates": Kernel(reads="a q_r h", writes="gates s tanh_h", scalars="t B H"),
    "mut3_state": Kernel(
        reads="a q_z q_n z_h? mask?", writes="h gates", scalars="z_h_t z_h_b t B H"
    ),
    "mut3_state_backward": Kernel(
        reads="h gates z_h? mask? dh? dh_T? dh_rec",
        writes="dh_carry dq_z dq_n",
        scalars="z_h_t z_h_b t T B H",
    ),
    "mut3_gates_backward": Kernel(
        reads="h gates mask? ds dtanh_h", writes="dh_carry dq_r s_all tanh_h_all", scalars="t B H"
    ),
}
AXES = {
    **{"a": "T B 3H", "gates": "T B 3H"},
    **dict.fromkeys(("q_r", "q_z", "q_n", "s", "tanh_h", "ds", "dtanh_h"), "B H"),
    **dict.fromkeys(("s_all", "tanh_h_all", "dq_r", "dq_z", "dq_n"), "T B H"),
}

CELL = Cell(
    spec=spec(__file__, KERNELS, AXES, registers=40),
    arguments=("a", "W_hh", "h0", "z_h", "mask"),
    blocks={"W_r": (0, 1), "W_z": (1, 2), "W_n": (2, 3)},
    forward=(
        Product("h", "W_r", "q_r"),
        "mut3_gates",
        Product("tanh_h", "W_z", "q_z"),
        Product("s", "W_n", "q_n"),
        "mut3_state",
    ),
    backward=(
        "mut3_state_backward",
        Product("dq_n", "W_n", "ds", transposed=True),
        Product("dq_z", "W_z", "dtanh_h", transposed=True),
        "mut3_gates_backward",
        Product("dq_r", "W_r", "dh_rec", transposed=True),
    ),
    kept=("gates",),
    da=("dq_r", "dq_z", "dq_n"),
    weight_gradients=(
        WeightGradient("W_r", "h", "dq_r"),
        WeightGradient("W_z", "tanh_h_all", "dq_z"),
        WeightGradient("W_n", "s_all", "dq_n"),
    ),
)
SPEC = CELL.spec
