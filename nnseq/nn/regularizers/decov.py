"""DeCov: activations that do not vary together."""

from __future__ import annotations

from typing import Any

from nnseq.backend import array_module
from nnseq.nn.arguments import check_float
from nnseq.nn.regularizers.steps import at_least_1, counted_steps
from nnseq.ops.arguments import float_array
from nnseq.ops.reductions import sum as sum_of


def decov(h: Any, coef: float, *, mask: Any = None) -> Any:
    """Penalise the covariances between different units.

        C_ij = 1/N Σ_n (h_ni - m_i) (h_nj - m_j),   m = 1/N Σ_n h_n            (1)
        coef · ½ (‖C‖_F² - ‖diag C‖²) = coef · ½ Σ_{i≠j} C_ij²                  (2)

    Cogswell, Ahmed, Girshick, Zitnick, Batra 2016, "Reducing overfitting in deep networks by
    decorrelating representations", arXiv:1511.06068v4. The mean is part of the derivative.

    Args:
        h: (N, D) activations, or (T, B, D), whose samples are all steps that count.
        coef: the weight of the penalty, at least 0.
        mask: (T, B), nonzero where the step counts; None: all.

    Returns:
        the penalty, a single number.

    Raises:
        ValueError, TypeError: out of range, or shapes that do not fit.
    """
    coef = check_float("decov", "coef", coef, 0.0)
    a = float_array("decov", "h", h)
    if a.ndim == 2 and mask is not None:
        raise ValueError(
            f"decov: got a mask for h of shape {a.shape}, expected h (T, B, D); leave out the rows "
            f"that do not count instead"
        )
    D = a.shape[-1] if a.ndim else 0
    steps = h.reshape(1, *a.shape) if a.ndim == 2 else h
    x, counts = counted_steps("decov", "h", steps, mask)
    x, counts = x.reshape(-1, D), counts.reshape(-1, 1)
    N = at_least_1(counts.sum())
    centered = (x - sum_of(x, 0) * (1 / N)) * counts
    C = (centered.T @ centered) * (1 / N)  # (1)
    xp = array_module(a)
    apart = C * (1 - xp.eye(D, dtype=a.dtype))
    return sum_of(apart * apart) * (coef / 2)  # (2)
