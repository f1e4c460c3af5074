"""An IndRNN layer with what stands around it: batch norm on either side, dropout."""

from __future__ import annotations

from typing import Any

from nnseq.nn.arguments import check_features
from nnseq.nn.indrnn import IndRNN
from nnseq.nn.normalized_indrnn import NormalizedIndRNN


class IndRNNBlock(NormalizedIndRNN):
    """The product with the input, then all of NormalizedIndRNN.

        a = x W_ih + b                                                          (5)
        then (1) to (4) of NormalizedIndRNN

    Args:
        rnn: an IndRNN, (5) and (2).
        bn, bn_steps, bn_eval, gamma_init, p_drop: as NormalizedIndRNN.

    Raises:
        ValueError, TypeError: out of range, or another rnn.
    """

    takes = IndRNN

    def project(self, x: Any) -> Any:
        """Return (5) of x (T, B, D)."""
        check_features("IndRNNBlock", "x", x, self.rnn.input_size, "(T, B, D)")
        return self.rnn.project(x)
