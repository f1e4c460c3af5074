"""The norm stabiliser: states whose length stays the same from step to step."""

from __future__ import annotations

from typing import Any

from nnseq.backend import array_module
from nnseq.nn.arguments import check_choice, check_float
from nnseq.nn.regularizers.steps import at_least_1, counted_steps
from nnseq.ops.arguments import expect_shape
from nnseq.ops.elementwise import maximum, sqrt
from nnseq.ops.joining import concat
from nnseq.ops.reductions import sum as sum_of

DIVISORS = ("states", "differences")
FLOOR = 1e-30  # of ‖h‖²: its root and 1 / root are far inside float32


def norm_stabilizer(
    states: Any,
    coef: float,
    *,
    initial: Any = None,
    divisor: str = "states",
    mask: Any = None,
) -> Any:
    """Penalise changes of the states' norms along the sequence.

        coef · 1/B Σ_b 1/n_b Σ_t (‖h_t‖ - ‖h_{t-1}‖)²                          (1)
        ‖h‖ = √max(Σ_j h_j², 1e-30)                                            (2)

    The sum runs over the differences within a sequence; n_b counts its states, or the differences,
    one fewer. Krueger and Memisevic 2016, "Regularizing RNNs by stabilizing activations",
    arXiv:1511.08400v7, divide by the number of steps; programs after it differ, hence the choice.
    By (2) the gradient at h = 0 is 0. A sequence with one state adds 0.

    Args:
        states: (T, B, D) hidden states, cells, or logits.
        coef: the weight of the penalty, at least 0.
        initial: (B, D) the state before the first step, which then counts as one; or None.
        divisor: "states" or "differences".
        mask: (T, B), nonzero where the step counts; a difference counts where both its steps do.
            None: all.

    Returns:
        the penalty, a single number.

    Raises:
        ValueError, TypeError: out of range, or shapes that do not fit.
    """
    who = "norm_stabilizer"
    coef = check_float(who, "coef", coef, 0.0)
    check_choice(who, "divisor", divisor, DIVISORS)
    h, counts = counted_steps(who, "states", states, mask)
    _, B, D = h.shape
    if initial is not None:
        expect_shape(who, "initial", initial, (B, D), f"states have shape {tuple(h.shape)}")
        h = concat([initial.reshape(1, B, D), h], 0)
        counts = array_module(counts).concatenate([0 * counts[:1] + 1, counts])
    norms = sqrt(maximum(sum_of(h * h, 2), FLOOR))  # (2), (T, B)
    differences = norms[1:] - norms[:-1]
    both = counts[1:] * counts[:-1]
    n = at_least_1((counts if divisor == "states" else both).sum(axis=0))
    return sum_of(differences * differences * (both / n)) * (coef / B)  # (1)
