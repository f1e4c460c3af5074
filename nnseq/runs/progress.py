"""What a run says while it runs: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any


class Progress:
    """Shows steps and lines on standard output.

    Args:
        step: steps already done.
        last_step: where the run ends; math.inf if only the recipe knows.
    """

    def __init__(self, step: int, last_step: float) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() and sys.stdout.isatty():
            from tqdm import tqdm

            total = None if math.isinf(last_step) else int(last_step)
            self._bar = tqdm(total=total, initial=step, unit="step", dynamic_ncols=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def lines(self, texts: Iterable[str]) -> None:
        """Prints lines, above the bar if there is one."""
        for text in texts:
            if self._bar is not None:
                self._bar.write(text)
            else:
                print(text, flush=True)

    def step(self, loss: float) -> None:
        """Moves the bar by one step."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self._bar.update()


def as_text(row: Mapping[str, Any], baseline: tuple[str, float] | None) -> str:
    """One row of metrics.jsonl as a line for people."""
    parts = []
    for name, value in row.items():
        if name == "seconds":
            continue
        parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
        if name == "loss" and baseline is not None:
            parts.append(f"({baseline[0]} {baseline[1]:.4f})")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])
