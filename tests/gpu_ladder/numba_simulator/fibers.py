"""CUDA threads as greenlets: barriers and warps, with the errors that a GPU does not report."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

ORDERS = ("forward", "reverse", "random")
FULL_MASK = 0xFFFFFFFF
WARP = 32


class SimulatorError(RuntimeError):
    """What a GPU leaves undefined: a divergent barrier, a missing lane, a deadlock."""


class Waiting(NamedTuple):
    """Where a thread is parked, and what it brought."""

    group: str  # "syncthreads", "grid.sync" or the name of a warp intrinsic
    line: int
    mask: int = 0
    value: Any = None
    argument: int = 0


class Simulator:
    """The installed simulator: in which order threads run, and which one is running."""

    def __init__(self) -> None:
        self.order = "forward"
        self.seed = 0
        self.current: Fiber | None = None
        self.scheduler: greenlet | None = None

    def running(self) -> Fiber:
        """The CUDA thread that is running."""
        if self.current is None:
            raise SimulatorError("cuda intrinsics exist only inside a running kernel")
        return self.current


class Fiber:
    """One CUDA thread; has the attributes that numba's own BlockThread has."""

    def __init__(self, simulator: Simulator, block: Block, index: Any, number: int) -> None:
        self.simulator, self.block = simulator, block
        self.threadIdx, self.blockIdx = index, block.index
        self.thread_id = number
        self.lane, self.warp = number % WARP, number // WARP
        self.waiting: Waiting | None = None
        self.result: Any = None
        self.greenlet: greenlet | None = None

    @property
    def done(self) -> bool:
        return self.greenlet is not None and self.greenlet.dead

    def park(self, group: str, mask: int = 0, value: Any = None, argument: int = 0) -> Any:
        """Waits until the group is complete, and returns what it gives this thread."""
        assert self.simulator.scheduler is not None
        self.waiting = Waiting(group, users_line(), mask, value, argument)
        self.simulator.scheduler.switch()
        return self.result

    def meet_lanes(self, name: str, mask: int, value: Any = None, argument: int = 0) -> Any:
        mask = int(mask) & FULL_MASK
        if not mask >> self.lane & 1:
            raise SimulatorError(
                f"{name} at line {users_line()}: lane {self.lane} is not in mask {mask:#x}"
            )
        return self.park(name, mask, value, argument)

    def syncthreads(self) -> None:
        self.park("syncthreads")

    def syncthreads_count(self, value: Any) -> int:
        return sum(self.park("syncthreads", value=bool(value)))

    def syncthreads_and(self, value: Any) -> int:
        return int(all(self.park("syncthreads", value=bool(value))))

    def syncthreads_or(self, value: Any) -> int:
        return int(any(self.park("syncthreads", value=bool(value))))


class Block:
    """One CUDA block: its threads and its shared memory."""

    def __init__(self, simulator: Simulator, index: Any, block_dim: Any, shared: Any) -> None:
        self.index, self.shared = index, shared
        dim3 = type(index)
        x, y, z = block_dim
        places = [(i, j, k) for k in range(z) for j in range(y) for i in range(x)]  # x is fastest
        self.fibers = [Fiber(simulator, self, dim3(*at), n) for n, at in enumerate(places)]

    def release(self) -> bool:
        """Lets go every group that is complete; says whether there was one."""
        return self._release_barrier() or self._release_warps()

    def _release_barrier(self) -> bool:
        arrived = [f for f in self.fibers if f.waiting and f.waiting.group == "syncthreads"]
        if not arrived:
            return False
        lines = sorted({f.waiting.line for f in arrived if f.waiting})
        if len(lines) > 1:
            raise SimulatorError(f"divergent barrier: syncthreads at lines {lines}")
        if any(f.done for f in self.fibers):
            raise SimulatorError(
                f"a thread returned while others wait at syncthreads, line {lines[0]}"
            )
        if len(arrived) < len(self.fibers):
            return False
        votes = [f.waiting.value for f in arrived if f.waiting]
        for f in arrived:
            f.waiting, f.result = None, votes
        return True

    def _release_warps(self) -> bool:
        groups: dict[tuple[int, int], list[Fiber]] = {}
        for f in self.fibers:
            if f.waiting and f.waiting.mask:
                groups.setdefault((f.warp, f.waiting.mask), []).append(f)
        released = False
        for (warp, mask), arrived in groups.items():
            where = sorted({(f.waiting.group, f.waiting.line) for f in arrived if f.waiting})
            if len(where) > 1:
                raise SimulatorError(f"divergent warp intrinsics under mask {mask:#x}: {where}")
            name, line = where[0]
            needed = [f for f in self.fibers if f.warp == warp and mask >> f.lane & 1]
            if any(f.done for f in needed):
                raise SimulatorError(f"{name} at line {line}: mask {mask:#x} names a returned lane")
            if len(arrived) == len(needed):
                _answer(name, line, arrived)
                released = True
        return released


SOURCE_LANE: dict[str, Callable[[int, int], int]] = {
    "shfl_sync": lambda lane, source: source % WARP,
    "shfl_xor_sync": lambda lane, bits: lane ^ bits,
    "shfl_up_sync": lambda lane, delta: lane - delta,
    "shfl_down_sync": lambda lane, delta: lane + delta,
}
VOTE: dict[str, Callable[[dict[int, Any]], Any]] = {
    "ballot_sync": lambda votes: sum(1 << lane for lane, vote in votes.items() if vote),
    "any_sync": lambda votes: any(votes.values()),
    "all_sync": lambda votes: all(votes.values()),
    "eq_sync": lambda votes: len({bool(vote) for vote in votes.values()}) == 1,
    "syncwarp": lambda votes: None,
}


def _answer(name: str, line: int, lanes: list[Fiber]) -> None:
    """Gives each lane of a complete warp intrinsic its result."""
    waiting = {f.lane: f.waiting for f in lanes if f.waiting}
    values = {lane: w.value for lane, w in waiting.items()}
    for f in lanes:
        if name in VOTE:
            f.result = VOTE[name](values)
        else:
            source = SOURCE_LANE[name](f.lane, int(waiting[f.lane].argument))
            if not 0 <= source < WARP:
                source = f.lane
            if source not in values:
                raise SimulatorError(f"{name} at line {line}: lane {source} takes no part")
            f.result = values[source]
    for f in lanes:
        f.waiting = None


def run_grid(simulator: Simulator, blocks: list[Block], body: Callable[[], None]) -> None:
    """Runs blocks one after another; those that wait at a grid barrier go on when all have come."""
    chance = random.Random(simulator.seed)
    simulator.scheduler = getcurrent()
    for block in blocks:
        for fiber in block.fibers:
            fiber.greenlet = greenlet(body, simulator.scheduler)
    blocks = _in_order(blocks, simulator.order, chance)
    while True:
        for block in blocks:
            _run_block(simulator, block, chance)
        fibers = [f for block in blocks for f in block.fibers]
        live = [f for f in fibers if not f.done]
        if not live:
            return
        at = Counter((f.waiting.group, f.waiting.line) for f in live if f.waiting)
        if any(group != "grid.sync" for group, _ in at):
            raise SimulatorError(f"deadlock: {_listed(at)}")
        if len(at) > 1:
            raise SimulatorError(f"divergent grid barrier: {_listed(at)}")
        if len(live) < len(fibers):
            raise SimulatorError(f"a thread returned while others wait: {_listed(at)}")
        for f in live:
            f.waiting = None


def _run_block(simulator: Simulator, block: Block, chance: random.Random) -> None:
    """Runs the threads of one block until none can go on."""
    while True:
        ran = False
        for fiber in _in_order(block.fibers, simulator.order, chance):
            if fiber.done or fiber.waiting:
                continue
            ran = True
            simulator.current = fiber
            assert fiber.greenlet is not None
            try:
                fiber.greenlet.switch()
            except Exception as error:
                at = f"tid={list(fiber.threadIdx)} ctaid={list(fiber.blockIdx)}"
                raise type(error)(f"{at}: {error}") from error
            finally:
                simulator.current = None
        if not block.release() and not ran:
            return


def _in_order(items: list[Any], order: str, chance: random.Random) -> list[Any]:
    if order not in ORDERS:
        raise ValueError(f"simulator: order is {order!r}, expected one of {ORDERS}")
    if order == "random":
        return chance.sample(items, len(items))
    return items[::-1] if order == "reverse" else items


def _listed(at: Counter[tuple[str, int]]) -> str:
    return ", ".join(f"{n} threads at {group} (line {line})" for (group, line), n in at.items())


def users_line() -> int:
    """The line of the kernel that called the intrinsic: the first frame outside the simulator."""
    frame = sys._getframe(1)
    while frame.f_back and (
        Path(frame.f_code.co_filename).parent.name in ("simulator", "numba_simulator")
    ):
        frame = frame.f_back
    return frame.f_lineno
