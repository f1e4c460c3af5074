"""The IndRNN layer, and its recurrence alone: forward and backward from a given dh.

    a_t = x_t W_ih + b                                                          (1)
    h_t = relu(a_t + u ∘ h_{t-1})                                               (2)

`indrnn` returns h and the gradients of x, W_ih, b, u, h0; `indrnn_recurrence` is (2) alone and
returns h and the gradients of a, u, h0. With N = T B H entries, (2) forward reads a and writes h,
and backward reads dh and h and writes da: 5 N, which its limit is the time of copying.
"""

from __future__ import annotations

import numpy as np

from benchmarks import indrnn_jax, indrnn_torch
from benchmarks.case import Arrays, Case, Results, Shape, Step
from benchmarks.steps import FLOAT, named, normal, without_kernels
from nnseq.backend import to_device
from nnseq.cells.indrnn import indrnn
from nnseq.nn.indrnn import IndRNN
from nnseq.tensor import Tensor, grad

PARAMETERS = ("W_ih", "b", "u")
WANTED = ("x", *PARAMETERS, "h0")
WANTED_OF_RECURRENCE = ("a", "u", "h0")


def draw(shape: Shape, seed: int) -> Arrays:
    """x, dh: (T, B, ·), of size 1; u in (0, 1), so that neither h nor a gradient explodes."""
    T, B, I, H, _ = shape
    rng = np.random.default_rng(seed)
    return {
        "x": normal(rng, T, B, I),
        "W_ih": normal(rng, I, H) / np.float32(I**0.5),
        "b": normal(rng, H),
        "u": rng.random(H, np.float32),
        "h0": normal(rng, B, H),
        "dh": normal(rng, T, B, H),
    }


def draw_recurrence(shape: Shape, seed: int) -> Arrays:
    """a, dh: (T, B, H)."""
    T, B, _, H, _ = shape
    rng = np.random.default_rng(seed)
    return {
        "a": normal(rng, T, B, H),
        "u": rng.random(H, np.float32),
        "h0": normal(rng, B, H),
        "dh": normal(rng, T, B, H),
    }


def ours(arrays: Arrays, device: str) -> Step:
    """One forward and backward of nn.IndRNN."""
    I, H = arrays["W_ih"].shape
    layer = IndRNN(I, H, rng=np.random.default_rng(0))
    layer.load_state_dict({name: arrays[name] for name in PARAMETERS})
    layer.to(device)
    x, h0 = (Tensor(to_device(arrays[name], device), requires_grad=True) for name in ("x", "h0"))
    dh = to_device(arrays["dh"], device)
    inputs = [x, layer.W_ih, layer.b, layer.u, h0]

    def step() -> Results:
        h, _ = layer(x, h0)
        return named(h.data, WANTED, grad(h, inputs, dh))

    return step


def ours_recurrence(arrays: Arrays, device: str) -> Step:
    """One forward and backward of the fused op."""
    moved = {name: to_device(x, device) for name, x in arrays.items()}
    inputs = [Tensor(moved[name], requires_grad=True) for name in WANTED_OF_RECURRENCE]

    def step() -> Results:
        h, _ = indrnn(*inputs, None, act="relu", step_clip=0.0)
        return named(h.data, WANTED_OF_RECURRENCE, grad(h, inputs, moved["dh"]))

    return step


def operations(shape: Shape) -> int:
    """Three products: a, dx, dW_ih."""
    T, B, I, H, _ = shape
    return 3 * 2 * T * B * I * H


def copied_bytes(shape: Shape) -> int:
    """5 N entries."""
    return 5 * shape.T * shape.B * shape.H * FLOAT


def model_bytes(shape: Shape) -> int:
    """x, a, h, dh, da, dx, and the parameters with their gradients."""
    T, B, I, H, _ = shape
    return FLOAT * (T * B * (2 * I + 4 * H) + 2 * (I * H + 2 * H))


def model_bytes_of_recurrence(shape: Shape) -> int:
    """a, h, dh, da, and u with its gradient."""
    return FLOAT * (4 * shape.T * shape.B * shape.H + 2 * shape.H)


CASES = (
    Case(
        name="indrnn",
        does="IndRNN layer, forward and backward: h, dx, dW_ih, db, du, dh0",
        shapes=(
            Shape(5000, 50, 128, 128),
            Shape(784, 32, 128, 128),
            Shape(500, 128, 512, 512),
        ),
        quick_shapes=(Shape(20, 3, 4, 5),),
        draw=draw,
        ours=ours,
        peers={
            "torch": indrnn_torch.layer,
            "jax": indrnn_jax.layer,
            "reference": without_kernels(ours),
        },
        operations=operations,
        copied_bytes=copied_bytes,
        model_bytes=model_bytes,
    ),
    Case(
        name="indrnn_recurrence",
        does="IndRNN recurrence without products, forward and backward: h, da, du, dh0",
        shapes=(Shape(5000, 50, 0, 128), Shape(784, 32, 0, 128)),
        quick_shapes=(Shape(20, 3, 0, 5),),
        draw=draw_recurrence,
        ours=ours_recurrence,
        peers={
            "torch": indrnn_torch.recurrence,
            "jax": indrnn_jax.recurrence,
            "reference": without_kernels(ours_recurrence),
        },
        operations=lambda shape: 0,
        copied_bytes=copied_bytes,
        model_bytes=model_bytes_of_recurrence,
    ),
)
