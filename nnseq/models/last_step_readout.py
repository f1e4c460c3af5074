"""A body, and a linear readout of its last step."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.models.body import SequenceBody, check_body
from nnseq.nn.initializers import HeNormal, Initializer
from nnseq.nn.linear import Linear
from nnseq.nn.module import Module

HE_NORMAL = HeNormal()


class LastStepReadout(Module):
    """Reads a sequence and answers once: with the logits of classes, or with numbers.

        h = body(x)          at the last step that counts                       (1)
        y = h W + b                                                             (2)

    Args:
        body: a SequenceBody.
        output_size: of y.
        rng: draws the initial W.
        readout_init: of W.

    Raises:
        TypeError: body is no SequenceBody.
        ValueError: output_size is out of range.
    """

    def __init__(
        self,
        body: SequenceBody,
        output_size: int,
        *,
        rng: np.random.Generator,
        readout_init: Initializer = HE_NORMAL,
    ) -> None:
        check_body("LastStepReadout", body)
        self.body = body
        self.readout = Linear(
            body.output_size,
            output_size,
            rng=rng,
            W_init=readout_init,
            dtype=next(body.parameters()).dtype,
        )

    def forward(
        self,
        x: Any,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """Map x (T, B, D) to y (B, output_size).

        Args:
            x: array or Tensor.
            mask, lengths: which steps count, as SequenceBody; the last of them is read.
            rng: draws masks; needed in training where something is random.
        """
        h, _ = self.body(x, mask=mask, lengths=lengths, rng=rng, only_last=True)  # (1)
        return self.readout(h)  # (2)
