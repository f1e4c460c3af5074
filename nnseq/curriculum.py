"""A curriculum over the length of sequences: short ones first, each with its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Curriculum:
    """Grows T from stage to stage until it is the target.

        T_0 = start,  T_{k+1} = min(⌊growth · T_k⌋, target)                          (1)
        lr at the beginning of a stage = lr_0 · (start / T_k)^power                  (2)
        mean loss of a window of `window` steps ≤ threshold: next stage              (3)
        no window below 0.9 · the best for `patience` windows: lr ← lr · cut         (4)

    One step of the optimiser moves a sum of T terms, so the noise of the loss grows with T and the
    learning rate must fall: (2) is the coarse rule, (4) finds the rest. The last stage ends the run
    by (3), or when (4) would take lr below min_lr.

    Args:
        target: T of the task.
        lr: lr_0.
        start, growth, power, window, threshold, patience, cut, min_lr: as above.

    Attributes:
        T, lr: of the next step.
        stage: k.
        is_finished: the last stage has ended.
    """

    carried = ("T", "lr", "stage", "is_finished", "total", "count", "best", "num_bad")

    def __init__(
        self,
        target: int,
        lr: float,
        *,
        start: int = 50,
        growth: float = 2.2,
        power: float = 1.1,
        window: int = 50,
        threshold: float = 1e-3,
        patience: int = 4,
        cut: float = 0.5,
        min_lr: float = 1e-7,
    ) -> None:
        self.target, self.lr_0, self.start = target, lr, start
        self.growth, self.power, self.window, self.threshold = growth, power, window, threshold
        self.patience, self.cut, self.min_lr = patience, cut, min_lr
        self.is_finished = False
        self.total, self.count, self.num_bad = 0.0, 0, 0
        self.best: float | None = None
        self._begin(0, min(start, target))

    def observe(self, loss: float) -> bool:
        """Takes note of one training step's loss; returns whether T changed."""
        self.total, self.count = self.total + loss, self.count + 1
        if self.count < self.window:
            return False
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        if mean <= self.threshold:  # (3)
            return self._advance()
        if self.best is None or mean < 0.9 * self.best:
            self.best, self.num_bad = mean, 0
            return False
        self.num_bad += 1
        if self.num_bad >= self.patience:  # (4)
            self.num_bad = 0
            if self.lr * self.cut < self.min_lr:
                return self._advance()
            self.lr *= self.cut
        return False

    def describe(self) -> str:
        """Where it is, for people."""
        return f"stage {self.stage}, T = {self.T}, lr {self.lr:.3g}"

    def state_dict(self) -> dict[str, Any]:
        """The numbers that the next step depends on."""
        return {name: getattr(self, name) for name in self.carried}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what state_dict returned.

        Raises:
            KeyError: the state belongs to something else.
        """
        for name in self.carried:
            setattr(self, name, state[name])

    def _advance(self) -> bool:
        if self.target == self.T:
            self.is_finished = True
            return False
        self._begin(self.stage + 1, min(int(self.growth * self.T), self.target))  # (1)
        return True

    def _begin(self, stage: int, T: int) -> None:
        self.stage, self.T = stage, T
        self.lr = self.lr_0 * (min(self.start, self.target) / T) ** self.power  # (2)
        self.total, self.count, self.num_bad, self.best = 0.0, 0, 0, None
