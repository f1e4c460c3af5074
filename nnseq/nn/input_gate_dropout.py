"""Dropout of the input gate: a recurrent layer forgets news, never its memory."""

from __future__ import annotations

from typing import Any

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import check_float, check_rng
from nnseq.nn.bernoulli import bernoulli
from nnseq.nn.module import Module
from nnseq.tensor import Tensor


class InputGateDropout(Module):
    """Draw the weights d_i of what a step writes into the state.

        c_t = f ∘ c_{t-1} + d_i ∘ i ∘ g                  LSTM                    (1)
        h_t = z ∘ h_{t-1} + (1 - z) ∘ d_i ∘ n            GRU                     (2)
        d_i = 0 with probability p_drop, else 1          in training             (3)
        d_i = 1 - p_drop                                 in evaluation           (4)

    The path through f (or z) is never dropped. The cell computes (1) and (2). Semeniuta, Severyn,
    Barth 2016, "Recurrent dropout without memory loss", arXiv:1603.05118v2. Nothing is divided by
    1 - p_drop in training; the average is taken in evaluation.

    Args:
        p_drop: the chance to drop, in [0, 1].

    Raises:
        ValueError, TypeError: p_drop out of range or not a number.
    """

    def __init__(self, p_drop: float) -> None:
        self.p_drop = check_float("InputGateDropout", "p_drop", p_drop, 0.0, 1.0)

    def forward(self, T: int, B: int, H: int, like: Any, rng: Any = None) -> Array | None:
        """Return d_i: (T, B, H) in training, (1, 1, H) in evaluation, None where p_drop = 0.

        Args:
            T, B, H: steps, sequences, units.
            like: array or Tensor whose dtype and device d_i gets.
            rng: draws d_i; needed in training where p_drop > 0.

        Raises:
            TypeError: no generator came although one is needed.
        """
        if self.p_drop == 0:
            return None
        keep = 1 - self.p_drop
        if not self.is_training:
            array = like.data if isinstance(like, Tensor) else like
            d_i: Array = array_module(array).full((1, 1, H), keep, array.dtype)  # (4)
            return d_i
        rng = check_rng("InputGateDropout in training (eval() turns it off)", rng)
        return bernoulli(rng, keep, (T, B, H), like)  # (3)
