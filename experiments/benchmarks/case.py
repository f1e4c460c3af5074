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
        peers: peer -> its step; "reference" is ours with the kernels switched off and always there;
            "plain" is ours without what the case adds: the ratio says what that costs.
        operations: shape -> float operations of all products of matrices.
        copied_bytes: shape -> bytes that memory moves at least besides, read plus written.
        model_bytes: what any implementation must hold; the yardstick of the peak.
        tolerance: norm of the difference of a result, relative to the norm of the peer's array.
        compared_steps: how many first steps are compared; several where a step changes state.
        cuda_shapes: on a GPU, instead of shapes.
    """

    name: str
    does: str
    shapes: tuple[Shape, ...]
    quick_shapes: tuple[Shape, ...]
    draw: Callable[[Shape, int], Arrays]
    ours: Prepare
    peers: Mapping[str, Prepare]
    operations: Callable[[Shape], int]
    copied_bytes: Callable[[Shape], int]
    model_bytes: Callable[[Shape], int]
    tolerance: float = 1e-3  # a unit whose kink of relu rounding decides alone is worth 1e-4
    compared_steps: int = 1
    cuda_shapes: tuple[Shape, ...] | None = None

    def runner(self, who: str) -> Prepare:
        """The step of "ours" or of a peer."""
        return self.ours if who == "ours" else self.peers[who]

    def judge(self, peer: str) -> str:
        """Whose results ours must equal before it is timed beside this peer."""
        return "reference" if peer == "plain" else peer  # plain computes something else

    def shapes_on(self, device: str, is_quick: bool) -> tuple[Shape, ...]:
        """The shapes to measure."""
        if is_quick:
            return self.quick_shapes
        return self.shapes if device == "cpu" or self.cuda_shapes is None else self.cuda_shapes

    def limit(self, shape: Shape, limits: Limits) -> dict[str, float]:
        """Seconds that the machine needs at least: products at the sgemm rate, after copying.

        "warm" and "fresh" say into which memory the results are written.
        """
        products = self.operations(shape) / limits.sgemm
        moved = self.copied_bytes(shape)
        return {
            "warm": products + moved / limits.copy_warm,
            "fresh": products + moved / limits.copy_fresh,
        }
