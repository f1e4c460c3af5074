"""Leaving a run in good order when somebody asks for it: Ctrl-C, kill, a time limit."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818  (nothing went wrong)
    """A run was asked to leave; `code` is the exit code that says by which signal (130 or 143)."""

    def __init__(self, number: int) -> None:
        super().__init__(f"left because of {signal.Signals(number).name}")
        self.code = 128 + number


class Interrupts:
    """Inside the block SIGINT and SIGTERM do not kill.

    While `deferred` is True the first signal is only noted, in `received`, so that a training step
    can be finished and saved; otherwise it raises Interrupted. A second SIGINT leaves at once:
    nothing is lost by that, because checkpoints are written atomically.
    """

    def __init__(self) -> None:
        self.deferred = False
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_received(self) -> None:
        """Raises Interrupted if a signal came while they were deferred."""
        if self.received:
            raise Interrupted(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            os._exit(128 + number)
        self.received = self.received or number
        if not self.deferred:
            raise Interrupted(number)
