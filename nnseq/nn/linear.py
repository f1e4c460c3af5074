"""Linear: y = x W + b."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.nn.arguments import check_rng, check_size, float_dtype
from nnseq.nn.initializers import GLOROT, ZEROS, Initializer
from nnseq.nn.module import Module, Parameter
from nnseq.ops.linear import linear


class Linear(Module):
    """y = x W + b.

    Args:
        input_size, output_size: D and O.
        rng: draws the initial values.
        W_init: of W, (D, O).
        b_init: of b, (O,); None for no bias.
        dtype: float32 or float64.

    Attributes:
        W: (D, O). b: (O,) or None.

    Raises:
        ValueError, TypeError: sizes below 1, another dtype, rng not a generator.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        rng: np.random.Generator,
        W_init: Initializer = GLOROT,
        b_init: Initializer | None = ZEROS,
        dtype: Any = np.float32,
    ) -> None:
        self.input_size = check_size("Linear", "input_size", input_size)
        self.output_size = check_size("Linear", "output_size", output_size)
        rng, dtype = check_rng("Linear", rng), float_dtype("Linear", dtype)
        self.W = Parameter(W_init(rng, (input_size, output_size), dtype))
        self.b = None if b_init is None else Parameter(b_init(rng, (output_size,), dtype))

    def forward(self, x: Any) -> Any:
        """Map (..., D) to (..., O).

        Raises:
            TypeError: x is neither an array nor a Tensor, or of another dtype.
            ValueError: another last axis.
        """
        if not hasattr(x, "shape"):
            raise TypeError(f"Linear: x is a {type(x).__name__}, expected an array or a Tensor")
        if not x.shape or x.shape[-1] != self.input_size:
            raise ValueError(
                f"Linear: x has shape {x.shape}, expected (..., D) with D = {self.input_size}"
            )
        return linear(x, self.W, self.b)
