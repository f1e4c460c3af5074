"""Numbers that are not finite stop a run, and are named: the first array that holds one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from nnseq.backend import Array, array_module
from nnseq.nn.module import Module

KEPT = "the checkpoint of before is kept; lower --lr or bound the gradients with --clip_norm"


class NonFiniteError(ArithmeticError):
    """A loss, gradient or parameter is nan or infinite; the message names the first."""


def check_numbers(where: str, numbers: Mapping[str, float], cure: str) -> None:
    """Refuses the first number that is not finite.

    Raises:
        NonFiniteError: there is one.
    """
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{where}: {name} is {value}; {cure}")


def bad_parameter(model: Module) -> str:
    """Names the first parameter that holds nan or infinity; "" if there is none."""
    return _first("parameter", ((name, p.data) for name, p in model.named_parameters()))


def bad_gradient(model: Module) -> str:
    """Names the first parameter whose gradient holds nan or infinity; "" if there is none."""
    gradients = ((name, p.grad) for name, p in model.named_parameters())
    return _first("gradient of", ((name, x) for name, x in gradients if x is not None))


def _first(what: str, arrays: Iterable[tuple[str, Array]]) -> str:
    for name, x in arrays:
        finite = array_module(x).isfinite(x)
        if not finite.all():
            entries = f"{int(x.size - finite.sum())} of {x.size} entries"
            return f"the first array that is not finite is the {what} {name}: {entries}"
    return ""
