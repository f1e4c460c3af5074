"""The launches of mut1.cu, and how the time loop uses them; no CUDA needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnseq_kernels.recurrence.cell import Cell, ColumnSum, Kernel, Product, WeightGradient, spec


def enter(xp: Any, inputs: Mapping[str, Any]) -> Any:
    """Returns [a_r, a_z, a_n] (T, B, 3H), with a_n = tanh(x) + b_x: the inputs' part of (4)."""
    a, x, b_x = inputs["a"], inputs["x"], inputs.get("b_x")
    return xp.concatenate([a, xp.tanh(x) if b_x is None else xp.tanh(x) + b_x], axis=-1)


def leave(xp: Any, inputs: Mapping[str, Any], da: Any) -> dict[str, Any]:
    """Undoes enter: returns the gradients of a and of x from that of [a_r, a_z, a_n]."""
    x, mask = inputs["x"], inputs.get("mask")
    H = x.shape[-1]
    tanh_x = xp.tanh(x if mask is None else xp.where(mask[:, :, None], x, 0))
    return {"a": da[..., : 2 * H].copy(), "x": da[..., 2 * H :] * (1 - tanh_x * tanh_x)}


KERNELS = {
    "mut1_gates": Kernel(reads="a q_r h", writes="gates s", scalars="t B H"),
    "mut1_state": Kernel(reads="a q_n z_h? mask?", writes="h gates", scalars="z_h_t z_h_b t B H"),
    "mut1_state_backward": Kernel(
        reads="h gates z_h? mask? dh? dh_T? dh_rec",
        writes="dh_carry dq_z dq_n",
        scalars="z_h_t z_h_b t T B H",
    ),
    "mut1_gates_backward": Kernel(
        reads="h gates mask? ds", writes="dh_carry dq_r s_all", scalars="t B H"
    ),
}
AXES = {
    **{"a": "T B 3H", "gates": "T B 3H"},
    **dict.fromkeys(("q_r", "q_n", "s", "ds"), "B H"),
    **dict.fromkeys(("s_all", "dq_r", "dq_z", "dq_n"), "T B H"),
}

CELL = Cell(
    spec=spec(__file__, KERNELS, AXES, registers=40),
    arguments=("a", "x", "b_x", "W_hh", "h0", "z_h", "mask"),
    blocks={"W_r": (0, 1), "W_n": (1, 2)},
    forward=(
        Product("h", "W_r", "q_r"),
        "mut1_gates",
        Product("s", "W_n", "q_n"),
        "mut1_state",
    ),
    backward=(
        "mut1_state_backward",
        Product("dq_n", "W_n", "ds", transposed=True),
        "mut1_gates_backward",
        Product("dq_r", "W_r", "dh_rec", transposed=True),
    ),
    kept=("gates",),
    da=("dq_r", "dq_z", "dq_n"),
    weight_gradients=(
        WeightGradient("W_r", "h", "dq_r"),
        WeightGradient("W_n", "s_all", "dq_n"),
    ),
    column_sums=(ColumnSum("b_x", "dq_n", first=0),),
    enter=enter,
    leave=leave,
)
SPEC = CELL.spec
