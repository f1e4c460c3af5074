"""Text from a language model, one symbol after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnseq.backend import Array, device_of, to_device
from nnseq.nn.eval_mode import eval_mode
from nnseq.nn.module import Module
from nnseq.tensor import no_grad


def sample(
    model: Module,
    length: int,
    *,
    prompt: Any,
    temperature: float = 1.0,
    rng: np.random.Generator,
) -> np.ndarray[Any, Any]:
    """Draws symbols that continue a prompt.

        a_t, states = model(x_t, states)                                        (1)
        x_{t+1} ~ softmax(a_t / temperature)                                    (2)

    The prompt goes through the model as one window, then every drawn symbol as a window of one step
    with the state carried. The model is in eval mode meanwhile, and nothing is recorded.

    Args:
        model: model(ids (T, 1), states, start=steps before) -> (logits (T, 1, V), states), such as
            a LanguageModel.
        length: symbols to draw.
        prompt: (P,) integers in [0, V), at least one: what the first drawn symbol follows.
        temperature: at least 0; 0 takes the likeliest symbol, 1 samples what the model learned,
            more is more random.
        rng: draws one number for each symbol, none with temperature 0.

    Returns:
        (length,) int32, on the CPU, without the prompt.

    Raises:
        ValueError: an empty prompt, a length or a temperature out of range, logits that are nan.
        TypeError: the prompt is not of integers.
    """
    x = np.asarray(prompt)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(
            f"sample: prompt has shape {x.shape}, expected (P,) with P > 0; give at least the "
            "symbol that the text begins after, such as a space or <eos>"
        )
    if x.dtype.kind not in "iu":
        raise TypeError(f"sample: prompt has dtype {x.dtype}, expected integers")
    if length < 0:
        raise ValueError(f"sample: length is {length}, expected at least 0")
    _check_temperature("sample", temperature)
    device = device_of(next(model.parameters()).data)
    drawn, states, start = np.empty(length, np.int32), None, 0
    with eval_mode(model), no_grad():
        for n in range(length):
            a, states = model(to_device(x[:, None], device), states, start=start)  # (1)
            start += len(x)
            drawn[n] = draw(to_device(a.data[-1, 0], "cpu"), temperature, rng)  # (2)
            x = drawn[n : n + 1]
    return drawn


def draw(a: Array, temperature: float, rng: np.random.Generator) -> int:
    """Draws from softmax(a / temperature) by inverting its distribution function, in float64.

    Args:
        a: (V,) logits on the CPU; -inf is a symbol that never comes.
        temperature: at least 0; 0 is the first of the largest.
        rng: draws one number, none with temperature 0.

    Raises:
        ValueError: temperature is out of range, or a holds nan or inf, or nothing but -inf.
    """
    _check_temperature("draw", temperature)
    largest = float(np.max(a))
    if not math.isfinite(largest):
        raise ValueError(
            f"draw: the largest logit is {largest}, expected a finite number; these parameters "
            "cannot be used"
        )
    if temperature == 0:
        return int(np.argmax(a))
    with np.errstate(over="ignore"):  # (a - largest) / 1e-320 is -inf, which exp takes to 0
        p = np.exp((a.astype(np.float64) - largest) / temperature)
    below = np.cumsum(p)
    return int(np.searchsorted(below, rng.random() * below[-1], side="right"))


def _check_temperature(who: str, temperature: float) -> None:
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"{who}: temperature is {temperature}, expected a finite number, at least 0"
        )
