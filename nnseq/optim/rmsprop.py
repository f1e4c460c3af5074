"""RMSProp, plain, centred, and with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nnseq.backend import Array, array_module
from nnseq.optim.optimizer import Optimizer, Parameters, Select


class RMSProp(Optimizer):
    """Divide the gradient by a running root mean square of itself.

        g = dθ + λ θ                                                            (1)
        v ← ρ v + (1 - ρ) g²                                                    (2)
        ḡ ← ρ ḡ + (1 - ρ) g          centred only; else ḡ = 0                   (3)
        s = g / (√(v - ḡ²) + ε)                                                 (4)
        θ ← θ - lr s                 momentum: q ← μ q + s, θ ← θ - lr q        (5)

    Tieleman and Hinton 2012, "Lecture 6.5: rmsprop", COURSERA: Neural Networks for Machine
    Learning; centred: Graves 2013, "Generating sequences with recurrent neural networks",
    arXiv:1308.0850v5. Graves has ε under the root and lr inside q; (4) and (5) are PyTorch's.

    Args:
        parameters, lr, weight_decay, no_decay, lr_factors: as Optimizer.
        rho: ρ in [0, 1); the lecture's 0.9.
        eps: ε.
        momentum: μ in [0, 1).
        centered: divide by the standard deviation instead.

    Raises:
        ValueError: as Optimizer; rho, eps or momentum out of range.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        *,
        rho: float = 0.9,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        no_decay: Iterable[Select] = (),
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            parameters, lr, weight_decay=weight_decay, no_decay=no_decay, lr_factors=lr_factors
        )
        self.rho, self.eps = self._check("rho", rho, 1.0), self._check_above_0("eps", eps)
        self.momentum, self.centered = self._check("momentum", momentum, 1.0), centered
        self._make_slots("v", *["g_mean"] * centered, *["q"] * bool(momentum))

    def update(
        self, theta: Array, dtheta: Array, state: dict[str, Array], lr: float, weight_decay: float
    ) -> None:
        xp, v = array_module(theta), state["v"]
        g = dtheta + weight_decay * theta if weight_decay else dtheta  # (1)
        work = xp.empty_like(theta)
        xp.multiply(g, g, out=work)
        work *= 1 - self.rho
        v *= self.rho
        v += work  # (2)
        if self.centered:
            g_mean = state["g_mean"]
            g_mean *= self.rho
            g_mean += (1 - self.rho) * g  # (3)
            xp.multiply(g_mean, g_mean, out=work)
            xp.subtract(v, work, out=work)
            xp.maximum(work, 0, out=work)  # a variance; rounding can put it just below zero
            xp.sqrt(work, out=work)
        else:
            xp.sqrt(v, out=work)
        work += self.eps
        xp.divide(g, work, out=work)  # (4)
        if self.momentum:
            q = state["q"]
            q *= self.momentum
            q += work
            theta -= lr * q
        else:
            work *= lr
            theta -= work  # (5)
