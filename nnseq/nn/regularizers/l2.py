"""L2: small weights, of parameters chosen by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nnseq.nn.arguments import check_float
from nnseq.nn.selection import WEIGHT_MATRICES, Parameters, Select, select_parameters
from nnseq.ops.reductions import sum as sum_of


def l2_penalty(
    parameters: Parameters,
    coef: float,
    include: Select | Iterable[Select] = WEIGHT_MATRICES,
) -> Any:
    """Penalise the squares of chosen parameters.

        coef / 2 · Σ_θ ‖θ‖²                                                     (1)

    The gradient is coef · θ, that of an optimiser's weight_decay; as a part of the loss it goes
    through gradient clipping and shows in the loss that is reported.

    Args:
        parameters: (dotted name, parameter) pairs or a mapping, as model.named_parameters().
        coef: the weight of the penalty, at least 0.
        include: patterns of names, as nnseq.nn.selection; all weight matrices if left out.

    Returns:
        the penalty, a single number.

    Raises:
        ValueError, TypeError: out of range, or a pattern that matches nothing.
    """
    coef = check_float("l2_penalty", "coef", coef, 0.0)
    chosen = select_parameters("l2_penalty", parameters, include)
    total: Any = sum(sum_of(x * x) for x in chosen.values())
    return total * (coef / 2)  # (1)
