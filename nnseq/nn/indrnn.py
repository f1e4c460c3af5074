"""IndRNN layers: a recurrence with one recurrent weight per unit, alone and behind a product."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.cells.indrnn import ACTIVATIONS, indrnn
from nnseq.nn.arguments import (
    check_choice,
    check_features,
    check_flag,
    check_float,
    check_rng,
    check_size,
    float_dtype,
)
from nnseq.nn.initializers import SMALL, ZEROS, Initializer, Uniform, rounded_down
from nnseq.nn.module import Module, Parameter
from nnseq.nn.padding import step_mask
from nnseq.ops.linear import linear
from nnseq.ops.shape import broadcast_to, flip


def recurrent_bound(seq_len: int, MAG: float = 2.0, act: str = "relu") -> float:
    """Return U_bound, the largest |u| that keeps T steps from exploding.

        relu, identity:  |u|ᵀ ≤ MAG          U_bound = MAG^(1/T)                      (1)
        tanh:            (|u| 0.9^(1/10))ᵀ ≤ MAG     U_bound = (MAG / 0.9^(T/10))^(1/T)   (2)

    Li et al. 2018, "Independently recurrent neural network (IndRNN)", arXiv:1803.04831v3, gives
    (1); (2) is in the authors' code for the adding problem: ten steps of tanh shrink a gradient by
    about 0.9, so u may be that much larger.

    Args:
        seq_len: T, at least 1.
        MAG: how much a gradient may grow over T steps, above 0.
        act: "relu", "tanh" or "identity".

    Raises:
        ValueError, TypeError: out of range.
    """
    T = check_size("recurrent_bound", "seq_len", seq_len)
    check_float("recurrent_bound", "MAG", MAG, 0.0, open_low=True)
    check_choice("recurrent_bound", "act", act, ACTIVATIONS)
    shrinkage = 0.9**0.1 if act == "tanh" else 1.0
    return float(MAG ** (1 / T) / shrinkage)


def recurrent_low_bound(seq_len: int, MAG: float = 2.0) -> float:
    """Return (1 / MAG)^(1/T): with u above it, T steps keep at least 1 / MAG of a gradient.

    The last layer starts there where only the last output is read.

    Raises:
        ValueError, TypeError: as recurrent_bound.
    """
    return 1 / recurrent_bound(seq_len, MAG)


def recurrent_init(act: str, u_bound: float, u_low: float | None = None) -> Uniform:
    """Return the distribution that u starts from.

        u ~ U(0, U_bound)            relu, identity
        u ~ U(-U_bound, U_bound)     tanh
        u ~ U(u_low, U_bound)        where u_low is given, as for the last layer

    Raises:
        ValueError: another act, or low above high.
    """
    check_choice("recurrent_init", "act", act, ACTIVATIONS)
    low = u_low if u_low is not None else -u_bound if act == "tanh" else 0.0
    return Uniform(low, u_bound)


class IndRNNRecurrence(Module):
    """The recurrence alone, from pre-activations: what goes between is up to the caller.

        h_t = act(a_t + u ∘ h_{t-1}),   h_{-1} = h0                              (1)
        |u_j| ≤ u_bound                 after every step of the optimiser        (2)

    Li et al. 2018, arXiv:1803.04831v3.

    Args:
        hidden_size: H.
        rng: draws the initial values.
        act: "relu", "tanh" or "identity".
        u_init: of u; U(0, 1), or U(-1, 1) for tanh, if left out. See recurrent_init.
        u_bound: of (2), which holds from the start; None for no constraint. See recurrent_bound.
        learn_h0: the state before the first step is a parameter h0 (H,), zeros at first.
        reverse: run from t = T - 1 to 0; h is still in the order of x, h_T the state after t = 0.
        step_clip: clip the gradient inside the recurrence, at every step; 0 is off.
        dtype: float32 or float64.

    Attributes:
        u: (H,). h0: (H,) or None. u_bound may be set.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        act: str = "relu",
        u_init: Initializer | None = None,
        u_bound: float | None = None,
        learn_h0: bool = False,
        reverse: bool = False,
        step_clip: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        who = type(self).__name__
        self.hidden_size = H = check_size(who, "hidden_size", hidden_size)
        self.act = check_choice(who, "act", act, ACTIVATIONS)
        self.step_clip = check_float(who, "step_clip", step_clip, 0.0)
        self.reverse = check_flag(who, "reverse", reverse)
        learn_h0 = check_flag(who, "learn_h0", learn_h0)
        rng, dtype = check_rng(who, rng), float_dtype(who, dtype)
        start = recurrent_init(act, 1.0) if u_init is None else u_init
        self.u = Parameter(start(rng, (H,), dtype))
        self.h0 = Parameter(np.zeros(H, dtype)) if learn_h0 else None
        self.u_bound = None
        if u_bound is not None:
            self.u_bound = check_float(who, "u_bound", u_bound, 0.0, open_low=True)
        self.constrain_own()

    def arguments(self) -> dict[str, Any]:
        """As Module.arguments, with u_bound as it is now."""
        return super().arguments() | {"u_bound": self.u_bound}

    def constrain_own(self) -> None:
        """Clip u to [-u_bound, u_bound], in place."""
        if self.u_bound is not None:
            bound = rounded_down(self.u_bound, self.u.dtype)
            array_module(self.u.data).clip(self.u.data, -bound, bound, out=self.u.data)

    def recur(self, a: Any, h0: Any = None, *, mask: Any = None, lengths: Any = None) -> Any:
        """Run over a whole sequence.

        Args:
            a: (T, B, H) pre-activations.
            h0: (B, H) state before the first step; zeros, or the learned one, if left out.
            mask: (T, B), nonzero where the step counts; elsewhere the state is held. Or None.
            lengths: (B,) the same as a mask: the first so many steps count.

        Returns:
            h: (T, B, H) all states, and h_T: (B, H) the last one.

        Raises:
            ValueError, TypeError: shapes or dtypes that do not fit.
        """
        who = type(self).__name__
        check_features(who, "a", a, self.hidden_size, "(T, B, H)")
        valid = step_mask(who, a, mask, lengths)
        if self.reverse:
            a = flip(a, 0)
            valid = None if valid is None else valid[::-1]
        h0 = self._initial_state(a, h0)
        h, h_T = indrnn(a, self.u, h0, valid, act=self.act, step_clip=self.step_clip)
        return (flip(h, 0) if self.reverse else h), h_T

    def forward(self, a: Any, h0: Any = None, *, mask: Any = None, lengths: Any = None) -> Any:
        """Run over a whole sequence, as recur."""
        return self.recur(a, h0, mask=mask, lengths=lengths)

    def _initial_state(self, a: Any, h0: Any) -> Any:
        shape = (a.shape[1], self.hidden_size)
        if h0 is not None:
            if tuple(h0.shape) != shape:
                raise ValueError(
                    f"{type(self).__name__}: h0 has shape {tuple(h0.shape)}, "
                    f"expected (B, H) = {shape}"
                )
            return h0
        if self.h0 is not None:
            return broadcast_to(self.h0, shape)
        zeros: Array = array_module(self.u.data).zeros(shape, self.u.dtype)
        return zeros


class IndRNN(IndRNNRecurrence):
    """An IndRNN layer.

        a_t = x_t W_ih + b                                                      (3)
        then (1) and (2) of IndRNNRecurrence

    Args:
        input_size: D.
        hidden_size: H.
        W_init: of W_ih, (D, H).
        b_init: of b, (H,); None for no bias.
        rng, act, u_init, u_bound, learn_h0, reverse, step_clip, dtype: as IndRNNRecurrence.

    Attributes:
        W_ih: (D, H). b: (H,) or None. u: (H,). h0: (H,) or None.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        act: str = "relu",
        W_init: Initializer = SMALL,
        b_init: Initializer | None = ZEROS,
        u_init: Initializer | None = None,
        u_bound: float | None = None,
        learn_h0: bool = False,
        reverse: bool = False,
        step_clip: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        self.input_size = check_size("IndRNN", "input_size", input_size)
        shape = (self.input_size, check_size("IndRNN", "hidden_size", hidden_size))
        rng, dtype = check_rng("IndRNN", rng), float_dtype("IndRNN", dtype)
        self.W_ih = Parameter(W_init(rng, shape, dtype))
        self.b = None if b_init is None else Parameter(b_init(rng, shape[1:], dtype))
        super().__init__(
            hidden_size,
            rng=rng,
            act=act,
            u_init=u_init,
            u_bound=u_bound,
            learn_h0=learn_h0,
            reverse=reverse,
            step_clip=step_clip,
            dtype=dtype,
        )

    def project(self, x: Any) -> Any:
        """Return (3), the pre-activations (T, B, H) of x (T, B, D): one product for all steps.

        Raises:
            ValueError: another shape.
        """
        check_features("IndRNN", "x", x, self.input_size, "(T, B, D)")
        return linear(x, self.W_ih, self.b)

    def forward(self, x: Any, h0: Any = None, *, mask: Any = None, lengths: Any = None) -> Any:
        """Run over a whole sequence x (T, B, D); otherwise as recur."""
        return self.recur(self.project(x), h0, mask=mask, lengths=lengths)
