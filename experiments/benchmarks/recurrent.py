"""The layers nn.LSTM, nn.GRU and nn.RNN: forward and backward from a given dh.

`lstm`, `gru`, `rnn`: one layer, one direction, against PyTorch's. They return h, the final states
and the gradients of x, of all weights and of the initial states.

`lstm_zoneout`, `gru_zoneout`, `lstm_masked`, `gru_masked`: what zoneout in training, its masks
drawn anew in every step, and lengths of T or T - 1 cost beside our plain layer; with such lengths
hardly a step is saved.

With G gates, the products x W_ih and h W_hh take 2 T B (I + H) G H operations, and the gradients of
both factors of each as many again. The limit is the time of these alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks import recurrent_torch
from benchmarks.case import Arrays, Case, Results, Shape, Step
from benchmarks.steps import FLOAT, named, normal, without_kernels
from nnseq.backend import device_module, to_device
from nnseq.nn.gru import GRU
from nnseq.nn.lstm import LSTM
from nnseq.nn.recurrent import Recurrent
from nnseq.nn.rnn import RNN
from nnseq.tensor import Tensor, grad

TOLERANCE = 1e-4  # smooth cells, and weights under which differences of rounding do not grow
SHAPES = (
    Shape(100, 32, 128, 128),
    Shape(100, 32, 256, 256),
    Shape(784, 32, 1, 128),
    Shape(50, 20, 650, 650),
    Shape(100, 64, 512, 512),
    Shape(150, 128, 256, 1000),
)
CUDA_SHAPES = tuple(Shape(256, B, H, H) for B in (32, 128) for H in (128, 256, 512, 1024))
QUICK_SHAPES = (Shape(7, 3, 4, 5),)


class Kind(NamedTuple):
    """What one layer has that the others have not.

    Attributes:
        name: of the case.
        layer: (I, H, rng=...) -> our layer.
        gates: G; W_ih is (I, G·H).
        biases: parameter -> how many gates it has.
        states: its letters; the first one is the output.
        kept: how many arrays (T, B, H) backward needs beside the gates and h.
        zoneout: the options of the case with zoneout; {}: the plain case is all there is.
    """

    name: str
    layer: Callable[..., Recurrent]
    gates: int
    biases: dict[str, int]
    states: tuple[str, ...]
    kept: int
    zoneout: dict[str, float]

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("W_ih", "W_hh", *self.biases)


KINDS = (
    Kind(
        name="lstm",
        layer=partial(LSTM, forget_bias=0.0),
        gates=4,
        biases={"b": 4},
        states=("h", "c"),
        kept=1,  # c
        zoneout={"zoneout_h": 0.05, "zoneout_c": 0.5},
    ),
    Kind(
        name="gru",
        layer=GRU,
        gates=3,
        biases={"b": 3, "b_hn": 1},
        states=("h",),
        kept=1,  # h W_n + b_hn, which r multiplies
        zoneout={"zoneout_h": 0.05},
    ),
    Kind(
        name="rnn",
        layer=RNN,
        gates=1,
        biases={"b": 1},
        states=("h",),
        kept=0,
        zoneout={},
    ),
)


def draw(kind: Kind, shape: Shape, seed: int) -> Arrays:
    """Draw x, dh (T, B, ·) and states (1, B, H) of size 1; weights uniform in ±1/√H; lengths (B,).

    Such weights are what PyTorch's layers start from.
    """
    T, B, I, H, _ = shape
    rng = np.random.default_rng(seed)

    def weights(*size: int) -> np.ndarray:
        return (2 * rng.random(size, np.float32) - 1) / np.float32(H**0.5)

    return {
        "x": normal(rng, T, B, I),
        "W_ih": weights(I, kind.gates * H),
        "W_hh": weights(H, kind.gates * H),
        **{name: weights(gates * H) for name, gates in kind.biases.items()},
        **{f"{state}0": normal(rng, 1, B, H) for state in kind.states},
        "dh": normal(rng, T, B, H),
        "lengths": rng.integers(T - 1, T, B, endpoint=True),
    }


def ours(
    kind: Kind, arrays: Arrays, device: str, *, has_zoneout: bool = False, is_masked: bool = False
) -> Step:
    """One forward and backward of our layer, in training."""
    I, H = arrays["x"].shape[2], arrays["dh"].shape[2]
    options = kind.zoneout if has_zoneout else {}
    layer = kind.layer(I, H, rng=np.random.default_rng(0), **options)
    layer.load_state_dict({f"directions.0.{name}": arrays[name] for name in kind.parameters})
    layer.to(device)
    starts = tuple(f"{state}0" for state in kind.states)
    x, *states = (
        Tensor(to_device(arrays[name], device), requires_grad=True) for name in ("x", *starts)
    )
    dh = to_device(arrays["dh"], device)
    lengths = arrays["lengths"] if is_masked else None
    rng = device_module(device).random.default_rng(1) if has_zoneout else None
    wanted = ("x", *kind.parameters, *starts)
    inputs = [x, *(getattr(layer.directions[0], name) for name in kind.parameters), *states]
    given = tuple(states) if len(states) > 1 else states[0]

    def step() -> Results:
        h, finals = layer(x, given, lengths=lengths, rng=rng)
        results = named(h.data, wanted, grad(h, inputs, dh))
        finals = finals if len(states) > 1 else (finals,)
        ends = {f"{s}_T": y.data for s, y in zip(kind.states, finals, strict=True)}
        return {**results, **ends}

    return step


def operations(kind: Kind, shape: Shape) -> int:
    """Three times x W_ih and h W_hh: forward, and a gradient for either factor."""
    T, B, I, H, _ = shape
    return 3 * 2 * T * B * (I + H) * kind.gates * H


def model_bytes(kind: Kind, shape: Shape) -> int:
    """x, dx, h, dh, a (or the gates), da, what else is kept, and parameters with gradients."""
    T, B, I, H, _ = shape
    parameters = (I + H) * kind.gates * H + sum(kind.biases.values()) * H
    return FLOAT * (T * B * (2 * I + (2 + 2 * kind.gates + kind.kept) * H) + 2 * parameters)


def cases(kind: Kind) -> tuple[Case, ...]:
    """The plain layer against PyTorch, and with zoneout and with lengths against the plain one."""
    plain = partial(ours, kind)
    zoneout, masked = partial(plain, has_zoneout=True), partial(plain, is_masked=True)
    p = ", ".join(f"{name}={value}" for name, value in kind.zoneout.items())
    layer = f"{kind.name.upper()} layer, forward and backward"

    def case(name: str, does: str, prepare: Callable[..., Step], peer: str) -> Case:
        beside = {"torch": partial(recurrent_torch.layer, kind.name.upper()), "plain": plain}
        return Case(
            name=name,
            does=f"{layer}: {does}",
            shapes=SHAPES,
            cuda_shapes=CUDA_SHAPES,
            quick_shapes=QUICK_SHAPES,
            draw=partial(draw, kind),
            ours=prepare,
            peers={peer: beside[peer], "reference": without_kernels(prepare)},
            operations=partial(operations, kind),
            copied_bytes=lambda shape: 0,
            model_bytes=partial(model_bytes, kind),
            tolerance=TOLERANCE,
        )

    all_of_it = case(kind.name, "h, final states, every gradient", plain, "torch")
    if not kind.zoneout:
        return (all_of_it,)
    return (
        all_of_it,
        case(f"{kind.name}_zoneout", f"{p}, fresh masks drawn in every step", zoneout, "plain"),
        case(f"{kind.name}_masked", "lengths of T or T - 1", masked, "plain"),
    )


CASES = tuple(case for kind in KINDS for case in cases(kind))
