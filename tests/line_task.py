"""A task that trains in microseconds, for tests of the training loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.best import Best
from nnseq.nn.linear import Linear
from nnseq.ops.losses import mse
from nnseq.optim import Adam, Plateau
from nnseq.options import Options, epochs_option, option
from nnseq.task import Task, streams
from nnseq.tensor import Tensor
from nnseq.train import run

TRUE_W = np.array([[1.0], [-2.0], [0.5]])


@dataclass(frozen=True)
class LineOptions(Options):
    noise: float = option(0.1, "of the data", low=0)
    epochs: int | None = epochs_option(None)


class Line(Task):
    """Linear regression on fresh data, with a learning rate that depends on the steps done."""

    baseline = ("answering 0", 5.25)
    steps_per_epoch = 4
    happens: ClassVar[Mapping[int, Callable[[Line], None]]] = {}  # what a test does in a step

    def __init__(self, options: LineOptions) -> None:
        self.options = options
        init, data, masks = streams(options.seed)
        self.rngs = {"data": data, "masks": masks}
        self.model = Linear(3, 1, rng=init, dtype=np.dtype(options.dtype))
        self.optimizer = Adam(self.model.named_parameters(), options.lr)
        self.steps_seen = 0
        self.was_training: list[bool] = []

    def batch(self, rng: np.random.Generator, B: int) -> tuple[Any, Any]:
        x = rng.normal(size=(B, 3))
        y = x @ TRUE_W + self.options.noise * rng.normal(size=(B, 1))
        return x.astype(self.options.dtype), y.astype(self.options.dtype)

    def loss(self) -> Tensor:
        x, y = self.batch(self.rngs["data"], self.options.batch_size)
        kept = (self.rngs["masks"].random(x.shape) < 0.9).astype(self.options.dtype)
        self.happens.get(self.steps_seen + 1, lambda task: None)(self)
        return mse(self.model(x * kept), y)

    def observe(self, step: int, loss: float) -> dict[str, float]:
        self.steps_seen += 1
        self.optimizer.lr = self.options.lr / self.steps_seen
        return {"lr": self.optimizer.lr}

    def evaluate(self) -> dict[str, float]:
        self.was_training.append(self.model.is_training)
        x, y = self.batch(np.random.default_rng(5), 50)
        return {"test_mse": float(np.square(self.model(x).data - y).mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"steps_seen": self.steps_seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps_seen = state["steps_seen"]


# Of the evaluations after steps 2, 4, 6, ...: the best is the third, lr is cut after two worse.
SCORES = [5.0, 4.0, 3.0, 3.5, 3.2, 3.3, 3.4, 3.0, 3.0, 3.0]
BEST_STEP = 6


class Scored(Line):
    """Evaluates every second step, with scores that are given, and follows Best."""

    best: Best
    leaves = ("sample.txt",)
    rate = 0.5

    def __init__(self, options: LineOptions) -> None:
        super().__init__(options)
        self.optimizer.lr = self.rate
        self.best = Best(self.model, self.optimizer, Plateau(self.rate, 2, 0.5))
        self.happened: list[str] = []

    def observe(self, step: int, loss: float) -> dict[str, float]:
        if step % 2 == 0 and self.best.observe(SCORES[step // 2 - 1], step):
            self.happened.append(f"cut {step}")
        return {"lr": self.optimizer.lr}

    def leave(self, folder: Path) -> None:
        weights = self.model.state_dict()
        assert not (self.model.W * 1.0).requires_grad
        assert not self.model.is_training
        (folder / "sample.txt").write_text(repr({k: x.tolist() for k, x in weights.items()}))


def options_for(out: Path, **changes: Any) -> LineOptions:
    chosen = {"batch_size": 4, "log_every": 3, "save_every": "1000", "threads": 1, "max_steps": 10}
    return LineOptions(**{**chosen, "out": str(out), "lr": 0.05, **changes})


def train(out: Path, build: Callable[[Any], Task] = Line, **changes: Any) -> int:
    return run("line", options_for(out, **changes), build)


def rows(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the times."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def result(out: Path) -> str:
    """Everything a run leaves behind, without times and without what may differ between runs."""
    tree, attributes = checkpoint.read(out / "checkpoint.h5")
    tree["state"]["position"].pop("seconds")
    summary = json.loads((out / "summary.json").read_text())
    for name in ("seconds", "options", "commit", "command"):
        summary.pop(name)
    attributes.pop("options")
    with np.printoptions(floatmode="unique", threshold=10**6):
        return repr((tree, attributes, summary, rows(out)))


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("line: ")
    return error
