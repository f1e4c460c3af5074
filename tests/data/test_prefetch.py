"""nnseq.data.prefetch: the same batches, drawn ahead; errors come out, and the thread ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from nnseq.data.batches import Batches
from nnseq.data.prefetch import Prefetch
from tests.child import ENVIRONMENT

SOON = 30  # seconds that no test needs, but for a fault
CHILD = """
import os, threading
from collections import namedtuple
from nnseq.data.batches import Batches
from nnseq.data.prefetch import Prefetch

class Counter(Batches):
    number = epoch = 0
    steps_per_epoch, never, stuck = None, -1, threading.Event()
    def draw(self):
        if self.number == self.never:
            self.stuck.set()
            threading.Event().wait()
        self.number += 1
        return namedtuple("Numbers", "number")(self.number - 1)
    def state_dict(self):
        return {"number": self.number}
    def load_state_dict(self, state):
        self.number = state["number"]

"""


class Numbers(NamedTuple):
    """A batch that says which it is."""

    x: np.ndarray
    number: int


class Counter(Batches):
    """Batch n is n; what the thread does can be watched and held."""

    def __init__(self, start: int = 0) -> None:
        self.number, self.epoch, self.steps_per_epoch = start, 0, 4
        self.drawn: list[np.ndarray] = []
        self.begun: dict[int, threading.Event] = defaultdict(threading.Event)
        self.held: dict[int, threading.Event] = {}
        self.faults: dict[int, BaseException] = {}
        self.furthest = 0

    def draw(self) -> Numbers:
        n = self.number
        self.furthest = max(self.furthest, n)
        self.begun[n].set()
        if n in self.held:
            assert self.held[n].wait(SOON)
        if n in self.faults:
            raise self.faults[n]
        self.drawn.append(np.full(3, n))
        self.number += 1
        self.epoch = self.number // 4
        return Numbers(self.drawn[-1], n)

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.number = int(state["number"])
        self.epoch = self.number // 4


Threads = Callable[[], list[threading.Thread]]


@pytest.fixture(autouse=True)
def prefetching() -> Iterator[Threads]:
    """The threads that the test has running; afterwards there must be none."""
    before = set(threading.enumerate())

    def running() -> list[threading.Thread]:
        new = set(threading.enumerate()) - before
        return [thread for thread in new if thread.name == "prefetch"]

    yield running
    assert not running()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_batches_come_in_order_and_are_the_sources_own(depth: int) -> None:
    source = Counter()
    with Prefetch(source, depth) as prefetch:
        found = [prefetch.draw() for _ in range(20)]
        assert isinstance(found[0], Numbers)
        assert prefetch.steps_per_epoch == 4
        assert prefetch.epoch == 5
    for n, batch in enumerate(found):
        assert batch.number == n
        assert batch.x.tolist() == [n] * 3
        assert batch.x is source.drawn[n]  # not a copy: Batches promises that it is nobody else's


@pytest.mark.parametrize("depth", [1, 3])
def test_the_thread_is_depth_batches_ahead_and_no_more(depth: int) -> None:
    source = Counter()
    with Prefetch(source, depth) as prefetch:
        for asked in range(1, 10):
            prefetch.draw()
            # The batch just drawn has made room for this one:
            assert source.begun[asked + depth - 1].wait(SOON)
            assert source.furthest == asked + depth - 1


def test_nothing_runs_before_the_first_draw(prefetching: Threads) -> None:
    source = Counter(7)
    prefetch = Prefetch(source)
    assert not prefetching()
    assert prefetch.state_dict() == {"number": 7}
    prefetch.close()
    assert source.number == 7


def test_the_state_is_that_after_the_last_batch_handed_out() -> None:
    source = Counter()
    with Prefetch(source, 3) as prefetch:
        for n in range(6):
            assert prefetch.state_dict() == {"number": n}
            assert prefetch.epoch == n // 4
            prefetch.draw()
            source.begun[n + 3].wait(SOON)  # the source itself is further
    assert source.number == 6
    assert source.epoch == 1
    assert source.draw().number == 6


def test_loading_a_state_while_the_thread_draws_gives_the_batches_of_that_state(
    prefetching: Threads,
) -> None:
    source = Counter()
    gate = source.held[4] = threading.Event()
    with Prefetch(source) as prefetch:
        for _ in range(3):
            prefetch.draw()
        assert source.begun[4].wait(SOON)
        threading.Timer(0.05, gate.set).start()
        prefetch.load_state_dict({"number": 1})
        assert prefetch.state_dict() == {"number": 1}
        assert [prefetch.draw().number for _ in range(5)] == [1, 2, 3, 4, 5]
        assert len(prefetching()) == 1


def test_a_state_that_the_source_refuses_changes_nothing() -> None:
    with Prefetch(Counter()) as prefetch:
        prefetch.draw()
        with pytest.raises(KeyError, match="number"):
            prefetch.load_state_dict({"other": 3})
        assert prefetch.state_dict() == {"number": 1}
        assert prefetch.draw().number == 1


@pytest.mark.parametrize("fault", [OSError("the disk"), SystemExit(3)])
def test_an_error_of_the_thread_comes_out_in_its_turn(
    fault: BaseException, prefetching: Threads
) -> None:
    source = Counter()
    source.faults[2] = fault
    with Prefetch(source, 4) as prefetch:
        assert [prefetch.draw().number for _ in range(2)] == [0, 1]
        for _ in range(2):  # asked again, the source fails again
            with pytest.raises(type(fault), match=str(fault)):
                prefetch.draw()
            assert not prefetching()
            assert prefetch.state_dict() == {"number": 2}
        source.faults.clear()
        assert [prefetch.draw().number for _ in range(3)] == [2, 3, 4]


def test_close_ends_the_thread_even_if_it_is_in_a_draw(prefetching: Threads) -> None:
    source = Counter()
    gate = source.held[1] = threading.Event()
    prefetch = Prefetch(source)
    prefetch.draw()
    assert source.begun[1].wait(SOON)
    threading.Timer(0.05, gate.set).start()
    prefetch.close()
    assert not prefetching()
    prefetch.close()
    assert prefetch.state_dict() == {"number": 1}
    for call in (prefetch.draw, lambda: prefetch.load_state_dict({"number": 0})):
        with pytest.raises(RuntimeError, match=r"Prefetch: \w+\(\) after close\(\), expected"):
            call()


def test_a_prefetch_that_is_forgotten_takes_its_thread_with_it(prefetching: Threads) -> None:
    source = Counter()
    prefetch = Prefetch(source)
    prefetch.draw()
    assert source.begun[2].wait(SOON)
    (thread,) = prefetching()
    del prefetch
    gc.collect()
    thread.join(SOON)
    assert not thread.is_alive()


def test_loading_often_leaves_one_thread_and_none_of_the_batches_of_before(
    prefetching: Threads,
) -> None:
    with Prefetch(Counter()) as prefetch:
        for n in range(30):
            prefetch.load_state_dict({"number": 5 * n})
            assert prefetch.draw().number == 5 * n
            assert len(prefetching()) == 1


def test_waited_counts_waiting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Counter()
    gate = source.held[1] = threading.Event()
    readings = iter([10.0, 13.5])

    def clock() -> float:
        # The first reading is taken when draw() has found no batch: only then may there be one.
        gate.set()
        return next(readings)

    prefetch = Prefetch(source)
    prefetch.draw()  # starts the thread, and waits for it
    assert source.begun[1].wait(SOON)
    prefetch.waited = 0.0
    monkeypatch.setattr("nnseq.data.prefetch.perf_counter", clock)
    assert prefetch.draw().number == 1
    assert prefetch.waited == 3.5
    # Batch 4 begins when 2 and 3 are there: nothing is left to wait for, and no clock is read.
    for n in (2, 3, 4, 5):
        assert source.begun[n + 1].wait(SOON)
        assert prefetch.draw().number == n
    assert prefetch.waited == 3.5
    assert next(readings, None) is None
    prefetch.close()


def test_the_interpreter_exits_while_the_thread_is_in_a_draw_that_never_ends() -> None:
    script = """
source = Counter()
source.never = 2
prefetch = Prefetch(source)
prefetch.draw(), prefetch.draw()
source.stuck.wait()
print("leaving")
"""
    done = _child(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_the_interpreter_exits_while_the_thread_waits_or_draws() -> None:
    script = """
kept = [Prefetch(Counter(), depth) for depth in (1, 2, 1000000)]
for prefetch in kept:
    prefetch.draw()
print("leaving")
"""
    done = _child(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_a_forked_process_is_refused_and_does_not_hang() -> None:
    script = """
prefetch = Prefetch(Counter())
prefetch.draw()
child = os.fork()
for call in (prefetch.draw, lambda: prefetch.load_state_dict({"number": 0})) if not child else ():
    try:
        call()
    except RuntimeError as error:
        print(error, flush=True)
if child:
    os.waitpid(child, 0)
    print(prefetch.draw().number)
prefetch.close()
"""
    done = _child(script, "-W", "ignore::DeprecationWarning")
    assert (done.returncode, done.stderr) == (0, "")
    refused, also, drawn = done.stdout.splitlines()
    assert refused.startswith("Prefetch: draw() in a process forked while the thread ran, expected")
    assert also.startswith("Prefetch: load_state_dict() in a process forked")
    assert drawn == "1"


@pytest.mark.parametrize(
    ("batches", "depth", "error", "message"),
    [
        (iter([]), 2, TypeError, "batches is a list_iterator, expected Batches"),
        (Counter(), 0, ValueError, "depth is 0, expected at least 1"),
        (Counter(), 1.5, TypeError, "depth is 1.5, expected a whole number"),
    ],
)
def test_what_cannot_be_prefetched_is_refused(
    batches: Any, depth: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^Prefetch: {message}$"):
        Prefetch(batches, depth)


def _child(script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", CHILD + script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
