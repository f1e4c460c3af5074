"""What a planted bug or correct kernel is: its launch, what it computes, who must object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
N = 64  # default number of elements


def ramp(n: int = N) -> np.ndarray[Any, Any]:
    """(n,) float32: 1, 2, ... so that no two elements are alike and none is zero."""
    return np.arange(1, n + 1, dtype=np.float32)


def unset(n: int = N) -> np.ndarray[Any, Any]:
    """(n,) float32 output full of NaN: an element that is not written shows."""
    return np.full(n, np.nan, np.float32)


def usual() -> list[Any]:
    """The arguments (x, y, n) of most cases."""
    return [ramp(), unset(), np.int32(N)]


@dataclass(frozen=True)
class Case:
    """One launch.

    `caught` says which mode must object and with what words (a regular expression over what the
    mode reported): "fast" for an exception or, with "wrong", a wrong value in one of the orders;
    "asan" and "tsan" for a report, which must also name a line that the source marks with `BUG`.
    A case with an empty `caught` is correct: no mode may object.
    `result` returns what argument number `output` should hold after the launch; None: the case is
    one that a mode must report, so there is no right result.
    """

    kernel: str
    source: str  # stem of the .cu beside this file
    caught: Mapping[str, str] = field(default_factory=dict)
    arguments: Callable[[], list[Any]] = usual
    grid: tuple[int, ...] = (1,)
    block: tuple[int, ...] = (N,)
    result: Callable[[list[Any]], Any] | None = None
    output: int = 1
    shared_mem: int = 0
    cooperative: bool = False
    names: tuple[str, ...] = ()  # name expressions
    label: str = ""  # where one kernel serves several cases

    @property
    def name(self) -> str:
        return self.label or self.kernel

    @property
    def path(self) -> Path:
        return HERE / f"{self.source}.cu"

    def marked_lines(self) -> set[int]:
        """The lines between this kernel's header and the next one's that carry the word BUG."""
        mine, marked = False, set()
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            if line.startswith('extern "C"'):
                mine = f" {self.kernel}(" in line
            if mine and "// BUG" in line:
                marked.add(number)
        return marked
