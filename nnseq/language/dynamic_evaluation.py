"""Dynamic evaluation: a language model that goes on learning from the text it is tested on.

    rms = gradient_rms(model, streams.windows(train, B, T))
    found = grid(model, lambda: streams.windows(valid, 1, T), rms, T=T)
    nats = dynamic_evaluation(model, streams.windows(test, 1, T), rms, lr=found.best.lr, ...)

Each window of text is predicted first, by the parameters θ that the text before it has left, and
counted; only then are they moved:

    g = ∂(mean nats of the window)/∂θ, clipped by value                         (1)
    θ ← θ + λ r ∘ (θ₀ - θ) - lr g / (R + ε)                                     (2)
    r = min(R / R̄, 1/λ)                                                         (3)
    R_i = √(mean over windows of the training text of g_i²)                     (4)

θ₀ is the trained model. R̄ is the mean over parameters (arrays) of the mean of each one's R, so that
a short array counts as much as a long one; (3) keeps the way back to θ₀ from passing it. After (2)
the model's constraints hold again.

Krause, Kahembwe, Murray, Renals 2018, "Dynamic evaluation of neural sequence models", ICML, PMLR
80:2766-2775 (arXiv:1709.07432v2), RMS with a global prior. Clip, constraint, R̄ and grid are those
of IndRNN's authors, in the script PTB/dynamiceval.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.data.batches import TextBatch
from nnseq.models.body import detach
from nnseq.nn.eval_mode import eval_mode
from nnseq.nn.module import Module
from nnseq.ops.losses import cross_entropy
from nnseq.optim.clipping import clip_grad_value
from nnseq.tensor import Tensor, enable_grad

EPS = 2e-5

# What the script PTB/dynamiceval.py of IndRNN's authors searches, for windows of GRID_T steps.
GRID_T = 5
GRID_LRS = (3e-7, 4e-7, 5e-7, 6e-7, 7e-7, 8e-7, 1e-6, 2e-6, 3e-6, 4e-6)
GRID_DECAYS = (0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008)

RMS = dict[str, Array]


class GridPoint(NamedTuple):
    """What one pair of lr and λ gave, in nats per target; inf where the parameters diverged."""

    lr: float
    decay: float
    nats: float


class Grid(NamedTuple):
    """Every point, λ slowest, and the one with the fewest nats."""

    best: GridPoint
    table: list[GridPoint]


def gradient_rms(model: Module, windows: Iterable[TextBatch], *, clip_value: float = 0.0) -> RMS:
    """Computes (4) over windows of training text, in eval mode, with the state carried.

    Args:
        model: model(ids (T, B), states, start=steps since is_first) -> (logits (T, B, V), states),
            such as a LanguageModel. Afterwards it is as it was.
        windows: of the length that the text is evaluated with; each counts once.
        clip_value: bound on every entry of g; 0: none.

    Returns:
        dotted name -> R of every trainable parameter; 0 where no gradient came.

    Raises:
        ValueError: clip_value is out of range, or no window came.
    """
    _check("gradient_rms", clip_value=clip_value)
    rms = {name: array_module(x.data).zeros_like(x.data) for name, x in _trainable(model)}
    count = 0
    with _adapting(model):
        for loss, _ in _losses(model, windows):
            _backward(model, loss, clip_value)
            for name, x in _trainable(model):
                if x.grad is not None:
                    rms[name] += x.grad * x.grad
            count += 1
    if count == 0:
        raise ValueError("gradient_rms: no window came, expected at least one of training text")
    for x in rms.values():
        array_module(x).sqrt(x / count, out=x)  # (4)
    return rms


def dynamic_evaluation(
    model: Module,
    windows: Iterable[TextBatch],
    rms: RMS,
    *,
    lr: float,
    decay: float,
    eps: float = EPS,
    clip_value: float = 0.0,
) -> float:
    """Computes the mean nats of a text under a model that (2) adapts to it on the way.

    Args:
        model: as for gradient_rms. Afterwards, and after an error, it is bit for bit as it was.
        windows: of the text, in order; with B > 1 the columns share one adapting model.
        rms: R, of gradient_rms.
        lr: of (2), at least 0.
        decay: λ, at least 0; with 0 nothing draws θ back. lr = λ = 0 is static evaluation.
        eps: ε, above 0.
        clip_value: as for gradient_rms.

    Returns:
        The mean over all targets of all windows; inf if a window's loss is nan or infinite.

    Raises:
        ValueError: a number out of range, no window, or rms of another model or all zero.
    """
    mean = _mean_rms(model, rms)
    _check("dynamic_evaluation", lr=lr, decay=decay, clip_value=clip_value)
    if not 0 < eps < math.inf:
        raise ValueError(f"dynamic_evaluation: eps is {eps}, expected a number above 0")
    lr, decay, eps = float(lr), float(decay), float(eps)  # a NumPy scalar is float64
    total, count = 0.0, 0
    # With a large lr the numbers overflow; the loss tells, and NumPy's warnings need not.
    with _adapting(model) as theta0, np.errstate(over="ignore", invalid="ignore"):
        for loss, size in _losses(model, windows):
            nats = float(loss.item())
            if not math.isfinite(nats):
                return math.inf
            total, count = total + nats * size, count + size
            _backward(model, loss, clip_value)  # (1)
            for name, x in _trainable(model):
                x.data += _step(x, theta0[name], rms[name], mean, lr, decay, eps)
            model.constrain()
    if count == 0:
        raise ValueError("dynamic_evaluation: no window came, expected at least one with a target")
    return total / count


def grid(
    model: Module,
    windows: Callable[[], Iterable[TextBatch]],
    rms: RMS,
    *,
    T: int,
    lrs: Sequence[float] = GRID_LRS,
    decays: Sequence[float] = GRID_DECAYS,
    eps: float = EPS,
    clip_value: float = 0.0,
) -> Grid:
    """Evaluates every pair of a learning rate and a decay, each from the trained model.

    Args:
        model, rms, eps, clip_value: as for dynamic_evaluation.
        windows: called for each point; returns the windows of the validation text from its start.
        T: steps in a window; a longer one means fewer updates, and larger ones.
        lrs, decays: for windows of GRID_T steps; multiplied by T / GRID_T.

    Raises:
        ValueError: every point diverged; or as dynamic_evaluation.
    """
    scale = T / GRID_T
    table = []
    for decay in (scale * x for x in decays):
        for lr in (scale * x for x in lrs):
            point = {"lr": lr, "decay": decay}
            nats = dynamic_evaluation(
                model, windows(), rms, eps=eps, clip_value=clip_value, **point
            )
            table.append(GridPoint(lr, decay, nats))
    best = min(table, key=lambda point: point.nats)
    if not math.isfinite(best.nats):
        raise ValueError(
            f"grid: the parameters diverged at all of {len(table)} points, the smallest lr was "
            f"{min(lrs) * scale:g}; give smaller ones"
        )
    return Grid(best, table)


def _step(
    x: Tensor, theta0: Array, R: Array, mean: float, lr: float, decay: float, eps: float
) -> Array:
    """What (2) adds to one parameter."""
    g = 0.0 if x.grad is None else x.grad
    step = -lr * g / (R + eps)
    if decay > 0:
        r = array_module(R).minimum(R / mean, 1 / decay)  # (3)
        step += decay * r * (theta0 - x.data)
    return step


@contextmanager
def _adapting(model: Module) -> Iterator[dict[str, Array]]:
    """Inside the block: eval mode, results recorded. After it, the model is as it was.

    Yields:
        dotted name -> θ₀, a copy.
    """
    parameters = list(model.named_parameters())
    theta0 = {name: x.data.copy() for name, x in parameters}
    grads = [x.grad for _, x in parameters]
    try:
        with eval_mode(model), enable_grad():
            yield theta0
    finally:
        for (name, x), dx in zip(parameters, grads, strict=True):
            x.data[...] = theta0[name]
            x.grad = dx


def _losses(model: Module, windows: Iterable[TextBatch]) -> Iterator[tuple[Tensor, int]]:
    """Yields the mean loss of each window, and its number of targets; the state is carried."""
    device = device_of(next(model.parameters()).data)
    states: tuple[Array, ...] | None = None
    start = 0
    for x, y, is_first in windows:
        if is_first:
            states, start = None, 0
        a, states = model(to_device(x, device), states, start=start)
        states = detach(states)
        start += len(x)
        yield cross_entropy(a, to_device(y, device)), y.size


def _backward(model: Module, loss: Tensor, clip_value: float) -> None:
    model.zero_grad()
    loss.backward()
    if clip_value > 0:
        clip_grad_value(model.parameters(), clip_value)


def _trainable(model: Module) -> list[tuple[str, Tensor]]:
    return [(name, x) for name, x in model.named_parameters() if x.requires_grad]


def _check(who: str, **given: float) -> None:
    for name, value in given.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{who}: {name} is {value}, expected a number from 0")


def _mean_rms(model: Module, rms: RMS) -> float:
    """R̄; refuses rms that are not of this model."""
    names = {name for name, _ in _trainable(model)}
    if names != rms.keys():
        raise ValueError(
            f"dynamic_evaluation: rms has {', '.join(sorted(rms))}, expected one array for each of "
            f"{', '.join(sorted(names))}; take gradient_rms of the same model"
        )
    mean = float(np.mean([float(x.mean(dtype=np.float64)) for x in rms.values()]))
    if not 0 < mean < math.inf:
        raise ValueError(
            f"dynamic_evaluation: the mean of rms is {mean}, expected a number above 0; the loss "
            "has no gradient there"
        )
    return mean
