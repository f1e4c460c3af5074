"""Activation regularisation: small outputs (AR) that change slowly (TAR)."""

from __future__ import annotations

from typing import Any

from nnseq.nn.arguments import check_float
from nnseq.nn.regularizers.steps import at_least_1, counted_steps
from nnseq.ops.reductions import sum as sum_of


def activation_penalty(h: Any, coef: float, *, mask: Any = None) -> Any:
    """AR: penalise large activations.

        coef · mean of h²     over steps that count, sequences and units        (1)

    Merity, McCann, Socher 2017, "Revisiting activation regularization for language RNNs",
    arXiv:1708.01009v1, who give it the output of the last layer after its dropout. They write the
    norm; what is averaged here, as in their program, is its square.

    Args:
        h: (T, B, D).
        coef: the weight of the penalty, at least 0.
        mask: (T, B), nonzero where the step counts; None: all.

    Returns:
        the penalty, a single number.

    Raises:
        ValueError, TypeError: out of range, or shapes that do not fit.
    """
    coef = check_float("activation_penalty", "coef", coef, 0.0)
    h, counts = counted_steps("activation_penalty", "h", h, mask)
    return sum_of(h * h) * (coef / (at_least_1(counts.sum()) * h.shape[2]))  # (1)


def temporal_activation_penalty(h: Any, coef: float, *, mask: Any = None) -> Any:
    """TAR: penalise activations that change from step to step.

        coef · mean of (h_t - h_{t-1})²     over pairs of steps that both count,  (2)
                                            sequences and units

    Cited and averaged as AR; the authors give it the last layer's output before its dropout. A
    batch without any pair has penalty 0.

    Args, Returns, Raises: as activation_penalty.
    """
    coef = check_float("temporal_activation_penalty", "coef", coef, 0.0)
    h, counts = counted_steps("temporal_activation_penalty", "h", h, mask)
    change = h[1:] - h[:-1]
    both = counts[1:] * counts[:-1]
    total = sum_of(change * change * both[:, :, None])
    return total * (coef / (at_least_1(both.sum()) * h.shape[2]))  # (2)
