"""A curriculum over the length of sequences: each length until it is solved, then twice that."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any


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
