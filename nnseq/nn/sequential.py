"""Sequential: modules and functions one after another."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq.nn.module import Module


class Sequential(Module):
    """y = f_n(... f_2(f_1(x))).

    Args:
        steps: modules, named "0", "1", ... by their place, and plain functions of one array, such
            as nnseq.ops.relu, which keep no parameters. A recurrent layer does not fit: it returns
            a pair.

    Raises:
        TypeError: a step that cannot be called.
    """

    def __init__(self, *steps: Module | Callable[[Any], Any]) -> None:
        self.length = len(steps)
        for i, step in enumerate(steps):
            if not callable(step):
                raise TypeError(
                    f"Sequential: step {i} is a {type(step).__name__}, expected a module or "
                    f"a function"
                )
            setattr(self, str(i), step)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if not -self.length <= index < self.length:
            raise IndexError(f"Sequential: got index {index}, expected one of {self.length} steps")
        return getattr(self, str(index % self.length))

    def forward(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Run all steps; those that take an rng get it."""
        for i in range(self.length):
            step = self[i]
            takes = inspect.signature(step.forward).parameters if isinstance(step, Module) else ()
            x = step(x, rng=rng) if "rng" in takes else step(x)
        return x
