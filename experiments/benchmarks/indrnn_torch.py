"""The IndRNN layer in PyTorch: an eager loop over a.unbind(0), differentiated by autograd.

torch.relu(a_t + u * h) was the fastest of the forms tried on a CPU: torch.addcmul, relu_ in
place and u expanded to (B, H) before the loop took longer.
"""

from __future__ import annotations

from typing import Any

from benchmarks.case import Arrays, Results, Step
from benchmarks.steps import named

WANTED = ("x", "W_ih", "b", "u", "h0")
WANTED_OF_RECURRENCE = ("a", "u", "h0")


def layer(arrays: Arrays, device: str) -> Step:
    """One forward and backward of the layer."""
    return _step(arrays, device, WANTED, lambda p: p["x"] @ p["W_ih"] + p["b"])


def recurrence(arrays: Arrays, device: str) -> Step:
    """One forward and backward of the recurrence alone."""
    return _step(arrays, device, WANTED_OF_RECURRENCE, lambda p: p["a"])


def states(a: Any, u: Any, h: Any) -> list[Any]:
    """h_t of every step."""
    import torch

    hs = []
    for a_t in a.unbind(0):
        h = torch.relu(a_t + u * h)
        hs.append(h)
    return hs


def _step(arrays: Arrays, device: str, wanted: tuple[str, ...], project: Any) -> Step:
    import torch

    p = {name: torch.from_numpy(x).to(device) for name, x in arrays.items()}
    inputs = [p[name].requires_grad_() for name in wanted]

    def step() -> Results:
        h = torch.stack(states(project(p), p["u"], p["h0"]))
        gradients = torch.autograd.grad(h, inputs, p["dh"])
        return named(h.detach(), wanted, gradients)

    return step
