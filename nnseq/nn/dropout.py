"""Dropout, with a mask of its own at every step or one shared over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import device_of, to_device
from nnseq.nn.arguments import check_flag, check_float, check_rng
from nnseq.nn.module import Module
from nnseq.ops.dropout import dropout
from nnseq.tensor import Tensor


class Dropout(Module):
    """In training, set entries to zero at random and scale up the others; else the identity.

        y = x ∘ mask / (1 - p_drop)      mask = 0 with probability p_drop, else 1     (1)

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15, with the scaling moved to training. One mask for all steps, (1, B, H), is the variant
    of Gal and Ghahramani 2016, arXiv:1512.05287v5, which IndRNN uses between layers.

    Args:
        p_drop: the chance to drop, in [0, 1).
        shared_over_time: the first axis of x is time, and all steps have the same mask.

    Raises:
        ValueError, TypeError: p_drop out of range or not a number.
    """

    def __init__(self, p_drop: float, *, shared_over_time: bool = False) -> None:
        self.p_drop = check_float("Dropout", "p_drop", p_drop, 0.0, np.nextafter(1.0, 0.0))
        self.shared_over_time = check_flag("Dropout", "shared_over_time", shared_over_time)

    def forward(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Return (1) in training, x itself in evaluation or where p_drop = 0.

        Args:
            x: array or Tensor, any shape; (T, B, H) where the mask is shared over time.
            rng: draws the mask; needed in training where p_drop > 0.

        Raises:
            TypeError: no generator came although one is needed.
        """
        if not self.is_training or self.p_drop == 0:
            return x
        rng = check_rng("Dropout in training (eval() turns it off)", rng)
        shape = (1, *x.shape[1:]) if self.shared_over_time else x.shape
        mask = rng.random(shape, dtype=np.float32) >= self.p_drop  # 1 where the entry is kept
        mask = to_device(mask, device_of(x.data if isinstance(x, Tensor) else x))
        return dropout(x, mask, self.p_drop)
