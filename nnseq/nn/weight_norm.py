"""Weight normalisation: the length of each column of a matrix is a parameter of its own."""

from __future__ import annotations

from typing import Any

from nnseq.nn.module import Module, Parameter
from nnseq.ops.arguments import float_array
from nnseq.ops.elementwise import sqrt
from nnseq.ops.reductions import sum as sum_of


class WeightNorm(Module):
    """Give a matrix the column lengths g, whatever its own are.

        Ŵ_j = g_j W_j / ‖W_j‖     for each column j, one per output unit        (1)
        g_j = ‖W_j‖               at the start, so that Ŵ = W                   (2)

    Salimans and Kingma 2016, "Weight normalization", arXiv:1602.07868v3, who call W here v. The
    gradient of W is at right angles to its column: a step never makes a column shorter.

    Args:
        W: (..., fan_out), array or Parameter, the weights to start from; it stays with the layer,
            and forward is given it.

    Attributes:
        g: (fan_out,).

    Raises:
        TypeError: W is not a float array.
        ValueError: W has fewer than two axes, or a column of zeros, which has no direction.
    """

    def __init__(self, W: Any) -> None:
        data = float_array("WeightNorm", "W", W)
        if data.ndim < 2:
            raise ValueError(f"WeightNorm: W has shape {data.shape}, expected (..., fan_out)")
        g = column_norms(data)
        if not (g > 0).all():
            j = int(g.argmin())
            raise ValueError(
                f"WeightNorm: column {j} of W has length {float(g[j])}, expected more than 0, "
                f"for its direction is trained; start W from random numbers"
            )
        self.g = Parameter(g)

    def forward(self, W: Any) -> Any:
        """Return Ŵ of (1), of the shape of W.

        Raises:
            ValueError: the last axis of W is not that of g.
        """
        if tuple(W.shape[-1:]) != self.g.shape:
            raise ValueError(
                f"WeightNorm: W has shape {tuple(W.shape)}, expected (..., fan_out) with "
                f"fan_out = {self.g.shape[0]}"
            )
        return W * (self.g / column_norms(W))


def column_norms(W: Any) -> Any:
    """Return ‖W_j‖ of every column, (fan_out,)."""
    return sqrt(sum_of(W * W, tuple(range(W.ndim - 1))))
