"""BatchNormLSTM: the layers over the LSTM with recurrent batch norm, and its running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.cells.lstm_batchnorm import lstm_batchnorm
from nnseq.nn.arguments import check_float, check_rng, check_size
from nnseq.nn.cell_direction import ORTHOGONAL, CellDirection, CellOptions
from nnseq.nn.initializers import GLOROT, Initializer
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Recurrent, Run, States
from nnseq.ops.linear import linear


class BatchNormLSTMDirection(CellDirection):
    """One direction of a BatchNormLSTM, with running statistics for each of its steps.

    Step t is the t-th one that counts in each sequence, in the order in which this direction reads
    it: sequences are moved to the front of padded steps first, and the states back afterwards. So
    the reverse direction's first row belongs to last steps, however long the sequences are.

    Attributes:
        running_mean, running_var: (num_steps, 9H) of x W_ih, h W_hh and c, side by side as
            nnseq.cells.lstm_batchnorm returns them.
        trained_steps: (1,) how many rows training has reached.
    """

    buffers = ("running_mean", "running_var", "trained_steps")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        options: CellOptions,
        *,
        num_steps: int,
        momentum: float,
        gamma_init: float,
        forget_init: float,
        initial_noise: float,
        eps: float,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            options,
            states=("h", "c"),
            gates=(0.0, forget_init, 0.0, 0.0),
            recurrent_gates=4,
        )
        H, dtype = self.hidden_size, options.dtype
        self.gamma_x = Parameter(np.full(4 * H, gamma_init, dtype))
        self.gamma_h = Parameter(np.full(4 * H, gamma_init, dtype))
        self.gamma_c = Parameter(np.full(H, gamma_init, dtype))
        self.beta_c = Parameter(np.zeros(H, dtype))
        self.num_steps, self.momentum, self.eps = num_steps, momentum, eps
        self.initial_noise = initial_noise
        self.running_mean: Array = np.zeros((num_steps, 9 * H), dtype)
        self.running_var: Array = np.ones((num_steps, 9 * H), dtype)
        self.trained_steps: Array = np.zeros(1, np.int64)

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        z = self.zoneout_weights(x, rng)
        back = None
        if valid is not None and _has_gaps(valid):
            there, back = _to_the_front(valid)
            x, valid = x[there], valid[there]
            z = tuple(w[there[0], 0] if w is not None and _is_static(w) else w for w in z)
        h0, c0 = self._with_noise(states[0], rng), states[1]
        W_ih, W_hh = self.weights(rng)
        h, c, h_T, c_T, mean, var = lstm_batchnorm(
            linear(x, W_ih),
            W_hh,
            self.b,
            self.gamma_x,
            self.gamma_h,
            self.gamma_c,
            self.beta_c,
            h0,
            c0,
            *z,
            valid,
            *self._population(x.shape[0]),
            eps=self.eps,
        )
        if self.is_training:
            self._learn(mean.data, var.data, self._counts(x.shape, valid))
        if back is not None:
            h, c = h[back], c[back]
        return h, (h_T, c_T), {"c": c}

    def _with_noise(self, h0: Any, rng: Any) -> Any:
        if not self.is_training or self.initial_noise == 0:
            return h0
        rng = check_rng("BatchNormLSTM with initial_noise in training", rng)
        noise = self.initial_noise * rng.standard_normal(tuple(h0.shape))
        return h0 + to_device(noise, device_of(self.running_mean)).astype(h0.dtype)

    def _population(self, T: int) -> tuple[Array | None, Array | None]:
        """Return the rows of the running statistics for T steps, or None and None in training."""
        if self.is_training:
            return None, None
        last = max(int(self.trained_steps[0]), 1) - 1
        rows = array_module(self.running_mean).arange(T).clip(0, last)
        return self.running_mean[rows], self.running_var[rows]

    def _counts(self, shape: tuple[int, ...], valid: Array | None) -> int:
        """Return how many steps, all at the front, average over more than one sequence.

        Raises:
            ValueError: none of them does.
        """
        T, B = shape[:2]
        if valid is None:
            steps = T if B > 1 else 0
        else:
            steps = int((valid.sum(axis=1) > 1).sum())
        if T > 0 and B > 0 and steps == 0:
            raise ValueError(
                f"BatchNormLSTM: in training a step's averages need more than one sequence, but "
                f"got x of shape {tuple(shape)}; use a larger batch, or eval()"
            )
        return steps

    def _learn(self, mean: Array, var: Array, steps: int) -> None:
        """Move the running statistics, one row a step, towards those of the first steps."""
        trained, own = int(self.trained_steps[0]), min(steps, self.num_steps)
        alpha = array_module(mean).full((own, 1), self.momentum, mean.dtype)
        alpha[trained:] = 1  # a row's first statistics stand for themselves
        for running, batch in ((self.running_mean, mean), (self.running_var, var)):
            running[:own] = (1 - alpha) * running[:own] + alpha * batch[:own]
        self.trained_steps[0] = max(trained, own)


class BatchNormLSTM(Recurrent):
    """LSTM with recurrent batch normalisation.

        [i f g o] = [σ σ tanh σ](BN(x_t W_ih; γ_x) + BN(h_{t-1} W_hh; γ_h) + b)      (1)
        c_t = f ∘ c_{t-1} + i ∘ g,   h_t = o ∘ tanh(BN(c_t; γ_c) + β_c)              (2)
        M_t ← (1 - α) M_t + α m_t,   V_t ← (1 - α) V_t + α v_t      in training      (3)

    In training BN uses m_t and v_t, the average and the variance (divided by n) over the n
    sequences for which step t counts; in evaluation M_t and V_t. Each of the three BN has its own,
    and each step t. See nnseq.cells.lstm_batchnorm for zoneout, and for steps that count for one
    sequence or none; such steps leave (3) out, and a first update has α = 1.

    After T_train steps, the most that training has reached, evaluation uses the last row's
    statistics, as the paper does. In training, steps beyond num_steps are normalised by the batch
    as all others are, and leave (3) out: the last row is of step num_steps - 1 alone. Steps are
    counted from the start of each call, also where states of an earlier one are given. A layer that
    was never trained evaluates with M = 0 and V = 1.

    Cooijmans, Ballas, Laurent, Gülçehre, Courville 2017, "Recurrent batch normalization",
    arXiv:1603.09025v5. Its authors' programs have α = 0.05 for characters of Penn Treebank; here
    it is 0.1, as in nnseq.nn.BatchNorm.

    Parameters of a direction: W_ih (D, 4H), W_hh (H, 4H), b, gamma_x, gamma_h (4H,), gamma_c,
    beta_c (H,). The states are the tuple (h, c).

    Args:
        input_size, hidden_size: D and H.
        num_steps: rows of running statistics: the length of the sequences in training.
        rng: draws the initial values, and static zoneout masks.
        num_layers, bidirectional, reverse, residual, learn_states, output, p_drop: as Recurrent.
        W_init, W_hh_init: of W_ih and W_hh, gate by gate.
        zoneout_h, zoneout_c: the chances that h and c of a unit keep their old values; in
            evaluation, the weights of these.
        zoneout_masks: "fresh", "shared" between h and c, or "static"; seq_len: of static masks,
            the longest sequence. See nnseq.nn.zoneout.
        p_dropconnect: the chance to drop an entry of W_hh, for a whole call, in training.
        momentum: α in [0, 1].
        gamma_init: where all γ start; the paper's 0.1 keeps tanh and σ from saturating.
        forget_init: where the forget gate's part of b starts; the rest of b, and β_c, start at 0.
        initial_noise: in training, N(0, initial_noise²) is added to h before the first step, so
            that it has a variance: the paper's remedy where x is constant over the batch for long.
        eps: added to every variance; above 0.
        dtype: float32 or float64.

    Raises:
        ValueError, TypeError: out of range, or an option that could change nothing.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_steps: int,
        *,
        rng: np.random.Generator,
        num_layers: int = 1,
        bidirectional: bool = False,
        reverse: bool = False,
        residual: bool = False,
        learn_states: bool = False,
        output: str = "all",
        p_drop: float = 0.0,
        W_init: Initializer = GLOROT,
        W_hh_init: Initializer = ORTHOGONAL,
        zoneout_h: float = 0.0,
        zoneout_c: float = 0.0,
        zoneout_masks: str = "fresh",
        seq_len: int | None = None,
        p_dropconnect: float = 0.0,
        momentum: float = 0.1,
        gamma_init: float = 0.1,
        forget_init: float = 1.0,
        initial_noise: float = 0.0,
        eps: float = 1e-5,
        dtype: Any = np.float32,
    ) -> None:
        who = "BatchNormLSTM"
        self.hidden_size = check_size(who, "hidden_size", hidden_size)
        self.num_steps = check_size(who, "num_steps", num_steps)
        self.momentum = check_float(who, "momentum", momentum, 0.0, 1.0)
        self.eps = check_float(who, "eps", eps, 0.0, open_low=True)
        gamma_init = check_float(who, "gamma_init", gamma_init, -np.inf)
        forget_init = check_float(who, "forget_init", forget_init, -np.inf)
        self.initial_noise = check_float(who, "initial_noise", initial_noise, 0.0)
        options = CellOptions(
            rng=rng,
            dtype=dtype,
            bias=True,
            W_init=W_init,
            W_hh_init=W_hh_init,
            zoneout=(zoneout_h, zoneout_c),
            zoneout_masks=zoneout_masks,
            seq_len=seq_len,
            p_dropconnect=p_dropconnect,
        )
        super().__init__(
            input_size,
            lambda D: BatchNormLSTMDirection(
                D,
                hidden_size,
                options,
                num_steps=self.num_steps,
                momentum=self.momentum,
                gamma_init=gamma_init,
                forget_init=forget_init,
                initial_noise=self.initial_noise,
                eps=self.eps,
            ),
            num_layers=num_layers,
            bidirectional=bidirectional,
            reverse=reverse,
            residual=residual,
            learn_states=learn_states,
            output=output,
            p_drop=p_drop,
            dtype=dtype,
        )


def _has_gaps(valid: Array) -> bool:
    """Does any step that counts follow a padded one?"""
    return bool((valid[1:] & ~valid[:-1]).any())


def _is_static(z: Array) -> bool:
    """Is z (T, 1, H), a mask that belongs to the steps of the sequence?"""
    T_or_1, B_or_1, _ = z.shape
    return bool(T_or_1 > 1 and B_or_1 == 1)


def _to_the_front(valid: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return two indices: x[there] has the steps that count first, y[back] the old order again.

    Args:
        valid: (T, B) bool.

    Returns:
        (t, b) twice, (T, B) and (1, B) each. The order of the steps that count stays, and so does
        that of the others.
    """
    xp = array_module(valid)
    T, B = valid.shape
    b, t = xp.arange(B)[None], xp.arange(T)[:, None]
    counted = xp.cumsum(valid.astype(xp.int64), axis=0)  # up to and with this step
    place = xp.where(valid, counted - 1, counted[-1:] + t - counted)
    order = xp.empty_like(place)
    order[place, b] = t
    return (order, b), (place, b)
