"""Recurrent: layers stacked in depth and run in both directions, whatever their cell is.

Direction is one layer in one direction of time; Recurrent owns everything around it: initial
states, padding, reversing, stacking, residual sums, dropout between layers, the output. A new
recurrent layer is a Direction with its parameters and its `run`, and a Recurrent whose
constructor makes Directions:

    class EchoDirection(Direction):
        def __init__(self, input_size, hidden_size, *, rng, dtype):
            super().__init__(input_size, {"h": hidden_size})
            self.W_ih = Parameter(GLOROT(rng, (input_size, hidden_size), dtype))

        def run(self, x, states, valid, rng):
            h, h_T = some_cell(linear(x, self.W_ih), *states, valid)
            return h, (h_T,), {}

    class Echo(Recurrent):
        def __init__(self, input_size, hidden_size, *, rng, num_layers=1, dtype=np.float32):
            def make(D):
                return EchoDirection(D, hidden_size, rng=rng, dtype=dtype)

            super().__init__(input_size, make, num_layers=num_layers, dtype=dtype)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import (
    check_choice,
    check_dtype,
    check_features,
    check_flag,
    check_float,
    check_size,
    check_state,
    float_dtype,
)
from nnseq.nn.dropout import Dropout
from nnseq.nn.module import Module, ModuleList, Parameter
from nnseq.nn.padding import first_steps, last_steps, step_mask, without_padding
from nnseq.ops.joining import concat, stack, unbind
from nnseq.ops.shape import broadcast_to, flip
from nnseq.tensor import Tensor

States = tuple[Any, ...]
Run = tuple[Any, States, dict[str, Any]]  # y, final states, traces


class Direction(Module):
    """One layer in one direction of time; subclasses add parameters and `run`.

    Args:
        input_size: D.
        state_sizes: width of every state by its letter, such as {"h": H, "c": H}. The first one is
            also the output: after step t it is y_t.

    Attributes:
        output_size: width of the first state, and so of y.
        is_reversed: x comes to run in reversed order of time; Recurrent sets it. Only what belongs
            to a position in the sequence (a static zoneout mask) has to look at it.
        h0, c0, ...: (width,) learned initial states, set by Recurrent under learn_states.
    """

    is_reversed = False

    def __init__(self, input_size: int, state_sizes: Mapping[str, int]) -> None:
        who = self.layer_name()
        self.input_size = check_size(who, "input_size", input_size)
        self.state_sizes = {
            name: check_size(who, f"the size of {name}", size) for name, size in state_sizes.items()
        }
        self.output_size = next(iter(self.state_sizes.values()))

    @classmethod
    def layer_name(cls) -> str:
        """What messages call it: "LSTM" for an LSTMDirection."""
        return cls.__name__.removesuffix("Direction")

    def run(self, x: Any, states: States, valid: Array | None, rng: Any) -> Run:
        """Run over a whole sequence.

        Args:
            x: (T, B, D) in the order in which this direction reads it; zeros at padded steps of
                the first layer, anything finite there in the layers above.
            states: one (B, width) for each of state_sizes, never None.
            valid: (T, B) bool, False at padded steps, which must hold the states; or None. In
                reversed order the padded steps come first.
            rng: a generator, or None; what draws in training checks it.

        Returns:
            y: (T, B, output_size) of every step (held where padded: the caller zeroes them).
            The final states, (B, width) each; the first is y's last step.
            Traces: other whole sequences by name, such as {"c": (T, B, H)}; {} if there are none.

        Raises:
            TypeError: something is to be drawn, and rng is no generator.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no run")


class Recurrent(Module):
    """L layers, each of one or two Directions.

        y⁰ = x
        yˡ = [run→(uˡ) ; run←(uˡ)]          uˡ = yˡ⁻¹ for l = 1, dropout(yˡ⁻¹) above     (1)
        yˡ = [run→(uˡ) ; run←(uˡ)] + yˡ⁻¹    under residual, from the second layer on     (2)

    The reverse direction runs from each sequence's last valid step to its first, and y is in the
    order of x for both. Dropout has one mask for all steps (Gal and Ghahramani 2016,
    arXiv:1512.05287v5).

    Args:
        input_size: D of the first layer.
        make: make(input_size) -> Direction, called once for every direction of every layer, in
            the order of the index l·(number of directions) + d.
        num_layers: L, at least 1.
        bidirectional: two directions a layer, the outputs side by side: forward first.
        reverse: one direction a layer, the reverse one.
        residual: add (2).
        learn_states: initial states are parameters, zeros at first, the same for every sequence.
        output: "all" steps, or the "last": each direction's own last step, which is the last
            valid one forwards and the first one in reverse.
        p_drop: dropout between layers.
        dtype: of the parameters; float32 or float64.

    Attributes:
        directions: index l·(number of directions) + d.
        state_sizes: width of every state by its letter.
        output_size: width of y.

    Raises:
        ValueError, TypeError: out of range, or an option that could change nothing.
    """

    def __init__(
        self,
        input_size: int,
        make: Callable[[int], Direction],
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        reverse: bool = False,
        residual: bool = False,
        learn_states: bool = False,
        output: str = "all",
        p_drop: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        who = type(self).__name__
        self.input_size = check_size(who, "input_size", input_size)
        self.num_layers = check_size(who, "num_layers", num_layers)
        self.output = check_choice(who, "output", output, ("all", "last"))
        self.residual = check_flag(who, "residual", residual)
        self.bidirectional = check_flag(who, "bidirectional", bidirectional)
        self.learn_states = check_flag(who, "learn_states", learn_states)
        reverse = check_flag(who, "reverse", reverse)
        dtype = float_dtype(who, dtype)
        p_drop = check_float(who, "p_drop", p_drop, 0.0, np.nextafter(1.0, 0.0))
        self.dropout = Dropout(p_drop, shared_over_time=True)
        if bidirectional and reverse:
            raise ValueError(f"{who}: both bidirectional and reverse, expected one of them")
        for name, value in (("residual", residual), ("p_drop", p_drop)):
            if value and num_layers == 1:
                raise ValueError(
                    f"{who}: {name} is {value}, but acts between layers and num_layers is 1"
                )
        self.directions = ModuleList()
        width = input_size
        for _ in range(num_layers):
            for is_reversed in (False, True) if bidirectional else (reverse,):
                direction = make(width)
                direction.is_reversed = is_reversed
                if learn_states:
                    for name, size in direction.state_sizes.items():
                        setattr(direction, f"{name}0", Parameter(np.zeros(size, dtype)))
                self.directions.append(direction)
            width = direction.output_size * self.num_directions
        self.state_sizes, self.output_size = dict(direction.state_sizes), width

    @property
    def num_directions(self) -> int:
        """How many directions a layer has, 1 or 2."""
        return 2 if self.bidirectional else 1

    def forward(
        self,
        x: Any,
        states: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        rng: np.random.Generator | None = None,
        return_cells: bool = False,
    ) -> Any:
        """Run all layers over a whole sequence.

        Args:
            x: (T, B, D).
            states: what an earlier call returned as states: one array (L·directions, B, width) for
                a layer with one state, a tuple of them otherwise, (h, c) for an LSTM; None for
                the learned ones, or zeros.
            mask: (T, B), nonzero where the step counts; elsewhere the states are held, and
                whatever stands in x changes nothing. Or None.
            lengths: (B,) the same for right padding: the first so many steps count.
            rng: draws masks; needed in training where something is random.
            return_cells: also return the last layer's cell states at all steps.

        Returns:
            y: (T, B, output_size), zero at padded steps; or (B, output_size) of the last steps.
            states: the final ones, in the form of the argument.
            c: (T, B, width·directions), only under return_cells, zero at padded steps.

        Raises:
            ValueError: a shape or a length that does not fit, no step for output="last", or
                return_cells of a layer without them.
            TypeError: x is no array or Tensor, another dtype, or no rng where one is needed.
        """
        who = type(self).__name__
        self._check_input(x, return_cells)
        valid = step_mask(who, x, mask, lengths)
        starts = self._initial_states(x, states)
        x = without_padding(x, valid)
        finals: list[States] = []
        c = None
        for layer in range(self.num_layers):
            is_top = layer == self.num_layers - 1
            x, final, c = self._layer(layer, x, starts, valid, rng, return_cells and is_top)
            finals += final
        if self.output == "all":
            x = without_padding(x, valid)
        stacked = tuple(stack(of_one_name) for of_one_name in zip(*finals, strict=True))
        states = stacked if len(stacked) > 1 else stacked[0]
        if not return_cells:
            return x, states
        return x, states, without_padding(c, valid)

    def _layer(
        self,
        layer: int,
        below: Any,
        starts: list[States],
        valid: Array | None,
        rng: Any,
        wants_cells: bool,
    ) -> tuple[Any, list[States], Any]:
        """Run one layer, (1) and (2); return y, the final states and, if wanted, c."""
        D, is_top = self.num_directions, layer == self.num_layers - 1
        u = self.dropout(below, rng) if layer > 0 else below
        runs = [self._run(layer * D + d, u, starts[layer * D + d], valid, rng) for d in range(D)]
        is_added = self.residual and layer > 0
        if is_top and self.output == "last":
            y = _joined([final[0] for _, final, _ in runs])
            y = y + self._own_last_steps(below, valid) if is_added else y
        else:
            y = self._in_order([y for y, _, _ in runs])
            y = y + below if is_added else y
        c = self._in_order([traces["c"] for _, _, traces in runs]) if wants_cells else None
        return y, [final for _, final, _ in runs], c

    def _run(self, k: int, x: Any, start: States, valid: Array | None, rng: Any) -> Run:
        """Run direction k, which gets x in its own order."""
        direction: Direction = self.directions[k]
        if direction.is_reversed:
            # A view: linear copies it, D wide. The pre-activations, if they were flipped instead,
            # would be copied at the width of all gates.
            x, valid = flip(x, 0), None if valid is None else valid[::-1]
        return direction.run(x, start, valid, rng)

    def _in_order(self, sequences: list[Any]) -> Any:
        """Join whole sequences of a layer's directions, in the order of x."""
        reversed_ones = [d.is_reversed for d in self.directions][: self.num_directions]
        return _joined(
            [flip(y, 0) if r else y for y, r in zip(sequences, reversed_ones, strict=True)]
        )

    def _own_last_steps(self, y: Any, valid: Array | None) -> Any:
        """Of y (T, B, ...), whose columns belong to directions: each one's own last valid step."""
        parts, width = [], self.output_size // self.num_directions
        for d in range(self.num_directions):
            is_reversed = self.directions[d].is_reversed
            if valid is None:
                steps: Any = 0 if is_reversed else -1
            else:
                steps = (first_steps if is_reversed else last_steps)(valid)
            parts.append(y[steps][:, d * width : (d + 1) * width])
        return _joined(parts)

    # ---- states and checks ---------------------------------------------------------------------

    def _initial_states(self, x: Any, states: Any) -> list[States]:
        """One tuple of (B, width) for every direction: as given, learned, or zeros."""
        B, number = x.shape[1], len(self.directions)
        if states is not None:
            given = self._check_states(x, states)
            return list(zip(*(unbind(s, 0) for s in given), strict=True))
        xp = array_module(x.data if isinstance(x, Tensor) else x)
        if not self.learn_states:
            zeros = tuple(xp.zeros((B, size), x.dtype) for size in self.state_sizes.values())
            return [zeros] * number
        return [
            tuple(
                broadcast_to(getattr(d, f"{name}0"), (B, size))
                for name, size in self.state_sizes.items()
            )
            for d in self.directions
        ]

    def _check_states(self, x: Any, states: Any) -> States:
        """Return the given states as a tuple of arrays (L·directions, B, width)."""
        who, names = type(self).__name__, list(self.state_sizes)
        if len(names) == 1:
            states = (states,)
        form = names[0] if len(names) == 1 else f"a tuple ({', '.join(names)})"
        if not isinstance(states, (tuple, list)) or len(states) != len(names):
            raise TypeError(f"{who}: states is a {type(states).__name__}, expected {form}")
        for state, (name, size) in zip(states, self.state_sizes.items(), strict=True):
            expected = (len(self.directions), x.shape[1], size)
            check_state(
                who,
                f"{name} of states",
                state,
                expected,
                "(layers · directions, B, width)",
                x.dtype,
            )
        return tuple(states)

    def _check_input(self, x: Any, return_cells: bool) -> None:
        who = type(self).__name__
        check_features(who, "x", x, self.input_size, "(T, B, D)")
        modules = (vars(module) for _, module in self.named_modules())
        dtype = next(x.dtype for own in modules for x in own.values() if isinstance(x, Tensor))
        check_dtype(who, "x", x, dtype)
        if return_cells and "c" not in self.state_sizes:
            raise ValueError(f"{who}: return_cells is True, but the layer has no cell state c")
        if self.output == "last" and x.shape[0] == 0:
            raise ValueError(f"{who}: x has no step, so there is no last one for output='last'")


def _joined(parts: list[Any]) -> Any:
    """Put parts side by side; a single one as it is, without a copy."""
    return parts[0] if len(parts) == 1 else concat(parts, -1)
