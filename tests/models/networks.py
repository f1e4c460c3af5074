"""Small IndRNN bodies of every kind, and the formulas of them written out a second time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nnseq.models import DenseIndRNNBody, IndRNNOptions, PlainIndRNNBody, ResidualIndRNNBody
from nnseq.models.indrnn_body import IndRNNBody

T, B, D, H = 4, 3, 2, 5
BLOCKS = (2, 1)
KINDS = ("plain", "residual", "dense", "dense without ends", "dense with differences")
NORMS: dict[str, dict[str, Any]] = {
    "none": {},
    "before": {"bn": "before"},
    "after": {"bn": "after"},
    "before, by step": {"bn": "before", "bn_steps": 6},
    "after, by step": {"bn": "after", "bn_steps": 6},
}


def make(kind: str, seed: int = 1, D: int = D, **options: Any) -> IndRNNBody:
    """A body with seq_len = T in float64; its weights are not so small as they start."""
    options = {"seq_len": T, "dtype": np.float64, "small_norm_init": True} | options
    blocks: Any = options.pop("blocks", BLOCKS)
    shared, own = split(options)
    own |= {"rng": np.random.default_rng(seed)}
    if kind == "plain":
        body: IndRNNBody = PlainIndRNNBody(D, H, 3, shared, **own)
    elif kind == "residual":
        body = ResidualIndRNNBody(D, H, 1, shared, **own)
    elif kind == "dense without ends":
        body = DenseIndRNNBody(D, 1, blocks, shared, first=None, last_layer=False, **own)
    else:
        differs = kind == "dense with differences"
        body = DenseIndRNNBody(D, 1, blocks, shared, first=3, time_diff=differs, **own)
    return stir(body, seed)


def split(options: dict[str, Any]) -> tuple[IndRNNOptions, dict[str, Any]]:
    """The options of the recurrences, and those of the body."""
    names = {field.name for field in dataclasses.fields(IndRNNOptions)}
    shared = {name: value for name, value in options.items() if name in names}
    return IndRNNOptions(**shared), {k: v for k, v in options.items() if k not in names}


def stir(model: Any, seed: int = 0) -> Any:
    """Move b, β, γ and running statistics from 0 and 1 to other values, all different."""
    rng = np.random.default_rng(seed + 100)
    for name, x in model.named_parameters():
        own = name.rpartition(".")[2]
        if own in ("b", "beta"):
            x.data[...] = rng.uniform(0.1, 0.9, x.shape)
        if own in ("W", "W_ih"):
            x.data += 0.3  # so that few units are dead
        if own == "gamma":
            x.data[...] = rng.uniform(0.5, 1.5, x.shape)
    for name, x in model.named_buffers():
        low, high = (0.2, 1.0) if name.endswith("var") else (-0.5, 0.5)
        x[...] = rng.uniform(low, high, x.shape)
    return model


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def states_of(body: IndRNNBody, seed: int = 5) -> tuple[np.ndarray, ...]:
    """Random states of the right widths."""
    body.train(False)
    _, states = body(np.zeros((1, B, body.input_size)))
    body.train(True)
    return tuple(draw(seed + k, *state.shape) for k, state in enumerate(states))


class Formulas:
    """The networks as loops over layers and time, on NumPy's arrays or PyTorch's tensors.

    Args:
        arrays: state_dict of the model.
        place: of batch norm.
        xp: numpy or torch.
        is_training: batch norm uses the batch's statistics.
        states: initial ones, one for each recurrence (and difference) in the order of the calls.
        start: steps since the states were zero.
    """

    def __init__(
        self,
        arrays: dict[str, Any],
        place: str | None,
        *,
        states: Any,
        xp: Any = np,
        is_training: bool = True,
        start: int = 0,
    ) -> None:
        self.p, self.place, self.xp = arrays, place, xp
        self.is_training, self.start = is_training, start
        self.initial, self.final = iter(states), []

    def batch_norm(self, x: Any, name: str) -> Any:
        gamma, beta = self.p[f"{name}.gamma"], self.p[f"{name}.beta"]
        M, V = self.p[f"{name}.running_mean"], self.p[f"{name}.running_var"]
        by_step = M.ndim == 2
        if self.is_training:
            axes = (1,) if by_step else (0, 1)
            m = x.mean(axes)
            v = ((x - (m[:, None] if by_step else m)) ** 2).mean(axes)
        elif by_step:
            rows = [min(self.start + t, len(M) - 1) for t in range(len(x))]
            m, v = M[rows], V[rows]
        else:
            m, v = M, V
        if by_step:
            m, v = m[:, None], v[:, None]
        return gamma * (x - m) / (v + 1e-5) ** 0.5 + beta

    def recurrence(self, a: Any, name: str) -> Any:
        if self.place == "before":
            a = self.batch_norm(a, f"{name}.bn")
        h, steps = next(self.initial), []
        for a_t in a:
            s = a_t + self.p[f"{name}.rnn.u"] * h
            h = s * (s > 0)
            steps.append(h)
        self.final.append(h)
        h = self.xp.stack(steps)
        return self.batch_norm(h, f"{name}.bn") if self.place == "after" else h

    def block(self, x: Any, name: str) -> Any:
        return self.recurrence(x @ self.p[f"{name}.rnn.W_ih"] + self.p[f"{name}.rnn.b"], name)

    def linear(self, x: Any, name: str) -> Any:
        return x @ self.p[f"{name}.W"] + self.p[f"{name}.b"]

    def difference(self, x: Any) -> Any:
        before, steps = next(self.initial), []
        for x_t in x:
            steps.append(self.xp.concatenate([x_t, x_t - before], -1))
            before = x_t
        self.final.append(before)
        return self.xp.stack(steps)

    def plain(self, x: Any, num_layers: int) -> Any:
        for k in range(num_layers):
            x = self.block(x, f"layers.{k}")
        return x

    def residual(self, x: Any, num_blocks: int) -> Any:
        x = self.linear(x, "linear")
        for k in range(num_blocks):
            a = self.linear(self.recurrence(x, f"blocks.{k}.rnn_1"), f"blocks.{k}.linear_1")
            x = x + self.linear(self.recurrence(a, f"blocks.{k}.rnn_2"), f"blocks.{k}.linear_2")
        return self.recurrence(x, "rnn")

    def dense(self, x: Any, kind: str, blocks: tuple[int, ...] = BLOCKS) -> Any:
        has_ends, differs = kind != "dense without ends", kind == "dense with differences"
        x = self.difference(x) if differs else x

        def layer(x: Any, name: str) -> Any:
            y = self.block(x, name)
            return self.difference(y) if differs else y

        x = layer(x, "first") if has_ends else x
        for k, num_layers in enumerate(blocks):
            for i in range(num_layers):
                inner = layer(x, f"blocks.{k}.{i}.inner")
                x = self.xp.concatenate([x, layer(inner, f"blocks.{k}.{i}.outer")], -1)
            if has_ends or k < len(blocks) - 1:
                x = layer(x, f"transitions.{k}")
        return x

    def run(self, kind: str, x: Any) -> Any:
        """The body that make(kind) made."""
        if kind == "plain":
            return self.plain(x, 3)
        return self.residual(x, 1) if kind == "residual" else self.dense(x, kind)
