"""Batch norm of sequences: over all steps and the batch together, or at each step by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import check_choice, check_features, check_float, check_size, float_dtype
from nnseq.nn.module import Module, Parameter
from nnseq.nn.padding import step_mask
from nnseq.ops.normalization import batch_norm, batch_norm_eval


class BatchNorm(Module):
    """Normalise every feature with the statistics of the batch, or with running ones.

        y = γ ∘ (x - m) / √(v + ε) + β                                          (1)
        m, v: average and variance of x over (t, b), or over b at every t       (2)
        M ← (1 - α) M + α m                in training                          (3)
        V ← (1 - α) V + α v n / (n - 1)    n: how many entries (2) averages     (4)

    In training (1) uses m and v, in evaluation M and V. Ioffe and Szegedy 2015, "Batch
    normalization", arXiv:1502.03167v3, Algorithms 1 and 2; the running averages (3), (4) are
    PyTorch's.

    Step by step, M and V have a row for each of num_steps steps, γ and β are shared by all. Step t
    of an input that begins `start` steps after the state was zero has row min(start + t,
    num_steps - 1): the last row serves, and learns from, everything later. Cooijmans et al. 2017,
    "Recurrent batch normalization", arXiv:1603.09025v5.

    Padded steps have no part in (2); they come out normalised like the others.

    Args:
        num_features: C.
        num_steps: rows of running statistics, one per step; None: over time and batch.
        momentum: α in [0, 1].
        eps: ε above 0.
        gamma_init, beta_init: where all of γ and β start.
        eval_with: "running", or "batch": also evaluate with the batch's own m and v (without (3)
            and (4)).
        dtype: float32 or float64.

    Attributes:
        gamma, beta: (C,). running_mean, running_var: (C,) or (num_steps, C), saved, not trained.

    Raises:
        ValueError, TypeError: out of range.
    """

    buffers = ("running_mean", "running_var")

    def __init__(
        self,
        num_features: int,
        *,
        num_steps: int | None = None,
        momentum: float = 0.1,
        eps: float = 1e-5,
        gamma_init: float = 1.0,
        beta_init: float = 0.0,
        eval_with: str = "running",
        dtype: Any = np.float32,
    ) -> None:
        self.num_features = C = check_size("BatchNorm", "num_features", num_features)
        self.num_steps = None
        if num_steps is not None:
            self.num_steps = check_size("BatchNorm", "num_steps", num_steps)
        self.momentum = check_float("BatchNorm", "momentum", momentum, 0.0, 1.0)
        self.eps = check_float("BatchNorm", "eps", eps, 0.0, open_low=True)
        self.eval_with = check_choice("BatchNorm", "eval_with", eval_with, ("running", "batch"))
        dtype = float_dtype("BatchNorm", dtype)
        gamma = check_float("BatchNorm", "gamma_init", gamma_init, -np.inf)
        beta = check_float("BatchNorm", "beta_init", beta_init, -np.inf)
        self.gamma = Parameter(np.full(C, gamma, dtype))
        self.beta = Parameter(np.full(C, beta, dtype))
        shape = (C,) if self.num_steps is None else (self.num_steps, C)
        self.running_mean: Array = np.zeros(shape, dtype)
        self.running_var: Array = np.ones(shape, dtype)

    def forward(self, x: Any, *, mask: Any = None, lengths: Any = None, start: int = 0) -> Any:
        """Normalise x.

        Args:
            x: (T, B, C).
            mask, lengths: which steps count, as IndRNN.
            start: steps between the reset of the state and x[0]; matters step by step only.

        Returns:
            y: (T, B, C).

        Raises:
            ValueError: a shape does not fit, or, in training, a single entry is to be normalised.
        """
        check_features("BatchNorm", "x", x, self.num_features, "(T, B, C)")
        start = check_size("BatchNorm", "start", start, least=0)
        if not self.is_training and self.eval_with == "running":
            M, V = self.running_mean, self.running_var
            if self.num_steps is not None:
                xp = array_module(M)
                row = xp.minimum(start + xp.arange(x.shape[0]), self.num_steps - 1)
                M, V = M[row], V[row]
            return batch_norm_eval(x, self.gamma, self.beta, M, V, eps=self.eps)
        valid = step_mask("BatchNorm", x, mask, lengths)
        per_step = self.num_steps is not None
        y, m, v = batch_norm(x, self.gamma, self.beta, mask=valid, per_step=per_step, eps=self.eps)
        if self.is_training:
            self._learn(m.data, v.data, self._count(x.shape, valid), start)
        return y

    def _count(self, shape: tuple[int, ...], valid: Array | None) -> Array:
        """Return n of (4), (1,) or (T, 1).

        Raises:
            ValueError: n is 1, so there is no variance to learn.
        """
        T, B, _ = shape
        xp = array_module(self.running_mean)
        if self.num_steps is None:
            n = xp.asarray([T * B]) if valid is None else valid.sum().reshape(1)
        else:
            n = xp.full((T, 1), B) if valid is None else valid.sum(axis=1)[:, None]
        if n.size and int(n.max()) == 1:
            raise ValueError(
                "BatchNorm: in training every average needs more than one entry, but got x of "
                f"shape {shape}; use a larger batch, or eval()"
            )
        return n

    def _learn(self, m: Array, v: Array, n: Array, start: int) -> None:
        """Update M and V in place, (3) and (4); a step with a single entry changes nothing."""
        xp, M, V = array_module(m), self.running_mean, self.running_var
        alpha = xp.where(n > 1, self.momentum, 0.0).astype(m.dtype)
        v = v * (n / xp.maximum(n - 1, 1)).astype(v.dtype)
        if self.num_steps is None:
            _approach(M, m, alpha)
            _approach(V, v, alpha)
            return
        T, last = m.shape[0], self.num_steps - 1
        own = min(max(self.num_steps - start, 0), T)  # steps with a row to themselves
        _approach(M[start : start + own], m[:own], alpha[:own])
        _approach(V[start : start + own], v[:own], alpha[:own])
        if own < T:
            _approach_in_turn(M, last, m[own:], alpha[own:])
            _approach_in_turn(V, last, v[own:], alpha[own:])


def _approach(average: Array, value: Array, alpha: Array) -> None:
    """average ← (1 - α) average + α value, in place."""
    average *= 1 - alpha
    average += alpha * value


def _approach_in_turn(averages: Array, row: int, values: Array, alpha: Array) -> None:
    """average ← (1 - α_t) average + α_t value_t for one t after another, as one sum over t.

        average ← Π_t (1 - α_t) average + Σ_t α_t Π_{s>t} (1 - α_s) value_t

    Args:
        averages: whose given row is written.
        values, alpha: (n, C) and (n, 1).
    """
    xp = array_module(values)
    kept = xp.cumprod((1 - alpha)[::-1], axis=0)[::-1]  # Π_{s≥t}
    after = xp.concatenate([kept[1:], xp.ones_like(kept[:1])])
    averages[row] = kept[0] * averages[row] + (alpha * after * values).sum(axis=0)
