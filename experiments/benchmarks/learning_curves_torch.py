"""The models of learning_curves.py in PyTorch: nn.LSTM, and IndRNN as a loop over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

Parameters = dict[str, torch.Tensor]
Body = Callable[[torch.Tensor, Any], tuple[torch.Tensor, Any]]


def losses(
    name: str,
    start: Mapping[str, np.ndarray],
    body: Any,
    batches: Iterator[Any],
    *,
    lr: float,
    max_norm: float,
) -> list[float]:
    """Train from the same weights on the same batches; return the loss of every step.

    Args:
        name: "lstm"; or another, of an IndRNN.
        start: our model's state_dict.
        body: our body, asked for nothing but its layers' sizes, bounds and activation.
        batches, lr, max_norm: as there.
    """
    p = {k: torch.nn.Parameter(torch.from_numpy(x.copy())) for k, x in start.items()}
    p = {k: x for k, x in p.items() if "running" not in k}
    run, trained, bounded = (lstm if name == "lstm" else indrnn)(p, body)
    W, b = p["decoder.W"], p["decoder.b"]
    V = W.shape[1]
    parameters = [*trained, W, b]
    optimizer, states, found = torch.optim.Adam(parameters, lr), None, []
    for batch in batches:
        states = None if batch.is_first else states
        optimizer.zero_grad()
        x = functional.one_hot(torch.from_numpy(batch.x).long(), V).to(W.dtype)
        h, states = run(x, states)
        logits = h @ W + b
        loss = functional.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(batch.y).long().flatten()
        )
        loss.backward()
        clip_grad_norm(parameters, max_norm)
        optimizer.step()
        with torch.no_grad():
            for u, bound in bounded:
                u.clamp_(-bound, bound)
        found.append(loss.item())
    return found


def clip_grad_norm(parameters: list[Any], max_norm: float) -> None:
    """As torch.nn.utils.clip_grad_norm_, without the 1e-6 that it adds to the norm."""
    gradients = [x.grad for x in parameters]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)


def lstm(p: Parameters, body: Any) -> tuple[Body, list[Any], list[Any]]:
    """torch.nn.LSTM, whose second bias is not trained: it is our constant forget_bias, else 0."""
    where = "body.rnn.directions.0."
    W_ih, W_hh, b = (p[where + name] for name in ("W_ih", "W_hh", "b"))
    layer = torch.nn.LSTM(W_ih.shape[0], W_hh.shape[0], dtype=W_ih.dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(W_ih.T)
        layer.weight_hh_l0.copy_(W_hh.T)
        layer.bias_ih_l0.copy_(b)
        layer.bias_hh_l0.zero_()
        H = W_hh.shape[0]
        layer.bias_hh_l0[H : 2 * H] = body.rnn.directions[0].forget_bias
    layer.bias_hh_l0.requires_grad_(False)
    trained = [x for x in layer.parameters() if x.requires_grad]

    def run(x: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
        h, finals = layer(x, states)
        return h, tuple(state.detach() for state in finals)

    return run, trained, []


def indrnn(p: Parameters, body: Any) -> tuple[Body, list[Any], list[Any]]:
    """The layers h_t = act(BN(x W + b) + u ∘ h_{t-1}), BN over time and batch."""
    act = {"relu": torch.relu, "tanh": torch.tanh}[body.options.act]
    names = ("rnn.W_ih", "rnn.b", "rnn.u", "bn.gamma", "bn.beta")
    layers = [
        tuple(p[f"body.layers.{k}.{name}"] for name in names) for k in range(len(body.layers))
    ]

    def run(x: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
        finals = []
        for k, (W, b, u, gamma, beta) in enumerate(layers):
            a = x @ W + b
            flat = functional.batch_norm(
                a.flatten(0, 1), None, None, gamma, beta, training=True, eps=1e-5
            )
            h = torch.zeros_like(a[0]) if states is None else states[k]
            steps = []
            for a_t in flat.view_as(a).unbind(0):
                h = act(a_t + u * h)
                steps.append(h)
            x = torch.stack(steps)
            finals.append(h.detach())
        return x, tuple(finals)

    bounded = [(layer[2], body.layers[k].rnn.u_bound) for k, layer in enumerate(layers)]
    return run, [x for layer in layers for x in layer], bounded
