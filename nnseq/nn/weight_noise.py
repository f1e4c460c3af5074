"""Weight noise: train at a random point near the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.nn.arguments import check_float, check_rng
from nnseq.nn.module import Module
from nnseq.nn.selection import WEIGHT_MATRICES, Select, select_parameters


@contextmanager
def weight_noise(
    model: Module,
    std: float,
    rng: Any = None,
    include: Select | Iterable[Select] = WEIGHT_MATRICES,
) -> Iterator[None]:
    """Inside the block, the chosen parameters of a model in training are W + N(0, std²).

        W̃ = W + std ε,   ε ~ N(0, 1) for every entry, drawn once per block     (1)
        dW = ∂L/∂W̃ at W̃                                                        (2)

        with weight_noise(model, 0.075, rng):
            loss = loss_of(model, batch)
            loss.backward()
        optimizer.step()

    Parameter.data is another array inside the block; W itself comes back at its end, also after an
    error. Gradients land on the parameters, (2). A model in evaluation is left alone. Any write to
    W̃ is found out, by a hash at either end of the block: on a GPU, two copies of the chosen
    parameters to the CPU. Graves 2011, "Practical variational inference for neural networks", NIPS,
    with a fixed std.

    Args:
        model: whose parameters; its mode counts, not those of the modules below.
        std: of the noise, at least 0.
        rng: draws the noise, NumPy's (on the CPU, then moved) or CuPy's; needed in training where
            std > 0.
        include: patterns of names, as nnseq.nn.selection; all weight matrices if left out.

    Raises:
        ValueError, TypeError: std out of range, no generator, or a pattern that matches nothing.
        RuntimeError: at the end, if a parameter was written to in the block, such as by an
            optimiser's step, which would be lost. W has then been put back.
    """
    std = check_float("weight_noise", "std", std, 0.0)
    chosen = select_parameters("weight_noise", model.named_parameters(), include)
    if not model.is_training or std == 0:
        yield
        return
    rng = check_rng("weight_noise in training (eval() turns it off)", rng)
    weights = {name: x.data for name, x in chosen.items()}
    noisy = {name: _noisy(W, std, rng) for name, W in weights.items()}
    before = {name: _fingerprint(W) for name, W in noisy.items()}
    try:
        for name, x in chosen.items():
            x.data = noisy[name]
        yield
        written = [
            name
            for name, x in chosen.items()
            if x.data is not noisy[name] or _fingerprint(x.data) != before[name]
        ]
    finally:
        for name, x in chosen.items():
            x.data = weights[name]
    if written:
        raise RuntimeError(
            f"weight_noise: {', '.join(written)} changed inside the block, where it is a noisy "
            f"copy; the change is lost. Step the optimiser after the block"
        )


def _noisy(W: Array, std: float, rng: Any) -> Array:
    """W + std ε, (1), on W's device."""
    noise = to_device(rng.standard_normal(W.shape, dtype=W.dtype), device_of(W))
    return W + array_module(W).asarray(std, W.dtype) * noise


def _fingerprint(W: Array) -> bytes:
    """A digest of the bytes, which any write changes; W of a GPU is copied to the CPU for it."""
    return blake2b(np.ascontiguousarray(to_device(W, "cpu")).tobytes()).digest()
