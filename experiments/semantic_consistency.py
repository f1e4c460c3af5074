"""Does zoneout make a step keep the meaning of what the state held before?

    python experiments/semantic_consistency.py                 half a minute
    python experiments/semantic_consistency.py --preset seed   as the zoneout authors' toy has it

A linear network has no input; its state starts as x and shall be x again after T steps:

    h_0 = x ~ N(0, I),    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ (h_{t-1} W)                      (1)
    L = Σ (h_T - x)²      over units and sequences                                          (2)
    W = -I + noise at the start;   z_t = 1 with probability --zoneout_prob                  (3)

z_t (H,) is drawn for every step of every sequence of steps, the same for the whole batch. For even
T, W = -I solves (2) without zoneout, and training stays there: every other state is the negative of
x. With zoneout a unit may skip a step at any time, so only a W that leaves the meaning of the state
alone will do: W = I. Two runs from the same W, with zoneout and without, show which way each goes.

Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden activations",
arXiv:1606.01305v4; --preset seed are the options of the script in its authors' repository: plain
gradient descent, the loss summed as in (2).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, to_device
from nnseq.cells.elman import elman
from nnseq.nn import Module, Parameter
from nnseq.optim import SGD
from nnseq.options import option, parse
from nnseq.plots import Panel
from nnseq.sweep import Part, Report, Result, SweepOptions, run_parts
from nnseq.task import Task, streams
from nnseq.tensor import Tensor

SEED = {"dim": 2, "seq_len": 10, "max_steps": 100_000, "noise_level": 0.01, "zoneout_prob": 0.1}
SEED |= {"lr": 1e-4, "batch_size": 32, "log_every": 1000}
SMOKE = {"max_steps": 40, "log_every": 10}
TEST_SEED = 1606


@dataclass(frozen=True)
class ConsistencyOptions(SweepOptions):
    """The options of this experiment alone."""

    dim: int = option(2, "units H", low=1)
    seq_len: int = option(10, "steps T", low=1)
    noise_level: float = option(0.01, "standard deviation of the noise on W = -I", low=0)
    zoneout_prob: float = option(0.5, "P(a unit skips a step), of the run with it", low=0, high=1)
    max_steps: int = option(10_000, "steps of both runs", low=0, same_run=False)
    lr: float = option(3e-4, "learning rate", above=0)


class LinearRNN(Module):
    """(1): W_hh (H, H), which starts as (3)."""

    def __init__(self, H: int, noise_level: float, rng: np.random.Generator, dtype: Any) -> None:
        W = noise_level * rng.normal(size=(H, H)) - np.eye(H)
        self.W_hh = Parameter(W.astype(dtype))

    def forward(self, x: Array, z: Array) -> Tensor:
        """Map h_0 = x (B, H) to h_T, with the weights z (T, 1, H) of the old state."""
        a = array_module(x).zeros((len(z), *x.shape), x.dtype)
        _, h_T = elman(a, self.W_hh, x, z, None, act="identity")
        return h_T


class Consistency(Task):
    """(1) to (3), by plain gradient descent."""

    def __init__(self, options: ConsistencyOptions) -> None:
        self.options = options
        init, data, masks = streams(options.seed)
        self.rngs = {"data": data, "masks": masks}
        self.model = LinearRNN(options.dim, options.noise_level, init, options.dtype)
        self.model.to(options.device)
        self.optimizer = SGD(self.model.named_parameters(), options.lr)

    def loss(self) -> Tensor:
        o = self.options
        x = self.rngs["data"].normal(size=(o.batch_size, o.dim))
        z = self.rngs["masks"].random((o.seq_len, 1, o.dim)) < o.zoneout_prob
        return self._loss(x, z)

    def observe(self, step: int, loss: float) -> dict[str, float]:
        """The distances of W from I and from -I, in Frobenius' norm."""
        W = to_device(self.model.W_hh.data, "cpu").astype(np.float64)
        eye = np.eye(len(W))
        return {
            "to_identity": float(np.linalg.norm(W - eye)),
            "to_minus_identity": float(np.linalg.norm(W + eye)),
        }

    def evaluate(self) -> dict[str, float]:
        """The mean squared error, with zoneout's expectation in place of masks; where W is."""
        o = self.options
        x = np.random.default_rng(TEST_SEED).normal(size=(1000, o.dim))
        loss = self._loss(x, np.full((o.seq_len, 1, o.dim), o.zoneout_prob))
        return {"test_mse": loss.item() / x.size, **self.observe(0, 0.0)}

    def _loss(self, x: np.ndarray, z: np.ndarray) -> Tensor:
        x, z = (to_device(v.astype(self.options.dtype), self.options.device) for v in (x, z))
        error = self.model(x, z) - x
        return (error * error).sum()


def report(results: Sequence[Result]) -> Report:
    """The learning curves, and the ways of W."""
    losses, ways, rows, metrics = {}, {}, [], {}
    for result in results:
        name = result.part.name
        columns = {key: [row[key] for row in result.rows] for key in (result.rows or [{}])[0]}
        if columns:
            losses[name] = (columns["step"], columns["loss"])
            ways[f"{name}: ‖W - I‖"] = (columns["step"], columns["to_identity"])
            ways[f"{name}: ‖W + I‖"] = (columns["step"], columns["to_minus_identity"])
        rows += [{"run": name, **row} for row in result.rows]
        metrics |= {f"{name}_{key}": value for key, value in result.summary["metrics"].items()}
    panels = [
        Panel("semantic consistency: training loss", "step", losses, is_log=False),
        Panel("where W goes", "step", ways, is_log=False),
    ]
    return Report(rows, panels, 2, metrics)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    name, presets = "semantic_consistency", {"seed": SEED}
    options = parse(name, ConsistencyOptions, argv, __doc__ or "", presets=presets, smoke=SMOKE)
    probabilities = {"zoneout": options.zoneout_prob, "none": 0.0}
    parts = [
        Part(part, name, replace(options, zoneout_prob=p), Consistency)
        for part, p in probabilities.items()
    ]
    return run_parts(name, options, parts, report)


if __name__ == "__main__":
    sys.exit(main())
