"""How far a long task is: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

PIPE_SECONDS = 10.0  # between two lines about one file in a pipe


class Meter:
    """Shows on standard output how much of something is done.

    Args:
        name: what is done.
        unit: what is counted.
    """

    def __init__(self, name: str, unit: str = "bytes") -> None:
        self.name, self.unit = name, unit
        self.at = 0
        self.total: int | None = None
        self._bar: Any = None
        self._said = time.monotonic()

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, at: int, total: int | None) -> None:
        """`at` of them are done; `total` is None where nobody knows."""
        self.at, self.total = at, total
        if self._bar is None and sys.stderr.isatty() and sys.stdout.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self.name, unit=f" {self.unit}", unit_scale=True, dynamic_ncols=True
            )
        if self._bar is not None:
            self._bar.total, self._bar.n = total, at
            self._bar.refresh()

    def move(self, n: int) -> None:
        """n more are done."""
        self.at += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._said >= PIPE_SECONDS:
            of = f" of {self.total:,}" if self.total else ""
            self.say(f"{self.name}: {self.at:,}{of} {self.unit}")

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        self._said = time.monotonic()
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)
