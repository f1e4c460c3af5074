"""Stochastic gradient descent, plain, with momentum, and with Nesterov's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nnseq.backend import Array
from nnseq.optim.optimizer import Optimizer, Parameters, Select


class SGD(Optimizer):
    """Follow the gradient, or a velocity that remembers it.

        g = dθ + λ θ                                                            (1)
        v ← μ v + g                                                             (2)
        θ ← θ - lr v             Nesterov: θ ← θ - lr (g + μ v)                 (3)

    Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and momentum in deep
    learning", ICML. As in PyTorch, lr multiplies in (3) and not in (2), so a change of lr acts at
    once; under a constant lr the two are the same. Nesterov's form is the paper's with θ standing
    for the point where the gradient is taken.

    Args:
        parameters, lr, weight_decay, no_decay, lr_factors: as Optimizer.
        momentum: μ in [0, 1); 0 keeps no velocity.
        nesterov: look ahead; needs momentum.

    Raises:
        ValueError: as Optimizer; momentum out of range; nesterov without momentum.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        no_decay: Iterable[Select] = (),
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            parameters, lr, weight_decay=weight_decay, no_decay=no_decay, lr_factors=lr_factors
        )
        self.momentum, self.nesterov = self._check("momentum", momentum, 1.0), nesterov
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0, such as 0.9")
        if momentum:
            self._make_slots("v")

    def update(
        self, theta: Array, dtheta: Array, state: dict[str, Array], lr: float, weight_decay: float
    ) -> None:
        g = dtheta + weight_decay * theta if weight_decay else dtheta  # (1)
        if not self.momentum:
            theta -= lr * g
            return
        v = state["v"]
        v *= self.momentum
        v += g  # (2)
        if self.nesterov:
            ahead = self.momentum * v
            ahead += g
            ahead *= lr
            theta -= ahead
        else:
            theta -= lr * v  # (3)
