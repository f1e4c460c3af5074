"""PyTorch's recurrent layers with packed sequences, beside ours with the same weights."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from nnseq.interop import load_torch_state
from nnseq.tensor import Tensor, grad

from .layers import B, D, H, T, as_tuple, draw, outputs

CASES = [
    {"num_layers": L, "bidirectional": two, "bias": bias, "lengths": lengths}
    for L, two, bias, lengths in itertools.product(
        (1, 2), (False, True), (True, False), (None, [2, 4, 1], [4, 3, 4])
    )
]
TOLERANCE = 1e-10  # float64; the products add in other orders


def compare(ours: Any, kind: str, lengths: Any = None, **options: Any) -> None:
    """Compare y, final states and all gradients, float64, with random upstream gradients.

    Args:
        ours: makes our layer: ours(D, H, **options) with options common to both.
        kind: "RNN", "LSTM" or "GRU" of torch.nn.
        lengths: (B,) or None; given, PyTorch runs on packed sequences.
        options: of both; "nonlinearity" is PyTorch's alone.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(D, H, dtype=torch.float64, **options)
    options.pop("nonlinearity", None)
    layer = ours(D, H, rng=np.random.default_rng(0), dtype=np.float64, **options)
    load_torch_state(layer, {name: p.detach().numpy() for name, p in theirs.named_parameters()})
    x = draw(1, T, B, D)
    number = len(layer.directions)
    states = [draw(2 + k, number, B, H) for k in range(len(layer.state_sizes))]
    xs = [Tensor(array, True) for array in (x, *states)]
    ys = outputs(layer(xs[0], tuple(xs[1:]) if len(xs) > 2 else xs[1], lengths=lengths))
    qs = [torch.tensor(array, requires_grad=True) for array in (x, *states)]
    ps = run(torch, theirs, qs, lengths)
    dys = [draw(7 + k, *y.shape) for k, y in enumerate(ys)]
    dxs = grad(ys, [*xs, *layer.parameters()], dys)
    dqs = torch.autograd.grad(ps, [*qs, *theirs.parameters()], [torch.tensor(dy) for dy in dys])
    for y, p in zip(ys, ps, strict=True):
        np.testing.assert_allclose(y.data, p.detach().numpy(), rtol=0, atol=TOLERANCE)
    for dx, dq in zip(dxs[: len(xs)], dqs[: len(xs)], strict=True):
        np.testing.assert_allclose(dx, dq.numpy(), rtol=0, atol=TOLERANCE)
    found = dict(zip((n for n, _ in layer.named_parameters()), dxs[len(xs) :], strict=True))
    expected = dict(zip((n for n, _ in theirs.named_parameters()), dqs[len(xs) :], strict=True))
    compare_parameters(layer, found, {n: g.numpy() for n, g in expected.items()})


def run(torch: Any, layer: Any, inputs: list[Any], lengths: Any) -> list[Any]:
    """PyTorch's outputs (y, states), each a tensor; y padded with zeros."""
    x, *states = inputs
    states = tuple(states) if len(states) > 1 else states[0]
    if lengths is None:
        y, last = layer(x, states)
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, last = layer(packed, states)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    return [y, *as_tuple(last)]


def compare_parameters(layer: Any, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The gradient of b is that of either bias; b_hn's is that of bias_hh in the gate n."""
    matched = set()
    for k in range(len(layer.directions)):
        suffix = f"_l{k // layer.num_directions}{'_reverse' * (k % layer.num_directions)}"
        names = {"W_ih": "weight_ih", "W_hh": "weight_hh", "b": "bias_ih", "b_hn": "bias_hh"}
        for ours, theirs in names.items():
            if f"directions.{k}.{ours}" not in found:
                continue
            dx, dq = found[f"directions.{k}.{ours}"], expected[theirs + suffix].T
            dq = dq[2 * H :] if ours == "b_hn" else dq
            np.testing.assert_allclose(dx, dq, rtol=0, atol=TOLERANCE)
            matched.add(f"directions.{k}.{ours}")
    assert matched == set(found)
