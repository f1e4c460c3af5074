"""Which sequences are recorded, replayed and forgotten."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from nnseq_kernels.graphs import REMEMBERED, Graphs


class Log:
    """A sequence that notes what happens to it."""

    def __init__(self, events: list[str], name: str) -> None:
        self.events, self.name = events, name

    def run(self) -> None:
        self.events.append(f"run {self.name}")


class Calls:
    """Asks for sequences by name, and runs them."""

    def __init__(self, limit: int) -> None:
        self.graphs, self.events = Graphs(limit), list[str]()
        self.made: weakref.WeakSet[Log] = weakref.WeakSet()

    def build(self, name: str) -> Log:
        log = Log(self.events, name)
        self.made.add(log)
        self.events.append(f"build {name}")
        return log

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        self.events.append("record")
        return lambda: self.events.append("replay")

    def __call__(self, *names: str) -> list[str]:
        """What asking for these in turn did."""
        self.events.clear()
        for name in names:
            _, run = self.graphs.sequence(name, lambda name=name: self.build(name), self.record)
            run()
        return list(self.events)


def test_the_first_call_runs_the_second_records_and_later_ones_replay() -> None:
    calls = Calls(limit=2)
    assert calls("a") == ["build a", "run a"]
    assert calls("a") == ["build a", "record", "replay"]
    assert calls("a", "a") == ["replay", "replay"]
    assert calls("b") == ["build b", "run b"]


def test_the_sequence_used_longest_ago_is_forgotten_first_and_its_memory_freed() -> None:
    calls = Calls(limit=2)
    calls("a", "a", "b", "b", "a")
    assert calls("c", "c") == ["build c", "run c", "build c", "record", "replay"]
    assert len(calls.graphs) == 2
    gc.collect()
    assert {log.name for log in calls.made} == {"a", "c"}
    assert calls("a", "c") == ["replay", "replay"]
    with pytest.warns(RuntimeWarning, match="Set NNSEQ_CUDA_GRAPHS=3 or more"):
        assert calls("b") == ["build b", "record", "replay"]  # it came before
    assert calls("a", "b", "c") == [
        "build a",
        "record",
        "replay",
        "replay",
        "build c",
        "record",
        "replay",
    ]
    calls.graphs.clear()
    gc.collect()
    assert (len(calls.graphs), len(calls.made)) == (0, 0)


def test_what_came_once_is_forgotten_too() -> None:
    calls = Calls(limit=1)
    calls("a", *map(str, range(REMEMBERED)))
    assert calls("a") == ["build a", "run a"]


def test_a_first_run_that_failed_does_not_count() -> None:
    calls = Calls(limit=1)
    log = calls.build("a")

    def fails() -> None:
        raise RuntimeError("no compiler")

    log.run = fails  # type: ignore[method-assign]
    _, run = calls.graphs.sequence("a", lambda: log, calls.record)
    with pytest.raises(RuntimeError, match="no compiler"):
        run()
    assert calls("a", "a") == ["build a", "run a", "build a", "record", "replay"]


def test_a_failed_recording_keeps_nothing() -> None:
    calls = Calls(limit=1)

    def fails(run: Callable[[], None]) -> Any:
        raise RuntimeError("no capture")

    calls("a")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no capture"):
            calls.graphs.sequence("a", lambda: calls.build("a"), fails)
        assert len(calls.graphs) == 0
    assert calls("a") == ["build a", "record", "replay"]
