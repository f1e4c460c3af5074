"""The launches of elman.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from nnseq_kernels.recurrence.cell import Cell, Kernel, Product, WeightGradient, spec

ACTS = ("tanh", "relu", "identity")  # in the order of elman.cu's enum

KERNELS = {
    "elman_forward": Kernel(
        reads="a q z_h? mask?", writes="h h_new?", scalars="act z_h_t z_h_b t B H"
    ),
    "elman_backward": Kernel(
        reads="h h_new? z_h? mask? dh? dh_T? dh_rec",
        writes="dh_carry dq",
        scalars="act z_h_t z_h_b t T B H",
    ),
}
AXES = {"a": "T B H", "q": "B H", "h_new": "T B H", "dq": "T B H"}

CELL = Cell(
    spec=spec(__file__, KERNELS, AXES, registers=40),
    arguments=("a", "W_hh", "h0", "z_h", "mask"),
    blocks={"W": (0, 1)},
    forward=(Product("h", "W", "q"), "elman_forward"),
    backward=("elman_backward", Product("dq", "W", "dh_rec", transposed=True)),
    kept=("h_new",),
    da=("dq",),
    weight_gradients=(WeightGradient("W", "h", "dq"),),
    on_demand={"h_new": "z_h"},
)
SPEC = CELL.spec
