"""What the layers over the cells without kernels owe, as one call each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnseq import nn
from nnseq.gradcheck import gradcheck
from nnseq.ops.joining import concat
from nnseq.tensor import Tensor, grad

from .functional import as_function
from .layers import LENGTHS, VALID, B, D, T, as_tuple, close, draw, outputs

Make = Callable[..., Any]  # make(**options) -> a layer with random parameters, float64


def starts_for(layer: Any, batch: int = B, seed: int = 9) -> Any:
    """A random initial state of the layer's form, each state of its own width."""
    number = len(layer.directions)
    sizes = layer.state_sizes.values()
    states = tuple(draw(seed + k, number, batch, size) for k, size in enumerate(sizes))
    return states if len(states) > 1 else states[0]


def check_lengths(layer: Any) -> None:
    """A padded batch in every layer and direction is its sequences one by one (in evaluation)."""
    x, start = draw(1, T, B, D), starts_for(layer)
    rng = np.random.default_rng(0)
    y, *finals = outputs(layer(x, start, lengths=LENGTHS, rng=rng))
    by_mask = outputs(layer(x, start, mask=VALID, rng=np.random.default_rng(0)))
    for found, same in zip((y, *finals), by_mask, strict=True):
        np.testing.assert_array_equal(found.data, same.data)
    for b, n in enumerate(LENGTHS):
        own = tuple(s[:, b : b + 1] for s in as_tuple(start))
        alone, *ends = outputs(layer(x[:n, b : b + 1], own if len(own) > 1 else own[0]))
        close(y.data[:n, b], alone.data[:, 0])
        assert (y.data[n:, b] == 0).all()
        for found, end in zip(finals, ends, strict=True):
            close(found.data[:, b], end.data[:, 0])


def check_gap(layer: Any) -> None:
    """Padded steps between others are skipped (in evaluation)."""
    x = draw(1, T, 1, D)
    y, *finals = outputs(layer(x, mask=np.array([[1], [0], [1], [1]])))
    short, *ends = outputs(layer(x[[0, 2, 3]]))
    close(y.data[[0, 2, 3]], short.data)
    assert (y.data[1] == 0).all()
    for found, end in zip(finals, ends, strict=True):
        close(found.data, end.data)


def check_garbage(layer: Any, garbage: float = np.nan) -> None:
    """Whatever stands in padded steps changes neither outputs nor gradients."""
    clean = np.where(VALID[..., None], draw(1, T, B, D), 0.0)
    found = []
    for x in (clean, np.where(VALID[..., None], clean, garbage)):
        x = Tensor(x, True)
        ys = outputs(layer(x, lengths=LENGTHS, rng=np.random.default_rng(2)))
        dys = [draw(3 + k, *y.shape) for k, y in enumerate(ys)]
        found.append([y.data for y in ys] + list(grad(ys, [x, *layer.parameters()], dys)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    dx = found[0][len(ys)]
    assert (dx[~VALID] == 0).all()


def check_gradients(layer: Any, states: bool = True) -> None:
    """Every parameter, the input and given states, through outputs, final states and cells."""
    has_cells = "c" in layer.state_sizes and layer.output == "all"

    def call(layer: Any, x: Any, *given: Any) -> Any:
        begin = None if not given else given if len(given) > 1 else given[0]
        rng = np.random.default_rng(4)
        options = {"lengths": LENGTHS, "rng": rng, "return_cells": has_cells}
        ys = outputs(layer(x, begin, **options))
        return concat([y.reshape(y.size) for y in ys], 0)  # the cells' tests take each alone

    f, parameters = as_function(layer, call)
    given = as_tuple(starts_for(layer)) if states else ()
    gradcheck(f, *parameters, draw(6, T, B, D), *given, rng=np.random.default_rng(7))


def check_stack(make: Make) -> None:
    """Two layers with residual, and the last outputs, from single layers."""
    whole = make(num_layers=2, residual=True).eval()
    x = draw(1, T, B, D)
    y, *finals = outputs(whole(x, lengths=LENGTHS))
    below, ends = x, []
    for k, direction in enumerate(whole.directions):
        one = make(input_size=direction.input_size).eval()
        place = f"directions.{k}."
        state = {n: p for n, p in whole.state_dict().items() if n.startswith(place)}
        one.load_state_dict({n.replace(place, "directions.0."): p for n, p in state.items()})
        above, *last = outputs(one(below, lengths=LENGTHS))
        below = above.data + below if k else above.data
        ends.append([s.data for s in last])
    close(y.data, below)
    for found, right in zip(finals, zip(*ends, strict=True), strict=True):
        close(found.data, np.concatenate(right))
    last_only = make(num_layers=2, residual=True, output="last").eval()
    last_only.load_state_dict(whole.state_dict())
    expected = y.data[np.subtract(LENGTHS, 1), range(B)]
    close(last_only(x, lengths=LENGTHS)[0].data, expected)


def check_round_trip(layer: Any) -> None:
    """describe → JSON → build → load_state_dict gives the same evaluation."""
    x = draw(1, T, B, D)
    description = json.loads(json.dumps(nn.describe(layer)))
    again = nn.build(description)
    assert type(again) is type(layer)
    again.load_state_dict(layer.state_dict())
    layer.eval()
    again.eval()
    for a, b in zip(outputs(again(x)), outputs(layer(x)), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    layer.train()


def check_learned_states(make: Make) -> None:
    layer = make(learn_states=True).eval()
    x = draw(1, T, B, D)
    number = len(layer.directions)
    tiled = tuple(
        np.stack([np.tile(getattr(layer.directions[k], f"{s}0").data, (B, 1))
                  for k in range(number)])
        for s in layer.state_sizes
    )  # fmt: skip
    told = layer(x, tiled if len(tiled) > 1 else tiled[0])[0].data
    np.testing.assert_array_equal(layer(x)[0].data, told)
    for name, size in layer.state_sizes.items():
        assert getattr(layer.directions[0], f"{name}0").shape == (size,)


def check_dtypes(make: Make) -> None:
    layer, x = make(num_layers=2, bidirectional=True).eval(), draw(1, T, B, D)
    exact = layer(x)[0].data
    half = layer.astype(np.float32)(x.astype(np.float32))[0]
    assert half.dtype == np.float32
    # Two layers of four steps; a normalisation divides rounding errors by small deviations.
    np.testing.assert_allclose(half.data, exact, rtol=0, atol=1e-4)
    with pytest.raises(TypeError, match=f"{type(layer).__name__}: x has dtype float64"):
        layer(x)


def check_zoneout_in_evaluation(make: Make) -> None:
    """One step of evaluation is the weighted sum of the old states and the plain layer's."""
    letters = list(make().state_sizes)
    layer = make(**{f"zoneout_{s}": 0.2 + 0.3 * k for k, s in enumerate(letters)}).eval()
    plain = make().eval()
    plain.load_state_dict(layer.state_dict())
    x, start = draw(1, 1, B, D), starts_for(layer)
    found, new = outputs(layer(x, start))[1:], outputs(plain(x, start))[1:]
    for k, (a, b, old) in enumerate(zip(found, new, as_tuple(start), strict=True)):
        p = 0.2 + 0.3 * k
        close(a.data, p * old + (1 - p) * b.data)
