"""What the recurrences of an IndRNN network have in common, and its parts made accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnseq.nn.arguments import check_flag, check_float, float_dtype
from nnseq.nn.indrnn import (
    IndRNN,
    IndRNNRecurrence,
    recurrent_bound,
    recurrent_init,
    recurrent_low_bound,
)
from nnseq.nn.indrnn_stack import IndRNNBlock
from nnseq.nn.initializers import SMALL, Initializer, KaimingUniform, Uniform
from nnseq.nn.linear import Linear
from nnseq.nn.normalized_indrnn import NormalizedIndRNN, Place

SMALL_GAMMA = 0.1
HE_UNIFORM = KaimingUniform(0.0)


def u_range(
    who: str, seq_len: int, MAG: float, act: str, u_bound: float | None, init_last_u: bool
) -> tuple[float, float]:
    """Return (low, U_bound): |u| ≤ U_bound everywhere, u ≥ low at first in the last recurrence.

        U_bound = MAG^(1/T), or as given      low = (1/MAG)^(1/T)               (1)

    Raises:
        ValueError, TypeError: out of range, or no u is left for the last recurrence.
    """
    bound, low = recurrent_bound(seq_len, MAG, act), recurrent_low_bound(seq_len, MAG)
    if u_bound is not None:
        bound = check_float(who, "u_bound", u_bound, 0.0, open_low=True)
    if init_last_u and low > bound:
        raise ValueError(
            f"{who}: the last layer's u would start in [{low:.6g}, {bound:.6g}], which is empty; "
            f"give a MAG of at least 1, a larger u_bound, or init_last_u=False"
        )
    return low, bound


@dataclass(frozen=True)
class IndRNNOptions:
    """Arguments of an IndRNN body that it hands on to its parts.

    Initial values are those of Li et al. 2018, arXiv:1803.04831v3, as their authors' code for
    deep networks has them: weights KaimingUniform(8), biases 0, γ = 1, β = 0,
    u ~ U(0, U_bound), for tanh U(-U_bound, U_bound).

    Args:
        who: the body, for messages.
        seq_len: T, the length that U_bound is made for; others can be read.
        MAG: how much a gradient may grow over T steps.
        u_bound: U_bound itself, in place of seq_len and MAG.
        constrain_u: hold |u| ≤ U_bound in training; else U_bound is for the start alone.
        init_last_u: the last recurrence starts from u ~ U((1/MAG)^(1/T), U_bound), because only
            what its units remember to the end is read.
        small_norm_init: γ = 0.1, and weights KaimingUniform(0).
        act: "relu", "tanh" or "identity".
        bn, bn_steps: as NormalizedIndRNN.
        dtype: float32 or float64.

    Raises:
        ValueError, TypeError: out of range, or no u is left for the last recurrence.
    """

    who: str
    seq_len: int
    MAG: float = 2.0
    u_bound: float | None = None
    constrain_u: bool = True
    init_last_u: bool = False
    small_norm_init: bool = False
    act: str = "relu"
    bn: Place | None = None
    bn_steps: int | None = None
    dtype: Any = np.float32

    def __post_init__(self) -> None:
        for name in ("constrain_u", "init_last_u", "small_norm_init"):
            check_flag(self.who, name, getattr(self, name))
        float_dtype(self.who, self.dtype)
        self.u_range()

    def u_range(self) -> tuple[float, float]:
        """Return (1) of u_range."""
        return u_range(self.who, self.seq_len, self.MAG, self.act, self.u_bound, self.init_last_u)

    def linear(self, D: int, H: int, rng: np.random.Generator) -> Linear:
        """Make x W + b, (T, B, D) to (T, B, H)."""
        return Linear(D, H, rng=rng, W_init=self._weights(), dtype=self.dtype)

    def recurrence(
        self, H: int, rng: np.random.Generator, *, p_drop: float = 0.0, is_last: bool = False
    ) -> NormalizedIndRNN:
        """Make a recurrence with batch norm and dropout, of pre-activations (T, B, H)."""
        rnn = IndRNNRecurrence(H, rng=rng, **self._recurrent(is_last))
        return NormalizedIndRNN(rnn, p_drop=p_drop, **self._normalized())

    def block(
        self, D: int, H: int, rng: np.random.Generator, *, p_drop: float, is_last: bool = False
    ) -> IndRNNBlock:
        """Make a linear map to (T, B, H) and such a recurrence."""
        rnn = IndRNN(D, H, rng=rng, W_init=self._weights(), **self._recurrent(is_last))
        return IndRNNBlock(rnn, p_drop=p_drop, **self._normalized())

    def _weights(self) -> Initializer:
        return HE_UNIFORM if self.small_norm_init else SMALL

    def _recurrent(self, is_last: bool) -> dict[str, Any]:
        low, bound = self.u_range()
        u_init: Uniform = recurrent_init(self.act, bound)
        if is_last and self.init_last_u:
            u_init = recurrent_init(self.act, bound, low)
        return {
            "act": self.act,
            "u_init": u_init,
            "u_bound": bound if self.constrain_u else None,
            "dtype": self.dtype,
        }

    def _normalized(self) -> dict[str, Any]:
        gamma = SMALL_GAMMA if self.small_norm_init else 1.0
        return {"bn": self.bn, "bn_steps": self.bn_steps, "gamma_init": gamma}
