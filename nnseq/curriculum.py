"""The length of sequences in training: full from the start, or grown with what is solved.

Why an IndRNN needs a curriculum for the adding problem (experiments/adding.py). One step of the
optimiser moves a sum of T terms, so at T = 5000 its noise drowns the gradient. Two things cure it:

- T doubles from 50 to its target whenever the mean of 50 losses is below 0.001, and at the end lr
  falls linearly to 0 in 1,000 steps: `Curriculum`. What layer 1 of an IndRNN lets through between
  the markers is what grows with T, and a length that is really solved leaves little of it: promoted
  at 0.005, with half the lr and 400 last steps, 5 of 8 seeds ended above 0.001.
- u and b of the last layer learn at lr 50 / T: they act T times on each answer, the other weights
  at the markers only: `enter_stage`. Without it for u, two seeds stuck at T = 800; for b, at
  T = 1600.

Input and readout weights begin at N(0, in2hid_std²): small ones leave few units active, so few
leaks. At T = 1000, 128 units reach what 32 do in eight times the time. The recipe was chosen on
seeds 0 to 9; 10 to 12 at T = 5000 and 10 to 24 at T = 500 confirmed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from nnseq.models.indrnn_plain import PlainIndRNNBody
from nnseq.models.last_step_readout import LastStepReadout
from nnseq.optim.optimizer import Optimizer
from nnseq.optim.schedule import Plateau


class Curriculum:
    """Grows T from stage to stage until it is the target; at the target lr falls to 0.

        T_0 = min(start, target),  T_{k+1} = min(2 T_k, target)                          (1)
        a stage is solved when the mean of its last `window` losses is below `threshold`,   (2)
        or after `patience` steps
        lr of the n-th step after the target is solved: lr_0 · (1 - n / final)          (3)

    Args:
        target: T of the task.
        lr: lr_0, the learning rate until (3).
        start, window, threshold, patience, final: as above.

    Attributes:
        T, lr: of the next step.
        is_finished: (3) has reached 0.
    """

    def __init__(
        self,
        target: int,
        lr: float,
        *,
        start: int = 50,
        window: int = 50,
        threshold: float = 1e-3,
        patience: int = 20_000,
        final: int = 1000,
    ) -> None:
        self.target, self.lr_0 = target, lr
        self.window, self.threshold = window, threshold
        self.patience, self.final = patience, final
        self.T = self.start = min(start, target)
        self.steps = 0  # in this stage, before it was solved
        self.n = 0  # since the target was solved
        self.is_solved = False  # the target
        self.losses: deque[float] = deque(maxlen=window)

    @property
    def lr(self) -> float:
        return self.lr_0 * (1 - self.n / self.final)  # (3)

    @property
    def is_finished(self) -> bool:
        return self.n == self.final

    def observe(self, loss: float) -> bool:
        """Takes note of one training step's loss; returns whether T changed."""
        if self.is_solved:
            self.n += 1
            return False
        self.steps += 1
        self.losses.append(loss)
        below = len(self.losses) == self.window and sum(self.losses) / self.window < self.threshold
        if not below and self.steps < self.patience:  # (2)
            return False
        self.steps = 0
        self.losses.clear()
        self.is_solved = self.target == self.T
        self.T = min(2 * self.T, self.target)  # (1)
        return not self.is_solved

    def describe(self) -> str:
        """The rule, and where it is, for people."""
        return (
            f"T doubles from {self.start} to {self.target} whenever the mean of {self.window} "
            f"losses is below {self.threshold:g}; then lr falls from {self.lr_0:g} to 0 in "
            f"{self.final} steps; now T = {self.T}"
        )

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on."""
        return {
            "T": self.T,
            "steps": self.steps,
            "n": self.n,
            "is_solved": self.is_solved,
            "losses": list(self.losses),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what state_dict returned.

        Raises:
            KeyError: the state belongs to something else.
        """
        self.T, self.steps, self.n = state["T"], state["steps"], state["n"]
        self.is_solved = state["is_solved"]
        self.losses = deque(state["losses"], maxlen=self.window)


class FullLength(Plateau):
    """Trains on T steps throughout, and divides lr by 10 when 200 evaluations bring nothing better.

    It is finished at the division that would pass 1e-6: the recipe of Li et al. 2018,
    "Independently recurrent neural network", arXiv:1803.04831v3, for the adding problem.

    Args:
        T: of the task.
        lr: at the start.
    """

    def __init__(self, T: int, lr: float) -> None:
        super().__init__(lr, 200, 0.1, min_lr=min(1e-6, lr), stop=True)
        self.T = T

    def describe(self) -> str:
        """The rule, for people."""
        return f"T = {self.T}, lr {self.lr:g}, divided by 10 on plateaus"


def enter_stage(curriculum: Curriculum, model: LastStepReadout, optimizer: Optimizer) -> None:
    """Bounds |u| for the curriculum's T, and slows down what the last layer sums over T steps.

    Args:
        model: its body is a PlainIndRNNBody.

    Raises:
        TypeError: another body.
    """
    body = model.body
    if not isinstance(body, PlainIndRNNBody):
        raise TypeError(
            f"enter_stage: the body is a {type(body).__name__}, expected a PlainIndRNNBody: a "
            f"curriculum bounds its u, and slows down its last layer"
        )
    body.set_seq_len(curriculum.T)
    last = len(body.layers) - 1
    for name in ("u", "b"):
        optimizer.set_lr_factor(f"body.layers.{last}.rnn.{name}", curriculum.start / curriculum.T)
