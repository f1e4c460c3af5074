"""DropConnect: dropout of weights instead of activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.nn.arguments import check_float, check_rng
from nnseq.nn.bernoulli import bernoulli
from nnseq.nn.module import Module
from nnseq.ops.dropout import dropout


class DropConnect(Module):
    """In training, set weights to zero at random and scale up the others; else the identity.

        Ŵ = W ∘ mask / (1 - p_drop)     mask = 0 with probability p_drop, else 1     (1)

    One mask for a whole forward pass: a recurrence that is given Ŵ drops the same connections at
    every step and in every sequence. Wan et al. 2013, "Regularization of neural networks using
    DropConnect", ICML; on recurrent weights, Merity, Keskar, Socher 2017, "Regularizing and
    optimizing LSTM language models", arXiv:1708.02182v1.

    Args:
        p_drop: the chance to drop, in [0, 1).

    Raises:
        ValueError, TypeError: p_drop out of range or not a number.
    """

    def __init__(self, p_drop: float) -> None:
        self.p_drop = check_float("DropConnect", "p_drop", p_drop, 0.0, np.nextafter(1.0, 0.0))

    def forward(self, W: Any, rng: Any = None) -> Any:
        """Return Ŵ of (1) in training, W itself in evaluation or where p_drop = 0.

        Args:
            W: array or Tensor, any shape, such as (H, 4H).
            rng: draws the mask; needed in training where p_drop > 0.

        Raises:
            TypeError: no generator came although one is needed.
        """
        if not self.is_training or self.p_drop == 0:
            return W
        rng = check_rng("DropConnect in training (eval() turns it off)", rng)
        return dropout(W, bernoulli(rng, 1 - self.p_drop, tuple(W.shape), W), self.p_drop)
