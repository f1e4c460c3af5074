"""CellDirection: what the Directions around the recurrent cells have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import (
    check_choice,
    check_flag,
    check_float,
    check_rng,
    check_size,
    float_dtype,
)
from nnseq.nn.dropconnect import DropConnect
from nnseq.nn.initializers import Initializer, Orthogonal, check_initializer
from nnseq.nn.input_gate_dropout import InputGateDropout
from nnseq.nn.module import Parameter
from nnseq.nn.recurrent import Direction
from nnseq.nn.weight_norm import WeightNorm
from nnseq.nn.zoneout import MASKS, Zoneout

ORTHOGONAL = Orthogonal()


@dataclass(frozen=True)
class CellOptions:
    """The arguments of a layer that it hands on to its Directions.

    Args:
        rng: draws initial values and static zoneout masks.
        dtype: float32 or float64.
        bias: are there biases?
        W_init, W_hh_init: of the weights of one gate, (D, H) and (H, H).
        zoneout: for every state the probability of keeping its old value.
        zoneout_masks, seq_len: "fresh", "shared" or "static", and the longest sequence of the last.
        p_drop_igate: the chance to drop what a step writes into the state.
        p_dropconnect: the chance to drop an entry of W_hh.
        weight_norm: W_ih and W_hh have column lengths of their own.
    """

    rng: Any
    dtype: Any
    bias: bool
    W_init: Initializer
    W_hh_init: Initializer
    zoneout: tuple[float, ...]
    zoneout_masks: str = "fresh"
    seq_len: int | None = None
    p_drop_igate: float = 0.0
    p_dropconnect: float = 0.0
    weight_norm: bool = False


class CellDirection(Direction):
    """W_ih, W_hh and b of one direction, and the random weights of its recurrence.

        a = x W_ih + b                        one product for all steps               (1)
        Ŵ = g ∘ W / ‖W‖ per column            weight_norm, for W_ih and W_hh          (2)
        Ŵ_hh ∘ mask / (1 - p_dropconnect)     DropConnect, after (2), in training     (3)

    A static zoneout mask belongs to the steps of the sequence: row t is that of x_t in either
    direction, so that padding more or less changes nothing.

    Args:
        input_size, hidden_size: D and H.
        options: as the layer was given them.
        states: letters of the states, of width H each; the first, h, is proj_size wide if given.
        gates: where b starts, for each gate of W_ih (D, gates·H).
        recurrent_gates: W_hh is (H, recurrent_gates·H), or (proj_size, recurrent_gates·H).

    Attributes:
        W_ih, W_hh, b: drawn gate by gate, so that a gate's fans are (D, H) and (H, H); b may be
            None. norm_ih, norm_hh: hold the lengths of (2), or None.

    Raises:
        ValueError, TypeError: out of range, or an option of zoneout without zoneout.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        options: CellOptions,
        *,
        states: Sequence[str] = ("h",),
        gates: Sequence[float],
        recurrent_gates: int,
        proj_size: int | None = None,
    ) -> None:
        who = self.layer_name()
        H = check_size(who, "hidden_size", hidden_size)
        P = H if proj_size is None else check_size(who, "proj_size", proj_size)
        super().__init__(input_size, dict.fromkeys(states, H) | {states[0]: P})
        self.hidden_size = H
        rng, dtype = check_rng(who, options.rng), float_dtype(who, options.dtype)

        check_initializer(who, "W_init", options.W_init)
        check_initializer(who, "W_hh_init", options.W_hh_init)
        has_bias = check_flag(who, "bias", options.bias)
        has_lengths = check_flag(who, "weight_norm", options.weight_norm)

        def draw(init: Initializer, fan_in: int, number: int) -> Parameter:
            blocks = [init(rng, (fan_in, H), dtype) for _ in range(number)]
            return Parameter(np.concatenate(blocks, axis=1))

        self.W_ih = draw(options.W_init, self.input_size, len(gates))
        self.W_hh = draw(options.W_hh_init, P, recurrent_gates)
        self.b = Parameter(np.repeat(np.array(gates, dtype), H)) if has_bias else None
        self.norm_ih = WeightNorm(self.W_ih) if has_lengths else None
        self.norm_hh = WeightNorm(self.W_hh) if has_lengths else None
        p = check_float(who, "p_dropconnect", options.p_dropconnect, 0.0, np.nextafter(1.0, 0.0))
        self.dropconnect = DropConnect(p) if p else None
        p = check_float(who, "p_drop_igate", options.p_drop_igate, 0.0, 1.0)
        self.input_gate_dropout = InputGateDropout(p) if p else None
        self.zoneout = self._zoneout(who, states, options)

    def _zoneout(self, who: str, states: Sequence[str], options: CellOptions) -> Zoneout | None:
        masks, seq_len = options.zoneout_masks, options.seq_len
        p = tuple(
            check_float(who, f"zoneout_{state}", value, 0.0, 1.0)
            for state, value in zip(states, options.zoneout, strict=True)
        )
        check_choice(who, "zoneout_masks", masks, MASKS)
        if masks == "shared" and len(p) == 1:
            raise ValueError(f"{who}: zoneout_masks is 'shared', but there is one state only")
        widths = tuple(self.state_sizes.values())
        if masks == "shared" and len(set(widths)) > 1:
            raise ValueError(f"{who}: zoneout_masks is 'shared', but the states are {widths} wide")
        if any(p):
            if masks == "static" and seq_len is None:
                raise TypeError(
                    f"{who}: zoneout_masks is 'static', but seq_len is None; give seq_len the "
                    f"number of steps of the longest sequence"
                )
            if masks == "static":
                check_size(who, "seq_len", seq_len)
            elif seq_len is not None:
                raise ValueError(
                    f"{who}: seq_len is {seq_len}, but zoneout_masks is {masks!r}; leave it out, "
                    f"or choose zoneout_masks='static'"
                )
            return Zoneout(p, widths, masks=masks, seq_len=seq_len, rng=options.rng)
        if masks != "fresh" or seq_len is not None:
            names = " and ".join(f"zoneout_{state}" for state in states)
            raise ValueError(
                f"{who}: zoneout_masks is {masks!r} and seq_len is {seq_len}, but {names} is 0, "
                f"so there is no zoneout; leave them out"
            )
        return None

    def weights(self, rng: Any) -> tuple[Any, Any]:
        """Return W_ih and W_hh as (2) and (3) make them."""
        W_ih = self.W_ih if self.norm_ih is None else self.norm_ih(self.W_ih)
        W_hh = self.W_hh if self.norm_hh is None else self.norm_hh(self.W_hh)
        return W_ih, W_hh if self.dropconnect is None else self.dropconnect(W_hh, rng)

    def zoneout_weights(self, x: Any, rng: Any) -> tuple[Array | None, ...]:
        """Return the weight of each state's old value in this run over x (T, B, ·), or None."""
        if self.zoneout is None:
            return (None,) * len(self.state_sizes)
        z: tuple[Array | None, ...] = self.zoneout(*x.shape[:2], x, rng)
        if not self.is_reversed or self.zoneout.masks != "static":
            return z
        return tuple(None if w is None else array_module(w).array(w[::-1], order="C") for w in z)

    def input_gate_weights(self, x: Any, rng: Any) -> Array | None:
        """Return the weight of what each step of x (T, B, ·) writes into the state, or None."""
        if self.input_gate_dropout is None:
            return None
        T, B = x.shape[:2]
        d_i: Array | None = self.input_gate_dropout(T, B, self.hidden_size, x, rng)
        return d_i
