"""One side of a comparison in a process of its own: ours or a peer, a step whenever it is asked.

    python -m benchmarks.worker '{"case": ..., "who": ..., ...}'

Apart, neither side leaves the other fragmented memory or threads that still spin.

Ours keeps the memory that it frees, as every experiment does (nnseq.machine.keep_freed_memory); a
peer runs as it comes, or with `kept` "both" under the same setting. Where fresh pages are dear, as
on a virtual machine that gives them back to its host, this decides more than the arithmetic.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import threads
from benchmarks.case import Shape, Step
from benchmarks.peers import OWN_CODE
from nnseq.machine import keep_freed_memory

WARM_UP = 2  # steps


def command(module: str, task: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and environment of a new process that runs benchmarks.<module>."""
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([here, *filter(None, sys.path)])
    arguments = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(task)]
    return arguments, {**os.environ, "PYTHONPATH": path}


class Worker:
    """A running side; use it in a with statement.

    Args:
        task: case (its name), shape, who ("ours" or a peer), device, threads, and kept: who keeps
            freed memory, "ours", "both" or "none".

    Raises:
        RuntimeError: the process failed.
    """

    def __init__(self, **task: Any) -> None:
        self.who = f"{task['case']}: {task['who']}"
        arguments, environment = command("worker", task)
        self.process = subprocess.Popen(
            arguments, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Worker:
        self._answer()  # it is warm
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def seconds(self) -> float:
        """Run one step; return the time it took."""
        assert self.process.stdin
        print("step", file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> float:
        assert self.process.stdout
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.who}: its process ended with code {self.process.wait()}")
        return float(answer)


def main(text: str) -> None:
    """Prepare and warm up one side, then answer every line of standard input with seconds."""
    from benchmarks.cases import chosen

    task = json.loads(text)
    threads.before_imports(task["threads"])
    keep_freed_memory_if(task["kept"], task["who"])
    (case,) = chosen([task["case"]])
    step = case.runner(task["who"])(case.draw(Shape(*task["shape"]), 0), task["device"])
    with threads.pinned(task["threads"]):
        for _ in range(WARM_UP):
            seconds_of(step)
        print(0.0, flush=True)
        for _ in sys.stdin:
            print(seconds_of(step), flush=True)


def keep_freed_memory_if(kept: str | None, who: str) -> None:
    """Let this process keep freed memory if `kept` says so: "ours", "both" or "none".

    None, on a GPU, is as "none".
    """
    if kept == "both" or (kept == "ours" and who in OWN_CODE):
        keep_freed_memory()


def seconds_of(step: Step) -> float:
    """Time one step."""
    gc.collect()
    start = time.perf_counter()
    results = step()
    seconds = time.perf_counter() - start
    del results  # what was computed is freed outside the measured time, for everybody
    return seconds


if __name__ == "__main__":
    main(sys.argv[1])
