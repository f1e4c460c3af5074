"""Schedules: the learning rate from step to step.

    optimizer.lr = schedule.lr          before the step
    schedule.advance()                  after it
    schedule.observe(loss)              after each evaluation; only Plateau listens

A schedule is a few numbers, so that state_dict and load_state_dict continue it exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class Schedule(ABC):
    """A learning rate that depends on the steps done, or on what was observed.

    Attributes:
        lr: the learning rate of the next step.
        num_steps: steps done.
        is_finished: the schedule asks to stop training.
    """

    carried: tuple[str, ...] = ("num_steps",)  # what state_dict holds

    def __init__(self, lr: float) -> None:
        self.base_lr = self._check("lr", lr)
        self.num_steps = 0
        self.is_finished = False

    @property
    @abstractmethod
    def lr(self) -> float:
        """The learning rate of the next step."""

    def advance(self) -> None:
        """Count one step of the optimiser."""
        self.num_steps += 1

    def observe(self, metric: float) -> bool:
        """Take note of an evaluation, lower is better; return whether lr was cut because of it."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return numbers that JSON can hold."""
        return {name: getattr(self, name) for name in self.carried}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what state_dict returned.

        Raises:
            ValueError: the state belongs to another kind of schedule.
        """
        if set(state) != set(self.carried):
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: got {', '.join(sorted(state))}, "
                f"expected {', '.join(sorted(self.carried))}"
            )
        for name, value in state.items():
            setattr(self, name, value)

    def _check(self, name: str, value: float, low: float = 0.0, high: float = math.inf) -> float:
        if not low <= value <= high or not math.isfinite(value):
            raise ValueError(
                f"{type(self).__name__}: {name} is {value}, expected a number from {low} to {high}"
            )
        return value


class Constant(Schedule):
    """lr at every step."""

    @property
    def lr(self) -> float:
        return self.base_lr


class StepDecay(Schedule):
    """lr · factor^⌊n / every⌋ after n steps.

    Args:
        lr: at the start.
        every: steps between two cuts, at least 1.
        factor: in [0, 1].

    Raises:
        ValueError: out of range.
    """

    def __init__(self, lr: float, every: int, factor: float = 0.1) -> None:
        super().__init__(lr)
        self.every = self._check("every", every, 1)
        self.factor = self._check("factor", factor, 0, 1)

    @property
    def lr(self) -> float:
        return float(self.base_lr * self.factor ** (self.num_steps // self.every))


class Cosine(Schedule):
    """From lr down to min_lr along half a cosine, after a linear warm-up.

        lr (n + 1) / warmup                                     n < warmup      (1)
        min_lr + (lr - min_lr)(1 + cos(π (n - warmup) / (total - warmup))) / 2  (2)

    and min_lr from n = total on. Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent
    with warm restarts", arXiv:1608.03983v5, without restarts.

    Args:
        lr: the largest.
        total: steps until min_lr is reached, warm-up included.
        warmup: steps of (1), in [0, total).
        min_lr: the last, in [0, lr].

    Raises:
        ValueError: out of range.
    """

    def __init__(self, lr: float, total: int, warmup: int = 0, min_lr: float = 0.0) -> None:
        super().__init__(lr)
        self.total = self._check("total", total, 1)
        self.warmup = self._check("warmup", warmup, 0, total - 1)
        self.min_lr = self._check("min_lr", min_lr, 0, lr)

    @property
    def lr(self) -> float:
        n = self.num_steps
        if n < self.warmup:
            return self.base_lr * (n + 1) / self.warmup  # (1)
        done = min((n - self.warmup) / (self.total - self.warmup), 1.0)
        return self.min_lr + (self.base_lr - self.min_lr) * self._remaining(done)

    def _remaining(self, done: float) -> float:
        """The part of lr - min_lr that is left when this part of the descent is done."""
        return (1 + math.cos(math.pi * done)) / 2  # (2)


class WarmupLinear(Cosine):
    """As Cosine, but straight down: min_lr + (lr - min_lr)(1 - (n - warmup) / (total - warmup))."""

    def _remaining(self, done: float) -> float:
        return 1 - done


class Plateau(Schedule):
    """Cut lr when the observed metric has stopped improving.

    An observation improves when it is below best - threshold · |best|. After patience observations
    in a row that do not, lr ← lr · factor, and the count starts again.

    Args:
        lr: at the start.
        patience: observations without improvement that are waited for, at least 1.
        factor: in (0, 1).
        min_lr: lr never falls below it.
        stop: instead of holding lr at min_lr, set is_finished at the cut that would pass it.
        threshold: relative improvement that counts, in [0, 1].
        patience_factor: the k-th cut makes patience ⌊patience₀ · patience_factor^k + 1/2⌋, at least
            1; in [0, 1]. IndRNN's recipes use 1/2.
        patience_added: to that, before "at least 1"; at least 0. IndRNN's recipes ask whether the
            count exceeds ⌊ ⌋ before they raise it, and so cut 2 observations later.

    Attributes:
        best: the lowest metric that counted as an improvement; None before the first.
        num_bad: observations since it.

    Raises:
        ValueError: out of range.
    """

    carried = ("num_steps", "current", "best", "num_bad", "num_cuts", "is_finished")

    def __init__(
        self,
        lr: float,
        patience: int,
        factor: float = 0.1,
        *,
        min_lr: float = 0.0,
        stop: bool = False,
        threshold: float = 0.0,
        patience_factor: float = 1.0,
        patience_added: int = 0,
    ) -> None:
        super().__init__(lr)
        self.base_patience = self._check("patience", patience, 1)
        self.factor = self._check("factor", factor, 0, 1)
        if factor in (0, 1):
            raise ValueError(f"Plateau: factor is {factor}, expected a number in (0, 1)")
        self.min_lr = self._check("min_lr", min_lr, 0, lr)
        self.threshold = self._check("threshold", threshold, 0, 1)
        self.patience_factor = self._check("patience_factor", patience_factor, 0, 1)
        self.patience_added = self._check("patience_added", patience_added, 0)
        self.stop = stop
        self.restart(lr)

    @property
    def lr(self) -> float:
        return self.current

    @property
    def patience(self) -> int:
        """Observations waited for now."""
        waited = self.base_patience * self.patience_factor**self.num_cuts
        return max(1, math.floor(waited + 0.5) + int(self.patience_added))

    def restart(self, lr: float) -> None:
        """Begin anew from lr, as at a curriculum's next stage; num_steps goes on.

        Raises:
            ValueError: lr is below min_lr.
        """
        self.current = self._check("lr", lr, self.min_lr)
        self.best: float | None = None
        self.num_bad = self.num_cuts = 0
        self.is_finished = False

    def observe(self, metric: float) -> bool:
        """Take note of an evaluation, lower is better; nan does not improve.

        Returns:
            Was lr cut? Then is the moment to go back to the parameters of the best evaluation.
        """
        if metric < self._to_beat():
            self.best, self.num_bad = float(metric), 0
            return False
        self.num_bad += 1
        if self.num_bad < self.patience or self.is_finished:
            return False
        lower = self.current * self.factor
        if lower < self.min_lr:
            self.is_finished = self.stop
            lower = self.current if self.stop else self.min_lr
        was_cut = lower < self.current
        self.current, self.num_bad = lower, 0
        self.num_cuts += was_cut
        return was_cut

    def _to_beat(self) -> float:
        return math.inf if self.best is None else self.best - self.threshold * abs(self.best)
