"""Case: one thing to measure, at some shapes, done by us and by peers from the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.machine import Limits

Arrays = Mapping[str, Any]  # name -> numpy.ndarray: the inputs
Results = Mapping[str, Any]  # name -> an array of whichever library: what is compared
Step = Callable[[], Results]  # the work that is timed
Prepare = Callable[[Arrays, str], Step]  # (inputs, device) -> step; copies to the device, untimed


class Shape(NamedTuple):
    """T steps, B sequences, I inputs, H hidden units, L layers."""

    T: int
    B: int
    I: int
    H: int
    L: int = 1


@dataclass(frozen=True)
class Case:
    """What run.py needs to know of one case.

    Args:
        name: what --only takes.
        does: one line for the table: what is inside the measured time.
        shapes: measured, in time and in memory.
        quick_shapes: instead of shapes under --quick.
        draw: (shape, seed) -> the inputs; the same arrays go to everybody.
        ours: our step.
        peers: peer -> its step; "reference" is ours with the kernels switched off.
        limit: (shape, limits) -> name -> seconds that the machine needs at least; "warm" and
            "fresh" say into which memory the results are written.
        model_bytes: what any implementation must hold; the yardstick of the peak.
        tolerance: norm of the difference of a result, relative to the norm of the peer's array.
        compared_steps: how many first steps are compared; several where a step changes state.
    """

    name: str
    does: str
    shapes: tuple[Shape, ...]
    quick_shapes: tuple[Shape, ...]
    draw: Callable[[Shape, int], Arrays]
    ours: Prepare
    peers: Mapping[str, Prepare]
    limit: Callable[[Shape, Limits], Mapping[str, float]]
    model_bytes: Callable[[Shape], int]
    tolerance: float = 1e-3  # a unit whose kink of relu rounding decides alone is worth 1e-4
    compared_steps: int = 1

    def runner(self, who: str) -> Prepare:
        """The step of "ours" or of a peer."""
        return self.ours if who == "ours" else self.peers[who]
