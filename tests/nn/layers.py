"""The recurrent layers as the tests make them: float64, every parameter random, D = 2, H = 5."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from nnseq import nn

T, B, D, H = 4, 3, 2, 5
LENGTHS = [2, 4, 1]
VALID = np.arange(T)[:, None] < LENGTHS
LAYERS: dict[str, Any] = {
    "rnn": nn.RNN,
    "rnn relu": partial(nn.RNN, act="relu"),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "gru before": partial(nn.GRU, reset_after=False),
    "mut1": nn.MUT,
    "mut2": partial(nn.MUT, variant=2),
    "mut3": partial(nn.MUT, variant=3),
}
each = pytest.mark.parametrize("name", LAYERS)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def make(
    name: str, seed: int = 0, input_size: int = D, hidden_size: int = H, **options: Any
) -> Any:
    """A layer of that name whose parameters, biases and initial states too, are N(0, 0.5²)."""
    rng = np.random.default_rng(seed)
    layer = LAYERS[name](input_size, hidden_size, rng=rng, **{"dtype": np.float64} | options)
    randomise(layer, rng)
    return layer


def randomise(layer: nn.Module, rng: np.random.Generator) -> None:
    for parameter in layer.parameters():
        parameter.data[:] = 0.5 * rng.normal(size=parameter.shape)


def outputs(result: Any) -> tuple[Any, ...]:
    """(y, states) or (y, states, c) in one tuple of Tensors."""
    y, states, *rest = result
    return (y, *as_tuple(states), *rest)


def starts(layer: Any, seed: int = 9) -> Any:
    """A random initial state of the form that the layer takes."""
    number = len(layer.directions)
    states = tuple(draw(seed + k, number, B, H) for k in range(len(layer.state_sizes)))
    return states if len(states) > 1 else states[0]


def as_tuple(states: Any) -> tuple[Any, ...]:
    return states if isinstance(states, tuple) else (states,)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def copy_direction(source: Any, target: Any, k: int) -> None:
    """Give the one direction of target the parameters of direction k of source."""
    place = f"directions.{k}."
    state = {key: x for key, x in source.state_dict().items() if key.startswith(place)}
    target.load_state_dict({key.replace(place, "directions.0."): x for key, x in state.items()})


def parts_of(name: str, layer: Any, **options: Any) -> list[Any]:
    """One single-layer, forward layer for every direction of a layer, with its parameters."""
    parts = []
    for k, direction in enumerate(layer.directions):
        part = make(name, input_size=direction.input_size, **options)
        copy_direction(layer, part, k)
        parts.append(part)
    return parts


def backwards(
    part: Any, x: np.ndarray, start: tuple[Any, ...], lengths: list[int]
) -> tuple[Any, Any]:
    """Run a forward layer over each sequence by itself, the other way round: y, final states."""
    last = []
    y = np.zeros((*x.shape[:2], part.output_size))
    for b, n in enumerate(lengths):
        begin = tuple(s[:, b : b + 1] for s in start)
        own, *finals = outputs(
            part(x[:n, b : b + 1][::-1].copy(), begin if len(begin) > 1 else begin[0])
        )
        y[:n, b] = own.data[::-1, 0]
        last.append([s.data for s in finals])
    return y, [np.concatenate(s, axis=1) for s in zip(*last, strict=True)]
