"""The IndRNN layer in JAX: forward and vector-Jacobian product of a lax.scan in one jit."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Arrays, Results, Step
from benchmarks.steps import named

WANTED = ("x", "W_ih", "b", "u", "h0")
WANTED_OF_RECURRENCE = ("a", "u", "h0")


def layer(arrays: Arrays, device: str) -> Step:
    """One forward and backward of the layer."""
    return _step(arrays, WANTED, lambda x, W_ih, b, u, h0: _scan(x @ W_ih + b, u, h0))


def recurrence(arrays: Arrays, device: str) -> Step:
    """One forward and backward of the recurrence alone."""
    return _step(arrays, WANTED_OF_RECURRENCE, lambda a, u, h0: _scan(a, u, h0))


def _scan(a: Any, u: Any, h0: Any) -> Any:
    import jax

    def cell(h: Any, a_t: Any) -> Any:
        h = jax.nn.relu(a_t + u * h)
        return h, h

    return jax.lax.scan(cell, h0, a)[1]


def _step(arrays: Arrays, wanted: tuple[str, ...], model: Any) -> Step:
    import jax

    @jax.jit
    def forward_and_backward(inputs: Any, dh: Any) -> Any:
        h, undo = jax.vjp(model, *inputs)
        return h, undo(dh)

    inputs = [jax.numpy.asarray(arrays[name]) for name in wanted]
    dh = jax.numpy.asarray(arrays["dh"])

    def step() -> Results:
        h, gradients = jax.block_until_ready(forward_and_backward(inputs, dh))
        return named(h, wanted, gradients)

    return step
