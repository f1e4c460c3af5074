"""The launches of mut2.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnseq_kernels.recurrence.cell import Cell, ColumnSum, Kernel, Product, WeightGradient, spec


def enter(xp: Any, inputs: Mapping[str, Any]) -> Any:
    """Returns [a_r, a_z, a_n] (T, B, 3H), with a_r = x + b_x: the inputs' part of (1)."""
    a, x, b_x = inputs["a"], inputs["x"], inputs.get("b_x")
    return xp.concatenate([x if b_x is None else x + b_x, a], axis=-1)


def leave(xp: Any, inputs: Mapping[str, Any], da: Any) -> dict[str, Any]:
    """Undoes enter: returns the gradients of a and of x from that of [a_r, a_z, a_n]."""
    H = da.shape[-1] // 3
    return {"a": da[..., H:].copy(), "x": da[..., :H].copy()}


KERNELS = {
    "mut2_gates": Kernel(reads="a q_rz h", writes="gates s", scalars="t B H"),
    "mut2_state": Kernel(reads="a q_n z_h? mask?", writes="h gates", scalars="z_h_t z_h_b t B H"),
    "mut2_state_backward": Kernel(
        reads="h gates z_h? mask? dh? dh_T? dh_rec",
        writes="dh_carry dq_rz dq_n",
        scalars="z_h_t z_h_b t T B H",
    ),
    "mut2_gates_backward": Kernel(
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
    arguments=("a", "x", "b_x", "W_hh", "h0", "z_h", "mask"),
    blocks={"W_rz": (0, 2), "W_n": (2, 3)},
    forward=(
        Product("h", "W_rz", "q_rz"),
        "mut2_gates",
        Product("s", "W_n", "q_n"),
        "mut2_state",
    ),
    backward=(
        "mut2_state_backward",
        Product("dq_n", "W_n", "ds", transposed=True),
        "mut2_gates_backward",
        Product("dq_rz", "W_rz", "dh_rec", transposed=True),
    ),
    kept=("gates",),
    da=("dq_rz", "dq_n"),
    weight_gradients=(
        WeightGradient("W_rz", "h", "dq_rz"),
        WeightGradient("W_n", "s_all", "dq_n"),
    ),
    column_sums=(ColumnSum("b_x", "dq_rz", first=0),),  # b_x stands beside q_r
    enter=enter,
    leave=leave,
)
SPEC = CELL.spec
