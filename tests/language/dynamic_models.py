"""Two small language models and a text, for the tests of dynamic evaluation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nnseq.data.streams import windows
from nnseq.language.dynamic_evaluation import (
    gradient_rms,
)
from nnseq.nn.dropout import Dropout
from nnseq.nn.module import Module, Parameter
from nnseq.ops.indexing import embedding
from nnseq.ops.joining import stack
from nnseq.tensor import Tensor

V, H = 5, 3


class Bigram(Module):
    """a_t = W[x_t] + b: no state, so that the gradient is a formula of one line."""

    def __init__(self, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(1)
        self.W = Parameter(rng.normal(size=(V, V)).astype(dtype))
        self.b = Parameter(rng.normal(size=V).astype(dtype))

    def forward(self, ids: Any, states: Any = None, *, start: int = 0) -> Any:
        return embedding(self.W, ids) + self.b, ()


class Recurrent(Module):
    """h_t = u ∘ h_{t-1} + E[x_t], a_t = h_t W: with a state, a constraint, dropout, a statistic."""

    buffers: ClassVar = ("seen",)

    def __init__(self, bound: float = 0.9) -> None:
        rng = np.random.default_rng(2)
        self.bound = bound
        self.E = Parameter(rng.normal(size=(V, H)))
        self.u = Parameter(rng.uniform(0.5, 0.8, H))
        self.W = Parameter(rng.normal(size=(H, V)))
        self.drop = Dropout(0.5)
        self.seen = rng.normal(size=2)
        self.starts: list[int] = []
        self.largest: list[float] = []

    def forward(self, ids: Any, states: Any = None, *, start: int = 0) -> Any:
        self.starts.append(start)
        self.largest.append(float(np.abs(self.u.data).max()))
        h: Any = np.zeros((ids.shape[1], H)) if states is None else states[0]
        assert not isinstance(h, Tensor), "the state is carried without its history"
        rows = []
        for x in embedding(self.E, ids):
            h = self.u * h + x
            rows.append(self.drop(h) @ self.W)
        return stack(rows), (h,)

    def constrain_own(self) -> None:
        np.clip(self.u.data, -self.bound, self.bound, out=self.u.data)


def text(n: int, seed: int = 0) -> np.ndarray:
    """Symbols of which each is likely to be the one before plus 1."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(n) < 0.8, 1, rng.integers(0, V, n))
    return (np.cumsum(steps) % V).astype(np.int32)


def snapshot(model: Module) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in model.state_dict().items()}


def prepared() -> tuple[Recurrent, dict[str, Any]]:
    """A model in the middle of training: gradients are there, and one layer is in eval mode."""
    model = Recurrent()
    rms = gradient_rms(model, windows(text(83), 3, 4))
    for x in model.parameters():
        x.grad = np.full(x.shape, 7.0)
    model.drop.eval()
    return model, rms
