"""What the training loop trains: a Task, how far it is, and where its randomness comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnseq.best import Best, BestWeights
from nnseq.nn.module import Module
from nnseq.optim.optimizer import Optimizer
from nnseq.plots import Panel
from nnseq.tensor import Tensor


class Streams(NamedTuple):
    """Independent random generators of one run, so that more of one kind never shifts another."""

    init: np.random.Generator
    data: np.random.Generator
    masks: np.random.Generator


def streams(seed: int) -> Streams:
    """The generators that belong to `--seed`."""
    return Streams(*(np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)))


class DataNote(NamedTuple):
    """What a run says of the data it reads.

    Attributes:
        text: which files, for the first line printed and for summary.json; "" where there are none.
        fingerprint: of what they hold, wherever they are; "" where nothing is read.
    """

    text: str = ""
    fingerprint: str = ""


@dataclass
class Position:
    """How far a run is.

    Attributes:
        step: steps done.
        seconds: spent in steps, over all the processes of this run.
        waited: seconds of these in which the next batch was not there yet.
        has_extra_line: metrics.jsonl has a line of this step only because the run ended here.
    """

    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    has_extra_line: bool = False


class Task(ABC):
    """What is trained: an experiment's model, optimiser, data and recipe.

    Attributes:
        model, optimizer: of this project's kinds.
        rngs: name -> every generator that training draws from; checkpointed.
        best: keeps the best evaluation; checkpointed. None: no best weights are kept.
        baseline: (name, loss) of a trivial answer, shown beside the loss.
        steps_per_epoch: of a training set that ends; None where data is generated, or where epochs
            differ in length.
        data_note: which files are read, and the fingerprint that a resumed run must find again.
        vocabulary: the fingerprint of what the ids stand for, that whoever loads the weights must
            find again; "" where there are none.
        leaves: the names of the files that `leave` writes.
        waited: seconds that this process has waited for batches.
        is_finished: the recipe has reached its end, whatever `--max_steps` says; checkpointed.
    """

    model: Module
    optimizer: Optimizer
    rngs: Mapping[str, np.random.Generator]
    best: Best | None = None
    baseline: tuple[str, float] | None = None
    steps_per_epoch: int | None = None
    data_note: DataNote = DataNote()
    vocabulary: str = ""
    leaves: tuple[str, ...] = ()
    waited: float = 0.0
    is_finished: bool = False

    @abstractmethod
    def loss(self) -> Tensor:
        """Draws the next batch and returns its loss, a Tensor of size 1."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Returns the metrics of the test set; called in eval mode, nothing recorded."""

    def observe(self, step: int, loss: float) -> dict[str, float]:
        """Moves schedules and curricula on after step number `step`.

        Returns:
            The task's own columns of metrics.jsonl for that step.
        """
        return {}

    def epochs_done(self, step: int) -> int | None:
        """How often the training set has been passed through after `step` steps; None: it never is.

        A task whose epochs differ in length overrides it.
        """
        return None if self.steps_per_epoch is None else step // self.steps_per_epoch

    def best_weights(self) -> BestWeights | None:
        """What the test set is evaluated with, and best.h5 holds; None: the model as it is."""
        return None if self.best is None else self.best.kept

    def panels(self, loss: Panel) -> Sequence[Panel]:
        """What curve.png shows, from left to right.

        Args:
            loss: the training loss over the steps.
        """
        return [loss]

    def leave(self, folder: Path) -> None:  # noqa: B027  (most tasks leave nothing)
        """Writes what else a run leaves in its folder; called after evaluate, as that is."""

    def close(self) -> None:  # noqa: B027  (nothing runs in the background of most)
        """Ends what runs in the background."""

    def describe(self) -> list[str]:
        """Lines printed at the start: what the options alone do not say."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What `loss` and `observe` carry from step to step, besides rngs, best and is_finished.

        Returns:
            Nested dicts of arrays and JSON-able values.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what state_dict returned.

        Raises:
            KeyError, TypeError, ValueError: the state is of another task.
        """
        if state:
            raise ValueError(f"{type(self).__name__} has no state, but {', '.join(state)} came")
