"""Grid LSTM: memory cells along time and along depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import (
    check_choice,
    check_dtype,
    check_features,
    check_flag,
    check_float,
    check_rng,
    check_size,
    check_state,
    float_dtype,
)
from nnseq.nn.initializers import GLOROT, ZEROS, Initializer, check_initializer
from nnseq.nn.module import Module, ModuleList, Parameter
from nnseq.nn.padding import step_mask, without_padding
from nnseq.ops.activations import sigmoid, tanh
from nnseq.ops.elementwise import where
from nnseq.ops.joining import concat, split, stack, unbind
from nnseq.ops.linear import linear

States = tuple[Any, Any]  # h and c of one dimension, (B, H) each


class GridLSTMBlock(Module):
    """The LSTMs of one place of a two-dimensional grid: one along time, one along depth.

    Both read the hidden states of both dimensions; each has weights and a memory cell of its own.

        s = [h_time, h_depth]                                                   (1)
        i, f, g, o = s W + b, four blocks of H columns                          (2)
        c' = σ(f + forget_bias) ∘ c + σ(i) ∘ tanh(g)                            (3)
        h' = tanh(σ(o) ∘ c')                                                    (4)

    (2) to (4) run along time with W_time, b_time, c_time, and along depth with the others. With a
    priority, that dimension runs second, and (1) has the other's h' in the place of its h.

    Kalchbrenner, Danihelka and Graves 2015, "Grid long short-term memory", arXiv:1507.01526v3.
    Their tanh in (4) is outside of the gate, unlike nn.LSTM's; forget_bias is an addition.

    Args:
        hidden_size: H.
        rng: draws the initial values.
        priority: "time", "depth" or None.
        forget_bias: added to f in (3).
        W_init: of W_time and W_depth, (2 H, 4 H).
        b_init: of b_time and b_depth, (4 H,); None for no biases.
        dtype: float32 or float64.

    Attributes:
        W_time, W_depth: (2 H, 4 H). b_time, b_depth: (4 H,) or None.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        priority: str | None = None,
        forget_bias: float = 1.0,
        W_init: Initializer = GLOROT,
        b_init: Initializer | None = ZEROS,
        dtype: Any = np.float32,
    ) -> None:
        who = "GridLSTMBlock"
        self.hidden_size = H = check_size(who, "hidden_size", hidden_size)
        self.priority = check_choice(who, "priority", priority, (None, "time", "depth"))
        self.forget_bias = check_float(who, "forget_bias", forget_bias, -np.inf)
        rng, dtype = check_rng(who, rng), float_dtype(who, dtype)
        _check_initializers(who, W_init, b_init)
        self.W_time = Parameter(W_init(rng, (2 * H, 4 * H), dtype))
        self.b_time = None if b_init is None else Parameter(b_init(rng, (4 * H,), dtype))
        self.W_depth = Parameter(W_init(rng, (2 * H, 4 * H), dtype))
        self.b_depth = None if b_init is None else Parameter(b_init(rng, (4 * H,), dtype))

    def forward(self, time: States, depth: States) -> tuple[States, States]:
        """Take one step in both dimensions.

        Args:
            time: h and c, (B, H) each, from the step before.
            depth: h and c, (B, H) each, from the layer below.

        Returns:
            The two pairs for the next step and for the layer above.
        """
        (h_time, c_time), (h_depth, c_depth) = time, depth
        if self.priority == "time":
            depth = self._lstm(h_time, h_depth, c_depth, self.W_depth, self.b_depth)
            return self._lstm(h_time, depth[0], c_time, self.W_time, self.b_time), depth
        time = self._lstm(h_time, h_depth, c_time, self.W_time, self.b_time)
        if self.priority == "depth":
            h_time = time[0]
        return time, self._lstm(h_time, h_depth, c_depth, self.W_depth, self.b_depth)

    def _lstm(self, h_time: Any, h_depth: Any, c: Any, W: Any, b: Any) -> States:
        s = concat((h_time, h_depth), -1)  # (1)
        i, f, g, o = split(linear(s, W, b), 4, -1)  # (2)
        c = sigmoid(f + self.forget_bias) * c + sigmoid(i) * tanh(g)  # (3)
        return tanh(sigmoid(o) * c), c  # (4)


class GridLSTM(Module):
    """A two-dimensional Grid LSTM: num_layers blocks above each other, at every time step.

        h_depth, c_depth at t, layer 0:   x_t W_ih + b, two blocks of H columns    (5)
        h_time, c_time at step 0:         zeros, or what is given                  (6)
        time, depth ← block k (time of t - 1, layer k; depth of t, layer k - 1)    (7)
        y_t = h_depth above the last layer                                         (8)

    Where an ordinary stack of LSTMs hands h alone from layer to layer, here a memory cell runs
    through the layers too.

    Kalchbrenner, Danihelka and Graves 2015, arXiv:1507.01526v3.

    Args:
        input_size: D.
        hidden_size: H, of both dimensions.
        num_layers: L, at least 1.
        rng: draws the initial values.
        tied: one block serves all layers.
        priority, forget_bias: as GridLSTMBlock.
        W_init: of W_ih, (D, 2 H), and of the blocks' weights.
        b_init: of b, (2 H,), and of the blocks' biases; None for no biases.
        dtype: float32 or float64.

    Attributes:
        W_ih: (D, 2 H). b: (2 H,) or None. blocks: L of them, or one if tied.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        rng: np.random.Generator,
        tied: bool = False,
        priority: str | None = None,
        forget_bias: float = 1.0,
        W_init: Initializer = GLOROT,
        b_init: Initializer | None = ZEROS,
        dtype: Any = np.float32,
    ) -> None:
        self.input_size = D = check_size("GridLSTM", "input_size", input_size)
        self.hidden_size = H = check_size("GridLSTM", "hidden_size", hidden_size)
        self.num_layers = L = check_size("GridLSTM", "num_layers", num_layers)
        self.tied = check_flag("GridLSTM", "tied", tied)
        rng, dtype = check_rng("GridLSTM", rng), float_dtype("GridLSTM", dtype)
        _check_initializers("GridLSTM", W_init, b_init)
        self.W_ih = Parameter(W_init(rng, (D, 2 * H), dtype))
        self.b = None if b_init is None else Parameter(b_init(rng, (2 * H,), dtype))
        self.blocks = ModuleList(
            GridLSTMBlock(
                H,
                rng=rng,
                priority=priority,
                forget_bias=forget_bias,
                W_init=W_init,
                b_init=b_init,
                dtype=dtype,
            )
            for _ in range(1 if tied else L)
        )

    def forward(self, x: Any, states: Any = None, *, mask: Any = None, lengths: Any = None) -> Any:
        """Run over a whole sequence.

        Args:
            x: (T, B, D).
            states: h and c of the time dimension before the first step, (L, B, H) each; or None
                for zeros.
            mask: (T, B), nonzero where the step counts; elsewhere the states are held. Or None.
            lengths: (B,) the same as a mask: the first so many steps count.

        Returns:
            y: (T, B, H) of (8), zero at steps that do not count; and the pair of last states of
            the time dimension, (L, B, H) each.

        Raises:
            ValueError, TypeError: shapes or dtypes that do not fit.
        """
        check_features("GridLSTM", "x", x, self.input_size, "(T, B, D)")
        check_dtype("GridLSTM", "x", x, self.W_ih.dtype)
        valid = step_mask("GridLSTM", x, mask, lengths)
        states = self._initial_states(x, states)
        x = without_padding(x, valid)
        h_depth, c_depth = split(linear(x, self.W_ih, self.b), 2, -1)  # (5)
        if not len(h_depth):
            return h_depth, states
        blocks = list(self.blocks) * (self.num_layers if self.tied else 1)
        time, ys = list(zip(*map(unbind, states), strict=True)), []
        for t, depth in enumerate(zip(unbind(h_depth), unbind(c_depth), strict=True)):
            for k, block in enumerate(blocks):
                after, depth = block(time[k], depth)  # (7)
                time[k] = after if valid is None else hold(valid[t][:, None], after, time[k])
            ys.append(depth[0])  # (8)
        y = without_padding(stack(ys), valid)
        return y, tuple(stack(parts) for parts in zip(*time, strict=True))

    def _initial_states(self, x: Any, states: Any) -> States:
        shape = (self.num_layers, x.shape[1], self.hidden_size)
        if states is None:
            zeros: Array = array_module(self.W_ih.data).zeros(shape, self.W_ih.dtype)  # (6)
            return zeros, zeros
        if not isinstance(states, (tuple, list)) or len(states) != 2:
            raise TypeError(
                f"GridLSTM: states is a {type(states).__name__}, expected a pair (h, c)"
            )
        for name, state in zip("hc", states, strict=True):
            check_state("GridLSTM", f"{name} of states", state, shape, "(L, B, H)", x.dtype)
        return states[0], states[1]


def hold(counts: Any, states: States, before: States) -> States:
    """The states where the step counts, elsewhere those before it."""
    h, c = (where(counts, new, old) for new, old in zip(states, before, strict=True))
    return h, c


def _check_initializers(who: str, W_init: Any, b_init: Any) -> None:
    check_initializer(who, "W_init", W_init)
    if b_init is not None:
        check_initializer(who, "b_init", b_init)
