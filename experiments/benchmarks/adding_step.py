"""A whole training step of the adding problem: forward, squared error, backward, clip, Adam, |u|.

The network of experiments/adding.py: L IndRNN layers on x (T, B, 2), and a linear readout of the
last state. Both sides start from the same parameters and update their own from step to step; the
losses and gradients of the first steps are compared, so that a wrong update shows in the next. A
gradient here is a sum of 160,000 float32 terms through 5,000 steps, far larger than what is left of
it, so two correct programs agree to about 0.002 of its size only.
"""

from __future__ import annotations

import numpy as np

from benchmarks import adding_step_torch
from benchmarks.case import Arrays, Case, Results, Shape, Step
from benchmarks.steps import FLOAT, without_kernels
from nnseq.backend import to_device
from nnseq.data.adding import adding_batch
from nnseq.models import IndRNNOptions, LastStepReadout, PlainIndRNNBody
from nnseq.nn.indrnn import recurrent_bound
from nnseq.nn.initializers import GLOROT, Normal
from nnseq.ops.losses import mse
from nnseq.optim import Adam, clip_grad_value

LR, CLIP, MAG, IN2HID_STD = 2e-4, 10.0, 2.0, 0.01


def draw(shape: Shape, seed: int) -> Arrays:
    """A batch x, y; the bound on |u|; and the initial parameters by their dotted names."""
    T, B, _, _, _ = shape
    rng = np.random.default_rng(seed)
    x, y = adding_batch(rng, T, B)
    model = _model(shape, rng)
    bound = np.float64(recurrent_bound(T, MAG))
    return {"x": x, "y": y, "u_bound": bound, **model.state_dict()}


def ours(arrays: Arrays, device: str) -> Step:
    """One step of training."""
    parameters = {name: p for name, p in arrays.items() if name not in ("x", "y", "u_bound")}
    T, B, I = arrays["x"].shape
    L = sum(name.endswith(".u") for name in parameters)
    H = parameters["readout.W"].shape[0]
    model = _model(Shape(T, B, I, H, L), np.random.default_rng(0))
    model.load_state_dict(parameters)
    model.to(device)
    optimizer = Adam(model.named_parameters(), LR)
    x, y = to_device(arrays["x"], device), to_device(arrays["y"], device)

    def step() -> Results:
        optimizer.zero_grad()
        loss = mse(model(x), y)
        loss.backward()
        clip_grad_value(model.parameters(), CLIP)
        optimizer.step()
        model.constrain()
        gradients = {f"d{name}": p.grad for name, p in model.named_parameters()}
        return {"loss": loss.data, **gradients}

    return step


def operations(shape: Shape) -> int:
    """Three products a layer; the first one needs no dx."""
    T, B, I, H, L = shape
    return 2 * T * B * (2 * I * H + 3 * (L - 1) * H * H)


def copied_bytes(shape: Shape) -> int:
    """5 N entries a layer, as in indrnn.py; the last one receives no dh of N entries."""
    T, B, _, H, L = shape
    return (5 * L - 1) * T * B * H * FLOAT


def model_bytes(shape: Shape) -> int:
    """x; h of every layer; a, dh and da of one at a time; parameters, gradients, both moments."""
    T, B, I, H, L = shape
    parameters = I * H + (L - 1) * H * H + 2 * L * H + H + 1
    return FLOAT * (T * B * (I + (L + 2) * H) + 4 * parameters)


def _model(shape: Shape, rng: np.random.Generator) -> LastStepReadout:
    T, _, I, H, L = shape
    options = IndRNNOptions(T, MAG, W_init=Normal(IN2HID_STD), init_last_u=True)
    body = PlainIndRNNBody(I, H, L, options, rng=rng)
    return LastStepReadout(body, 1, rng=rng, readout_init=GLOROT)


CASES = (
    Case(
        name="adding_step",
        does="adding problem, one training step: forward, loss, backward, clip, Adam, |u| <= bound",
        shapes=(Shape(5000, 32, 2, 128, 2),),
        quick_shapes=(Shape(20, 3, 2, 5, 2),),
        draw=draw,
        ours=ours,
        peers={"torch": adding_step_torch.step_of, "reference": without_kernels(ours)},
        operations=operations,
        copied_bytes=copied_bytes,
        model_bytes=model_bytes,
        tolerance=1e-2,
        compared_steps=3,
    ),
)
