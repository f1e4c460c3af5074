"""What the recurrences of an IndRNN network have in common, and its parts made accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from nnseq.models.body import refuse_unused
from nnseq.nn.arguments import check_choice, check_flag, check_float, check_size, float_dtype
from nnseq.nn.indrnn import (
    IndRNN,
    IndRNNRecurrence,
    recurrent_bound,
    recurrent_init,
    recurrent_low_bound,
)
from nnseq.nn.indrnn_block import IndRNNBlock
from nnseq.nn.initializers import SMALL, Initializer, KaimingUniform, Uniform, check_initializer
from nnseq.nn.linear import Linear
from nnseq.nn.normalized_indrnn import NormalizedIndRNN, Place
from nnseq.nn.value import Value

SMALL_GAMMA = 0.1
HE_UNIFORM = KaimingUniform(0.0)


@dataclass(frozen=True)
class IndRNNOptions(Value):
    """What an IndRNN body is built with, besides its sizes.

    Initial values are those of Li et al. 2018, arXiv:1803.04831v3, as their authors' code for
    deep networks has them: weights KaimingUniform(8), biases 0, γ = 1, β = 0,
    u ~ U(0, U_bound), for tanh U(-U_bound, U_bound). Their code for the adding problem has
    N(0, 0.001²) and its own range for the last layer: W_init=Normal(0.001), init_last_u=True.

    Args:
        seq_len: T, the length that U_bound is made for; others can be read.
        MAG: how much a gradient may grow over T steps: U_bound = MAG^(1/T), see recurrent_bound.
        u_bound: U_bound itself, in place of seq_len and MAG.
        constrain_u: hold |u| ≤ U_bound in training; else U_bound is for the start alone.
        init_last_u: the last recurrence starts from u ~ U((1/MAG)^(1/T), U_bound), because only
            what its units remember to the end is read.
        small_norm_init: γ = 0.1, and weights KaimingUniform(0).
        W_init: of all weight matrices, in place of those.
        act: "relu", "tanh" or "identity".
        learn_h0, step_clip: as IndRNN.
        bn, bn_steps, bn_eval: as NormalizedIndRNN.
        dtype: float32 or float64.

    Raises:
        ValueError, TypeError: out of range, or no u is left for the last recurrence.
    """

    seq_len: int
    MAG: float = 2.0
    u_bound: float | None = None
    constrain_u: bool = True
    init_last_u: bool = False
    small_norm_init: bool = False
    W_init: Initializer | None = None
    act: str = "relu"
    learn_h0: bool = False
    step_clip: float = 0.0
    bn: Place | None = None
    bn_steps: int | None = None
    bn_eval: str = "running"
    dtype: Any = np.float32

    def __post_init__(self) -> None:
        for name in ("constrain_u", "init_last_u", "small_norm_init", "learn_h0"):
            check_flag("IndRNNOptions", name, getattr(self, name))
        check_float("IndRNNOptions", "step_clip", self.step_clip, 0.0)
        if self.W_init is not None:
            check_initializer("IndRNNOptions", "W_init", self.W_init)
        check_choice("IndRNNOptions", "bn", self.bn, (None, *get_args(Place)))
        if self.bn_steps is not None:
            check_size("IndRNNOptions", "bn_steps", self.bn_steps)
        check_choice("IndRNNOptions", "bn_eval", self.bn_eval, ("running", "batch"))
        if self.bn is None:  # said here already, before any part is made
            bn_eval = self.bn_eval if self.bn_eval != "running" else None
            because = "bn is None; name its place"
            refuse_unused("IndRNNOptions", because, bn_steps=self.bn_steps, bn_eval=bn_eval)
        # As a dtype, so that options are equal whether it came as a class or by its name.
        object.__setattr__(self, "dtype", float_dtype("IndRNNOptions", self.dtype))
        self.u_range()

    def u_range(self) -> tuple[float, float]:
        """Return (low, U_bound): |u| ≤ U_bound everywhere, u ≥ low at first under init_last_u.

        Raises:
            ValueError, TypeError: out of range, or no u is left for the last recurrence.
        """
        bound = recurrent_bound(self.seq_len, self.MAG, self.act)
        low = recurrent_low_bound(self.seq_len, self.MAG)
        if self.u_bound is not None:
            bound = check_float("IndRNNOptions", "u_bound", self.u_bound, 0.0, open_low=True)
        if self.init_last_u and low > bound:
            raise ValueError(
                f"IndRNNOptions: the last layer's u would start in [{low:.6g}, {bound:.6g}], which "
                f"is empty; give a MAG of at least 1, a larger u_bound, or init_last_u=False"
            )
        return low, bound

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
        if self.W_init is not None:
            return self.W_init
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
            "learn_h0": self.learn_h0,
            "step_clip": self.step_clip,
            "dtype": self.dtype,
        }

    def _normalized(self) -> dict[str, Any]:
        gamma = SMALL_GAMMA if self.small_norm_init else 1.0
        of_bn = {"bn": self.bn, "bn_steps": self.bn_steps, "bn_eval": self.bn_eval}
        return {**of_bn, "gamma_init": gamma}
