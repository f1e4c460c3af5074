"""How many CPUs other work used meanwhile: what a measurement on a shared machine is worth.

Threads that wait for each other in a busy loop, as those of OpenMP in PyTorch do, take ten to a
hundred times as long once another process wants their CPU: beside other work on two CPUs (load
average 1 to 4), torch.nn.LSTM at (T, B, I, H) = (100, 32, 128, 128) took up to 4 s a step with two
threads, and 30 to 70 ms with one. A ratio from such a run says nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
IDLE, IOWAIT, GUEST = 3, 4, 8  # columns of its first line; a guest's time counts as user time too
MANY = 0.1  # CPUs: above it, a row is marked


class Reading(NamedTuple):
    """Seconds until now: by the clock, of CPU time of the whole machine, and of some processes."""

    clock: float
    machine: float
    own: float


def read(processes: Sequence[int]) -> Reading | None:
    """Read the clocks; None where the system has no /proc/stat.

    Args:
        processes: ids of those whose time is not other work.
    """
    if not STAT.exists():
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    columns = [int(word) for word in STAT.read_text(encoding="ascii").split("\n")[0].split()[1:]]
    busy = sum(n for k, n in enumerate(columns[:GUEST]) if k not in (IDLE, IOWAIT))
    own = sum(_ticks(process) for process in processes)
    return Reading(time.perf_counter(), busy / ticks, own / ticks)


def cpus_between(start: Reading | None, end: Reading | None) -> float | None:
    """CPUs that other work used on average, the host's other guests included."""
    if start is None or end is None:
        return None
    others = (end.machine - start.machine) - (end.own - start.own)
    return max(0.0, others / (end.clock - start.clock))


def _ticks(process: int) -> int:
    """User and system time of a process and all its threads."""
    stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    words = stat.rpartition(")")[2].split()  # from the third field on: the second is a name
    return int(words[11]) + int(words[12])
