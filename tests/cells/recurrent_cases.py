"""Inputs for every recurrent cell and option, for the tests of the reference and of the kernels.

Entries near a kink (relu at 0, the cell's clip) are moved away from it by running the cell's
formulas here, so that central differences and another order of summation see one branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from nnseq.backend import use_kernels
from nnseq.cells import elman, gru, gru_before, lstm, mut1, mut2, mut3

CELLS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (elman, lstm, gru, gru_before, mut1, mut2, mut3)
}

# Inputs in order, with their shapes. "Z" is a weight that a variant says the shape of.
INPUTS: dict[str, dict[str, str]] = {
    "elman": {"a": "T B H", "W_hh": "H H", "h0": "B H", "z_h": "Z", "mask": "T B"},
    "lstm": {
        **{"a": "T B 4H", "W_hh": "H 4H", "h0": "B H", "c0": "B H", "p": "3 H"},
        **{"z_h": "Z", "z_c": "Z", "d_i": "Z", "mask": "T B"},
    },
    "gru": {
        **{"a": "T B 3H", "W_hh": "H 3H", "b_hn": "H", "h0": "B H"},
        **{"z_h": "Z", "d_i": "Z", "mask": "T B"},
    },
    "gru_before": {
        **{"a": "T B 3H", "W_hh": "H 3H", "h0": "B H"},
        **{"z_h": "Z", "d_i": "Z", "mask": "T B"},
    },
    "mut1": {
        **{"a": "T B 2H", "x": "T B H", "b_x": "H", "W_hh": "H 2H", "h0": "B H"},
        **{"z_h": "Z", "mask": "T B"},
    },
    "mut2": {
        **{"a": "T B 2H", "x": "T B H", "b_x": "H", "W_hh": "H 3H", "h0": "B H"},
        **{"z_h": "Z", "mask": "T B"},
    },
    "mut3": {"a": "T B 3H", "W_hh": "H 3H", "h0": "B H", "z_h": "Z", "mask": "T B"},
}
OPTIONAL = ("p", "b_hn", "b_x", "z_h", "z_c", "d_i", "mask")
CONSTANT = ("z_h", "z_c", "d_i", "mask")  # no gradient
PER_STEP = ("a", "x")  # read step by step, hence not at padded steps
OUTPUTS = {op: ("h", "c", "h_T", "c_T") if op == "lstm" else ("h", "h_T") for op in INPUTS}

OPTIONS: dict[str, dict[str, Any]] = {op: {} for op in INPUTS} | {
    "elman": {"act": "tanh"},
    "lstm": {"forget_bias": 0.0, "cell_clip": 0.0, "ogate_zoneout": False},
}

KEEP = 0.4  # how often training's zoneout keeps, dropout drops
VALID = 0.7
CLIP = 0.5
KINK = 0.02
SCALE = 0.8  # of the recurrent matrix's eigenvalues: bounded at any length with act = identity

# A weight's shape, and whether it is drawn 0 or 1, as in training, or strictly between.
FRESH, EVALUATION, STATIC = "T B H: 0 or 1", "1 1 H: between", "T 1 H: 0 or 1"
MIXED = "1 B H: between"  # an axis of 1 in the other place


class Variant(NamedTuple):
    """A cell with some of its options."""

    label: str
    options: dict[str, Any]  # all that the cell takes
    present: Mapping[str, str]  # optional inputs that are not None; a weight's shape and kind


def variants(op: str) -> list[Variant]:
    """Every option of a cell alone, then together."""
    takes = [name for name in INPUTS[op] if name in OPTIONAL]

    def variant(label: str, present: Any = (), **options: Any) -> Variant:
        return Variant(label, OPTIONS[op] | options, dict(present))

    def everything(kind: str) -> dict[str, str]:
        return {name: kind if INPUTS[op][name] == "Z" else "" for name in takes}

    def zoneout(kind: str) -> dict[str, str]:
        return {name: kind for name in takes if name in ("z_h", "z_c")}

    found = [
        variant("plain"),
        variant("mask", {"mask": ""}),
        variant("zoneout fresh", zoneout(FRESH)),
        variant("zoneout per unit", zoneout(EVALUATION)),
        variant("zoneout static", zoneout(STATIC)),
        variant("zoneout per sequence", zoneout(MIXED)),
    ]
    if op == "elman":
        for act in ("relu", "identity"):
            found += [
                variant(act, act=act),
                variant(f"{act}, all fresh", everything(FRESH), act=act),
                variant(f"{act}, all per unit", everything(EVALUATION), act=act),
            ]
    for bias in {"b_hn", "b_x"} & set(takes):
        found.append(variant(bias, {bias: ""}))
    if "d_i" in takes:
        found.append(variant("d_i fresh", {"d_i": FRESH}))
        found.append(variant("d_i per unit", {"d_i": EVALUATION}))
    last: dict[str, Any] = {}
    if op == "lstm":
        found += [
            variant("zoneout of h", {"z_h": FRESH}),
            variant("zoneout of c", {"z_c": FRESH}),
            variant("peepholes", {"p": ""}),
            variant("forget_bias", forget_bias=1.0),
            variant("cell_clip", cell_clip=CLIP),
            variant("cell_clip, peepholes", {"p": ""}, cell_clip=CLIP),
            variant("ogate_zoneout fresh", {"d_i": FRESH}, ogate_zoneout=True),
            variant("ogate_zoneout per unit", {"d_i": EVALUATION}, ogate_zoneout=True),
        ]
        last = {"forget_bias": 0.7, "cell_clip": CLIP, "ogate_zoneout": True}
    return [
        *found,
        variant("all fresh", everything(FRESH), **last),
        variant("all per unit", everything(EVALUATION), **last),
        variant("all static", everything(STATIC), **last),
    ]


EVERY = [(op, variant) for op in CELLS for variant in variants(op)]


def name_of(value: Any) -> str:
    """The part of a test's name that stands for an op or a variant."""
    return value.label if isinstance(value, Variant) else str(value)


def draw(
    op: str,
    variant: Variant,
    T: int = 4,
    B: int = 3,
    H: int = 5,
    dtype: Any = np.float64,
    seed: int = 0,
) -> tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]:
    """Draw (inputs, options, doutputs) as forward and backward take them: the mask is bool."""
    rng = np.random.default_rng(seed)
    _, options, present = variant
    arrays: dict[str, Any] = {}
    for name, axes in INPUTS[op].items():
        if name in OPTIONAL and name not in present:
            arrays[name] = None
        elif axes == "Z":
            arrays[name] = _weight(rng, present[name], T, B, H)
        elif name == "mask":
            arrays[name] = rng.random((T, B)) < VALID
        else:
            arrays[name] = rng.standard_normal(_shape(axes, T, B, H))
    arrays["W_hh"] *= SCALE / np.sqrt(H)
    if options.get("act") == "relu":
        arrays["a"] = _away_from_zero(arrays)
    if options.get("cell_clip"):
        arrays["a"] = _away_from_clip(arrays, options)
    inputs = tuple(x if x is None or x.dtype == bool else x.astype(dtype) for x in arrays.values())
    doutputs = tuple(
        rng.standard_normal((B, H) if name.endswith("_T") else (T, B, H)).astype(dtype)
        for name in OUTPUTS[op]
    )
    return inputs, dict(options), doutputs


def with_nan_in_padding(op: str, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copy inputs with NaN in a and x wherever the mask is False."""
    mask = inputs[-1]
    return tuple(
        np.where(mask[:, :, None], x, x.dtype.type(np.nan)) if name in PER_STEP else x
        for name, x in zip(INPUTS[op], inputs, strict=True)
    )


def as_function(
    op: str, inputs: tuple[Any, ...], options: dict[str, Any], kernels: str = "reference"
) -> tuple[Callable[..., Any], list[Any]]:
    """Return the op as a function of those of its inputs that have a gradient, and these inputs."""
    free = [
        k
        for k, (name, x) in enumerate(zip(INPUTS[op], inputs, strict=True))
        if x is not None and name not in CONSTANT
    ]

    def f(*xs: Any) -> Any:
        every = list(inputs)
        for k, x in zip(free, xs, strict=True):
            every[k] = x
        with use_kernels(kernels):
            return getattr(CELLS[op], op)(*every, **options)

    return f, [inputs[k] for k in free]


def _shape(axes: str, T: int, B: int, H: int) -> tuple[int, ...]:
    sizes = {"T": T, "B": B, "H": H}
    return tuple(
        int(axis) if axis.isdigit() else int(axis[:-1] or 1) * sizes[axis[-1]]
        for axis in axes.split()
    )


def _weight(rng: np.random.Generator, kind: str, T: int, B: int, H: int) -> np.ndarray:
    axes, _, values = kind.partition(": ")
    shape = _shape(axes, T, B, H)
    if values == "0 or 1":
        return (rng.random(shape) < KEEP).astype(float)
    return rng.uniform(0.1, 0.9, shape)


def _kept(z: Any, t: int, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    if z is None:
        return new
    share = np.broadcast_to(z, (max(t + 1, len(z)), *new.shape))[t]
    return new + share * (old - new)


def _counts(mask: Any, t: int) -> Any:
    return True if mask is None else mask[t][:, None]


def _away_from_zero(arrays: dict[str, Any]) -> np.ndarray:
    """Move a so that no pre-activation of relu is within KINK of 0."""
    a, W_hh, h, z_h, mask = arrays.values()
    a = a.copy()
    for t in range(len(a)):
        s = a[t] + h @ W_hh
        a[t] += np.where(np.abs(s) < KINK, np.where(s < 0, -2 * KINK, 2 * KINK), 0)
        new = np.maximum(a[t] + h @ W_hh, 0)
        h = np.where(_counts(mask, t), _kept(z_h, t, h, new), h)
    return a


def _away_from_clip(arrays: dict[str, Any], options: dict[str, Any]) -> np.ndarray:
    """Move a so that no cell is within KINK of the bound that it is clipped at."""
    a, W_hh, h, c, p, z_h, z_c, d_i, mask = arrays.values()
    a, H, bound = a.copy(), h.shape[1], options["cell_clip"]
    p = np.zeros((3, H)) if p is None else p
    d = np.ones((1, 1, H)) if d_i is None else d_i
    d = np.broadcast_to(d, (len(a), *h.shape))

    def sigmoid(s: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-s))

    for t in range(len(a)):
        for _ in range(200):
            i, f, g, o = np.split(a[t] + h @ W_hh, 4, axis=1)
            i, g = sigmoid(i + p[0] * c), np.tanh(g)
            f = sigmoid(f + options["forget_bias"] + p[1] * c)
            raw = f * c + d[t] * i * g
            near = np.abs(np.abs(raw) - bound) < 1.5 * KINK
            if not near.any():
                break
            # Shrink both terms of raw where they have its sign, grow them where they have not.
            a[t, :, H : 2 * H] -= np.where(near, 0.1 * np.sign(raw * c), 0)
            a[t, :, 2 * H : 3 * H] -= np.where(near, 0.1 * np.sign(raw), 0)
        else:
            raise AssertionError(f"step {t}: cells stay near the bound")
        c_new = np.clip(raw, -bound, bound)
        h_new = sigmoid(o + p[2] * c_new) * np.tanh(c_new)
        h_new = _kept(z_h, t, h, h_new)
        if options["ogate_zoneout"]:
            h_new = d[t] * h_new + (1 - d[t]) * f * h
        valid = _counts(mask, t)
        h, c = np.where(valid, h_new, h), np.where(valid, _kept(z_c, t, c, c_new), c)
    return a
