"""Zoneout: some units keep their old value through a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.nn.arguments import check_choice, check_float, check_rng, check_size
from nnseq.nn.bernoulli import bernoulli, bernoulli_bool
from nnseq.nn.module import Module
from nnseq.tensor import Tensor

MASKS = ("fresh", "shared", "static")


class Zoneout(Module):
    """Draw the weights of the old value for each state of a recurrent layer.

        s_t = z ∘ s_{t-1} + (1 - z) ∘ s̃_t                                      (1)
        z = 1 with probability p, else 0     in training                        (2)
        z = p                                in evaluation                      (3)

    z = 1 keeps the OLD value. Nothing is scaled: (3) is the average of (2), and (1) is linear in z.
    The cell computes (1) from the weights that come from here.

    "fresh" masks are independent over steps, sequences, units and states. "shared" ones are drawn
    once for all states: where their p differ, a unit that holds the less likely state holds the
    others too. "static" masks, (T, 1, H), are drawn once, at construction, the same for the whole
    batch and the whole run. They say which units update when, as the wiring of the network does,
    and its weights have learned with this wiring alone; so they stay in evaluation, instead of
    (3), and are saved with the parameters.

    Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden activations",
    arXiv:1606.01305v4.

    Args:
        p: one probability in [0, 1] of keeping the old value for each state: (h,) or (h, c).
        hidden_size: H; or the width of each state, where they differ and masks are not "shared".
        masks: "fresh", "shared" or "static".
        seq_len: of static masks, the longest sequence; a shorter one has the first of its steps.
        rng: draws static masks; not needed otherwise.

    Attributes:
        held: (states, seq_len, H) bool, True where a unit keeps its old value; static masks only.
            Of a narrower state the first columns count.

    Raises:
        ValueError, TypeError: out of range, or seq_len without static masks, which alone have one.
    """

    def __init__(
        self,
        p: Sequence[float],
        hidden_size: int | Sequence[int],
        *,
        masks: str = "fresh",
        seq_len: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        if isinstance(p, str) or not isinstance(p, Sequence) or not p:
            raise TypeError(
                f"Zoneout: p is {p!r}, expected one probability for each state, such as (0.05,) "
                f"for h or (0.05, 0.5) for h and c"
            )
        self.p = tuple(check_float("Zoneout", f"p[{k}]", q, 0.0, 1.0) for k, q in enumerate(p))
        sizes = hidden_size if isinstance(hidden_size, Sequence) else [hidden_size] * len(self.p)
        self.widths = tuple(check_size("Zoneout", "hidden_size", size) for size in sizes)
        self.masks = check_choice("Zoneout", "masks", masks, MASKS)
        if len(self.widths) != len(self.p) or (masks == "shared" and len(set(self.widths)) > 1):
            raise ValueError(
                f"Zoneout: hidden_size is {hidden_size}, expected one number, or {len(self.p)} for "
                f"masks that are not shared"
            )
        if masks != "static":
            if seq_len is not None:
                raise ValueError(
                    f"Zoneout: seq_len is {seq_len}, but masks are {masks!r}; leave it out, or "
                    f"choose masks='static'"
                )
            return
        shape = (check_size("Zoneout", "seq_len of static masks", seq_len), max(self.widths))
        rng = check_rng("Zoneout with static masks", rng)
        drawn = [to_device(bernoulli_bool(rng, q, shape), "cpu") for q in self.p]
        self.held: Array = np.stack(drawn)
        self.buffers = ("held",)  # type: ignore[misc]  # of this object: the others have no masks

    def forward(self, T: int, B: int, like: Any, rng: Any = None) -> tuple[Array | None, ...]:
        """Return z of (1) for each state, None where its p is 0.

        Args:
            T, B: steps and sequences.
            like: array or Tensor whose dtype and device the weights get.
            rng: draws the masks; needed in training, unless they are static or every p is 0.

        Returns:
            per state: (T, B, H) fresh or shared, in training; (1, 1, H) in evaluation; (T, 1, H)
            static.

        Raises:
            TypeError: no generator came although one is needed.
            ValueError: T is above the seq_len of static masks.
        """
        array = like.data if isinstance(like, Tensor) else like
        if self.masks == "static":
            return self._static(T, array)
        if not any(self.p):
            return (None,) * len(self.p)
        if not self.is_training:
            xp = array_module(array)
            return tuple(
                xp.full((1, 1, width), q, array.dtype) if q else None  # (3)
                for q, width in zip(self.p, self.widths, strict=True)
            )
        rng = check_rng("Zoneout in training (eval() turns it off)", rng)
        if self.masks == "shared":
            return self._shared((T, B, self.widths[0]), array, rng)
        return tuple(
            bernoulli(rng, q, (T, B, width), array) if q else None  # (2)
            for q, width in zip(self.p, self.widths, strict=True)
        )

    def _shared(self, shape: tuple[int, ...], array: Array, rng: Any) -> tuple[Array | None, ...]:
        """Masks that lie in each other: P(held) falls from p to p' by another draw of p' / p."""
        weights: dict[int, Array] = {}
        z, likelier = None, 1.0
        for k in sorted(range(len(self.p)), key=lambda k: -self.p[k]):
            q = self.p[k]
            if q and (z is None or q < likelier):
                drawn = bernoulli(rng, q / likelier, shape, array)
                z = drawn if z is None else z * drawn
            if q:
                weights[k], likelier = z, q
        return tuple(weights.get(k) for k in range(len(self.p)))

    def _static(self, T: int, array: Array) -> tuple[Array | None, ...]:
        seq_len = self.held.shape[1]
        if seq_len < T:
            raise ValueError(
                f"Zoneout: the sequence has {T} steps, expected at most seq_len = {seq_len}, for "
                f"which the static masks were drawn; build it with seq_len={T}"
            )
        held = to_device(self.held[:, :T, None], device_of(array)).astype(array.dtype)
        return tuple(
            array_module(array).ascontiguousarray(held[k, ..., :width]) if q else None
            for k, (q, width) in enumerate(zip(self.p, self.widths, strict=True))
        )
