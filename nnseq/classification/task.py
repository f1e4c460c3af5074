"""Training a network that reads a sequence and names its class.

    loss        mean of -ln p(class) over the batch, in nats                                (1)
    accuracy    share of sequences whose class has the largest logit                        (2)

Validation is at the end of every epoch and of --anneal, and every --eval_every steps. Where a
sequence is looked at several times, as in random crops, a validation takes each look for a sequence
of its own; in the test the logits of all its looks are averaged before (1) and (2).

The weights with the best (2) in validation are kept with their optimiser (nnseq.best) in best.h5,
and are tested at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnseq.backend import to_device
from nnseq.best import Best
from nnseq.classification.options import ClassificationOptions
from nnseq.data.examples import Examples
from nnseq.data.prefetch import Prefetch
from nnseq.nn.eval_mode import eval_mode
from nnseq.nn.module import Module
from nnseq.ops.losses import cross_entropy
from nnseq.plots import Panel, draw
from nnseq.recipe import build_optimizer, build_plateau
from nnseq.task import DataNote, Task
from nnseq.tensor import Tensor, no_grad


class Score(NamedTuple):
    """How well a set is classified.

    Attributes:
        loss: (1).
        accuracy: (2).
        error: 1 - accuracy.
        of_looks: the accuracy of single looks.
    """

    loss: float
    accuracy: float
    error: float
    of_looks: float


class ClassificationTask(Task):
    """A classifier, its examples, and the recipe of the options.

    Args:
        options: batch_size, lr, optimizer, weight_decay, patience, eval_every, anneal, ...
        model: forward(x (T, B, D), rng=...) -> logits (B, classes).
        examples: None builds the model alone, for `--max_steps 0`.
        note: of the files they are from.
        masks: draws dropout and zoneout masks.
    """

    best: Best
    leaves = ("accuracy.png",)

    def __init__(
        self,
        options: ClassificationOptions,
        model: Module,
        examples: Examples | None,
        note: DataNote,
        masks: np.random.Generator,
    ) -> None:
        self.options: Any = options  # what its model has is not None
        self.given, self.data_note = examples, note
        self.model = model.to(options.device)
        self.rngs = {"masks": masks}  # the examples own their generators
        self.optimizer = build_optimizer(self.options, model)
        self.best = Best(model, self.optimizer, build_plateau(self.options))
        self.validations: list[list[float]] = []  # [step, loss, accuracy]
        self.epoch = 0
        self.train_right: Any = None  # of the last batch, on the device
        if examples is not None:
            self.steps_per_epoch = examples.train.steps_per_epoch

    @property
    def examples(self) -> Examples:
        """The examples; they are there whenever something is trained or evaluated."""
        assert self.given is not None, "--max_steps 0 neither trains nor evaluates"
        return self.given

    # ---- training --------------------------------------------------------------------------------

    def loss(self) -> Tensor:
        o = self.options
        if o.anneal:
            self.optimizer.lr = o.lr * max(0.0, 1 - self.optimizer.num_steps / o.anneal)
        batch = self.examples.train.draw()
        self.waited = self.examples.waited
        x, y = to_device(batch.x, o.device), to_device(batch.y, o.device)
        logits = self.model(x, rng=self.rngs["masks"])
        self.train_right = logits.data.argmax(axis=-1) == y  # read in observe: nothing waits here
        nats: Tensor = cross_entropy(logits, y)  # (1)
        return nats

    def observe(self, step: int, loss: float) -> dict[str, float]:
        o, epoch = self.options, self.examples.train.epoch
        columns = {"epoch": epoch, "lr": float(self.optimizer.lr)}
        columns["train_acc"] = float(self.train_right.mean())
        is_last = step == o.anneal
        if epoch > self.epoch or is_last or (o.eval_every and step % o.eval_every == 0):
            score = self.score(self.examples.valid)
            self.waited = self.examples.waited
            self.validations.append([step, score.loss, score.accuracy])
            self.best.observe(score.error, step)
        self.epoch = epoch
        self.is_finished = is_last or self.best.plateau.is_finished
        if self.validations:  # the last one, at whatever step
            _, columns["valid_loss"], columns["valid_acc"] = self.validations[-1]
        return columns

    def epochs_done(self, step: int) -> int | None:
        return None if self.given is None else self.examples.train.epoch

    # ---- evaluation ------------------------------------------------------------------------------

    def score(self, batches: Prefetch, looks: int = 1) -> Score:
        """Passes once through the batches, nothing recorded, no masks drawn.

        Args:
            batches: at the beginning of a pass.
            looks: so many batches in a row are looks at the same sequences.
        """
        total, right, of_looks, count = 0.0, 0, 0, 0
        assert batches.steps_per_epoch is not None
        with eval_mode(self.model), no_grad():
            for _ in range(batches.steps_per_epoch // looks):
                mean = np.float64(0)
                for _ in range(looks):
                    x, y = batches.draw()
                    a = to_device(self.model(to_device(x, self.options.device)).data, "cpu")
                    of_looks += int((a.argmax(axis=-1) == y).sum())
                    mean = mean + a / np.float64(looks)
                total += float(cross_entropy(mean, y, reduction="sum").item())  # (1)
                right += int((mean.argmax(axis=-1) == y).sum())  # (2)
                count += len(y)
        return Score(
            total / count, right / count, (count - right) / count, of_looks / count / looks
        )

    def evaluate(self) -> dict[str, float]:
        looks = self.examples.test_looks
        test = self.score(self.examples.test, looks)
        metrics = {"test_acc": test.accuracy, "test_error": test.error, "test_loss": test.loss}
        if looks > 1:
            metrics["test_acc_single"] = test.of_looks
        best = self.best_weights()
        at_best = [x for x in self.validations if best is not None and x[0] == best.step]
        if at_best:
            _, metrics["valid_loss"], metrics["valid_acc"] = at_best[-1]
        return metrics

    def leave(self, folder: Path) -> None:
        """Draws accuracy.png, the validations of the run."""
        if self.validations:
            steps, _, accuracies = zip(*self.validations, strict=True)
            curves = {"validation": (steps, accuracies)}
            draw(folder / "accuracy.png", [Panel("accuracy", "step", curves, is_log=False)])

    def describe(self) -> list[str]:
        o = self.options
        if self.given is None:
            return ["nothing was read: --max_steps 0 neither trains nor evaluates"]
        if o.eval:
            return []
        every = f"{self.steps_per_epoch:,} steps an epoch"
        if o.anneal:
            return [f"{every}; lr falls from {o.lr:g} to 0 in {o.anneal:,} steps"]
        if not o.patience:
            return [f"{every}; lr stays {o.lr:g}"]
        cut = f"after {o.patience} validations without progress it is multiplied by {o.lr_factor:g}"
        return [f"{every}; lr {o.lr:g}, {cut}, and the run goes on from the best weights"]

    def close(self) -> None:
        if self.given is not None:
            self.given.close()

    # ---- checkpoints -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "batches": self.examples.train.state_dict(),
            "epoch": self.epoch,
            "validations": self.validations,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.examples.train.load_state_dict(state["batches"])
        self.epoch = int(state["epoch"])
        self.validations = [[int(step), *map(float, x)] for step, *x in state["validations"]]
