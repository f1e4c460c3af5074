"""Training of a network that reads a sequence and names its class."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnseq.backend import to_device
from nnseq.best import Best
from nnseq.classification_options import ClassificationOptions
from nnseq.data.batches import ArrayBatch
from nnseq.data.prefetch import Prefetch
from nnseq.nn.module import Module
from nnseq.ops.losses import cross_entropy
from nnseq.optim import Adam, RMSProp
from nnseq.optim.optimizer import Optimizer
from nnseq.optim.schedule import Plateau
from nnseq.plots import Panel, draw
from nnseq.task import BestWeights, Task
from nnseq.tensor import Tensor, no_grad


class Examples(NamedTuple):
    """What a task of this kind reads.

    Attributes:
        train: batches that never end; x (T, B, D) floats, y (B,) classes.
        valid, test: each call passes once over all examples. x may hold K looks at each of B
            examples, (T, K·B, D), look by look; the answer is then that of the summed logits.
        note: which files these are, for people.
    """

    train: Prefetch
    valid: Callable[[], Iterable[ArrayBatch]]
    test: Callable[[], Iterable[ArrayBatch]]
    note: str


class Score(NamedTuple):
    """How well a set is classified: the mean loss in nats, and the share of right answers."""

    loss: float
    accuracy: float


class ClassificationTask(Task):
    """A classifier, its optimiser, and the schedule that goes back to the best weights.

    After each epoch, or every `eval_every` steps, the validation set is classified; Best keeps
    what was best there, and returns to it when lr is cut for want of progress. Under `anneal`, lr
    falls linearly to 0 instead.

    Args:
        options: batch_size, lr, optimizer, weight_decay, patience, eval_every, anneal, ...
        model: forward(x, rng=...) -> logits (B, classes).
        examples: the sets; None builds the model alone, which can then count its parameters.
        masks: draws dropout and zoneout masks.
        no_decay: parameters without weight decay.
    """

    def __init__(
        self,
        options: ClassificationOptions,
        model: Module,
        examples: Examples | None,
        masks: np.random.Generator,
        no_decay: Iterable[Any] = (),
    ) -> None:
        self.options, self.examples = options, examples
        self.model = model.to(options.device)
        self.rngs = {"masks": masks}
        self.optimizer = optimizer_of(options, model, no_decay)
        self.best = Best(model, self.optimizer, schedule_of(options))
        self.seen_epochs = 0
        if examples is not None:
            self.data_note = examples.note
            self.steps_per_epoch = examples.train.steps_per_epoch

    def loss(self) -> Tensor:
        assert self.examples is not None
        o = self.options
        if o.anneal:
            self.optimizer.lr = o.lr * max(0.0, 1 - self.optimizer.num_steps / o.anneal)
        batch = self.examples.train.draw()
        self.waited = self.examples.train.waited
        logits = self.model(to_device(batch.x, o.device), rng=self.rngs["masks"])
        y = to_device(batch.y, o.device)
        self.train_accuracy = float((logits.data.argmax(axis=-1) == y).mean())
        return cross_entropy(logits, y)

    def observe(self, step: int, loss: float) -> dict[str, float]:
        assert self.examples is not None
        columns = {"lr": self.optimizer.lr, "train_acc": self.train_accuracy}
        every, epoch = self.options.eval_every, self.examples.train.epoch
        if step % every == 0 if every else epoch > self.seen_epochs:
            score = self.score(self.examples.valid())
            columns |= {"valid_loss": score.loss, "valid_acc": score.accuracy}
            self.best.observe(1 - score.accuracy, step)
        self.seen_epochs = epoch
        self.is_finished = self.best.plateau.is_finished or step == self.options.anneal
        return columns

    def evaluate(self) -> dict[str, float]:
        if self.examples is None:
            raise ValueError("ClassificationTask: there are no examples to evaluate on")
        test = self.score(self.examples.test())
        metrics = {"test_acc": test.accuracy, "test_error": 1 - test.accuracy}
        metrics["test_loss"] = test.loss
        if self.best.metric is not None:
            metrics["valid_acc"] = 1 - self.best.metric
        return metrics

    def score(self, batches: Iterable[ArrayBatch]) -> Score:
        """Classifies every example of the batches, nothing recorded, no masks drawn."""
        total, right, count, was_training = 0.0, 0, 0, self.model.is_training
        self.model.eval()
        with no_grad():
            for batch in batches:
                logits = self.model(to_device(batch.x, self.options.device)).data
                y = to_device(batch.y, self.options.device)
                looks = logits.reshape(-1, len(y), logits.shape[-1]).sum(axis=0)
                total += float(cross_entropy(looks, y, reduction="sum").item())
                right += int((looks.argmax(axis=-1) == y).sum())
                count += len(y)
        self.model.train(was_training)
        return Score(total / count, right / count)

    def epochs_done(self, step: int) -> int | None:
        return None if self.examples is None else self.examples.train.epoch

    def best_weights(self) -> BestWeights | None:
        best = self.best
        if best.weights is None or best.metric is None:
            return None
        return BestWeights(best.step, best.metric, best.weights)

    def leave(self, folder: Path) -> None:
        """Draws the validation accuracy against steps."""
        path = folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [row for row in map(json.loads, lines) if "valid_acc" in row]
        if rows:
            curve = [row["step"] for row in rows], [row["valid_acc"] for row in rows]
            panel = Panel("validation accuracy", "step", {"valid_acc": curve}, is_log=False)
            draw(folder / "accuracy.png", [panel])

    def describe(self) -> list[str]:
        o = self.options
        if o.anneal:
            return [f"lr falls from {o.lr:g} to 0 in {o.anneal} steps; best weights are kept"]
        return [
            f"lr {o.lr:g} · {o.lr_factor:g} after {o.patience} validations without progress, from "
            "the best weights on"
        ]

    def close(self) -> None:
        if self.examples is not None:
            self.examples.train.close()

    def state_dict(self) -> dict[str, Any]:
        assert self.examples is not None
        return {
            "batches": self.examples.train.state_dict(),
            "best": self.best.state_dict(),
            "seen_epochs": self.seen_epochs,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert self.examples is not None
        self.examples.train.load_state_dict(state["batches"])
        self.best.load_state_dict(state["best"])
        self.seen_epochs = int(state["seen_epochs"])


def optimizer_of(o: ClassificationOptions, model: Module, no_decay: Iterable[Any]) -> Optimizer:
    """Adam, or RMSProp with the decay 0.5 of the zoneout authors' pixel-by-pixel MNIST."""
    parameters = model.named_parameters()
    decay = {"weight_decay": o.weight_decay, "no_decay": no_decay if o.weight_decay else ()}
    if o.optimizer == "rmsprop":
        return RMSProp(parameters, o.lr, rho=0.5, **decay)
    return Adam(parameters, o.lr, **decay)


def schedule_of(o: ClassificationOptions) -> Plateau:
    """The IndRNN authors' patience: halved at each cut, the run ends below end_lr."""
    return Plateau(
        o.lr,
        o.patience,
        o.lr_factor,
        min_lr=min(o.end_lr, o.lr),
        stop=True,
        patience_factor=0.5,
        patience_added=2,
    )
