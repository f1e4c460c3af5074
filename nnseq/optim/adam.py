"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.optim.optimizer import Optimizer, Parameters, Select


class Adam(Optimizer):
    """Scale each entry's step by running moments of its gradient.

        g = dθ + λ θ                                                            (1)
        m ← β₁ m + (1 - β₁) g                                                   (2)
        v ← β₂ v + (1 - β₂) g²                                                  (3)
        θ ← θ - lr m̂ / (√v̂ + ε),    m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)      (4)

    Kingma and Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980v9,
    Algorithm 1; t counts steps from 1. The penalty λ in (1) is not the paper's.

    Args:
        parameters, lr, weight_decay, no_decay, lr_factors: as Optimizer.
        beta1, beta2: β₁, β₂ in [0, 1).
        eps: ε.

    Raises:
        ValueError: as Optimizer; a beta or eps out of range.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        no_decay: Iterable[Select] = (),
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            parameters, lr, weight_decay=weight_decay, no_decay=no_decay, lr_factors=lr_factors
        )
        self.beta1, self.beta2 = self._check("beta1", beta1, 1.0), self._check("beta2", beta2, 1.0)
        self.eps = self._check_above_0("eps", eps)
        self._make_slots("m", "v")

    def update(
        self, theta: Array, dtheta: Array, state: dict[str, Array], lr: float, weight_decay: float
    ) -> None:
        g = dtheta + weight_decay * theta if weight_decay else dtheta  # (1)
        self._step(theta, g, state, lr)

    def _step(self, theta: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Equations (2) to (4), with one temporary of theta's size."""
        m, v, t = state["m"], state["v"], self.num_steps
        xp = array_module(theta)
        work = xp.empty_like(theta)
        xp.multiply(g, 1 - self.beta1, out=work)
        m *= self.beta1
        m += work  # (2)
        xp.multiply(g, g, out=work)
        work *= 1 - self.beta2
        v *= self.beta2
        v += work  # (3)
        xp.sqrt(v, out=work)
        work *= 1 / math.sqrt(1 - self.beta2**t)
        work += self.eps  # √v̂ + ε
        xp.divide(m, work, out=work)
        work *= lr / (1 - self.beta1**t)
        theta -= work  # (4)


class AdamW(Adam):
    """Adam whose weight decay bypasses the moments.

        θ ← (1 - lr λ) θ                                                        (5)
        then (2) to (4) of Adam with g = dθ

    Loshchilov and Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101v3,
    Algorithm 2. There λ is multiplied by the schedule alone; here, as in PyTorch, by lr, which
    includes the schedule: λ here is the paper's λ divided by its initial α.

    Args and Raises as Adam; weight_decay is λ of (5).
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        *,
        weight_decay: float = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay, **options)

    def update(
        self, theta: Array, dtheta: Array, state: dict[str, Array], lr: float, weight_decay: float
    ) -> None:
        theta *= 1 - lr * weight_decay  # (5)
        self._step(theta, dtheta, state, lr)
