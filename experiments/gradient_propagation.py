"""How far gradients reach back in time: ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖ against t, before and after training.

    python experiments/gradient_propagation.py              two minutes, four models
    python experiments/gradient_propagation.py --resume     goes on where the command was stopped

An RNN, an LSTM, an LSTM with zoneout and an IndRNN learn the adding problem (experiments/adding.py,
at full length, with the same learning rate and clip for all), whose loss sees the last state alone.
Before the first step and after the last one, 50 sequences of the test set are run and

    L = (y - answer)²,    s_t = (h_t, c_t) of all layers,    x_{t+1}, ..., x_T given        (1)
    ∂L/∂h_t, ∂L/∂c_t      of L as a function of s_t                                         (2)

are measured. These are total derivatives through all later steps: what they would be if the
sequence were cut behind step t and its rest began from s_t. Of the two halves of s_t each is varied
with the other one held. The model runs step by step, so that every s_t is a Tensor of the graph,
and a single backward pass gives all of (2). Zoneout draws masks as in training, the same ones at
both moments. Norms are over units and layers, then their mean over the 50 sequences, in float64.

metrics.jsonl has a line for every model, moment and t; in summary.json, `..._dh_ratio` is
‖∂L/∂h_1‖ / ‖∂L/∂h_T‖ and `..._dc_ratio` ‖∂L/∂c_1‖ / ‖∂L/∂c_{T-1}‖ (∂L/∂c_T is 0: h_T is held).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # where adding.py is

from adding import Adding, AddingOptions

from nnseq.backend import to_device
from nnseq.data.adding import adding_test_set
from nnseq.models import PlainIndRNN
from nnseq.options import option, parse
from nnseq.plots import Panel
from nnseq.snapshot import load_weights
from nnseq.sweep import Part, Report, Result, SweepOptions, run_parts

SMOKE = {"seq_len": 12, "hidden_size": 4, "batch_size": 4, "max_steps": 4, "log_every": 2}
SHARED = ("device", "kernels", "threads", "dtype", "seed", "save_every", "max_steps", "batch_size")
SHARED += ("lr", "clip_norm", "clip_value", "log_every", "seq_len", "hidden_size")


@dataclass(frozen=True)
class PropagationOptions(SweepOptions):
    """The options of this experiment alone; the shared ones go to every run."""

    seq_len: int = option(200, "length T of the sequences", low=2)
    hidden_size: int = option(64, "units of a layer", low=1)
    zoneout_h: float = option(0.05, "P(h stays old), with zoneout", low=0, high=1)
    zoneout_c: float = option(0.5, "P(c stays old), with zoneout", low=0, high=1)
    max_steps: int = option(1000, "steps of training of every run", low=0, same_run=False)
    lr: float = option(4e-3, "learning rate of every run", above=0)
    clip_norm: float = option(1.0, "bound on the norm of all gradients; 0: none", low=0)


def parts(options: PropagationOptions) -> list[Part]:
    """The four runs."""
    zoneout = {"zoneout_h": options.zoneout_h, "zoneout_c": options.zoneout_c}
    models: dict[str, dict[str, Any]] = {
        "rnn": {"model": "rnn"},
        "lstm": {"model": "lstm"},
        "lstm_zoneout": {"model": "lstm", **zoneout},
        "indrnn": {"model": "indrnn", "curriculum": False},
    }
    shared = {name: getattr(options, name) for name in SHARED}
    return [
        Part(name, "adding", AddingOptions(**shared, **own), Adding) for name, own in models.items()
    ]


def state_gradients(model: Any, x: Any, y: Any, rng: Any) -> dict[str, np.ndarray]:
    """Measures (2) for every t.

    Args:
        model: LastStateRNN or PlainIndRNN.
        x: (T, B, D); y: (B, O).
        rng: draws the masks of zoneout, step by step.

    Returns:
        "h", and "c" where the model has one -> (T, L, B, H): entry t - 1 is the gradient of each
        sequence's own L with respect to the states after step t, 0 where they reach nothing.
    """
    layers = model.stack if isinstance(model, PlainIndRNN) else model.rnn
    states, trace = None, []
    for x_t in x:
        _, states = layers(x_t[None], states, rng=rng)
        trace.append(states if isinstance(states, tuple) else (states,))
        for state in trace[-1]:
            state.retain_grad()
    is_stack = isinstance(model, PlainIndRNN)
    error = model.readout(trace[-1][-1] if is_stack else trace[-1][0][-1]) - y
    (error * error).sum().backward()  # no sequence sees another one: the sum keeps them apart
    model.zero_grad()
    dstates = [
        [np.zeros(s.shape) if s.grad is None else to_device(s.grad, "cpu") for s in of_t]
        for of_t in trace
    ]
    if is_stack:
        return {"h": np.array(dstates)}
    return {
        name: np.array([of_t[k] for of_t in dstates]) for k, name in enumerate(layers.state_sizes)
    }


def measure(task: Adding) -> dict[str, np.ndarray]:
    """The norms of (2) on the first block of the test set: "dh", and "dc" of an LSTM, (T,) each."""
    options = task.options
    x, y = next(adding_test_set(options.seq_len, dtype=np.float64))
    model = task.model.astype(np.float64)
    rng = np.random.default_rng(options.seed)
    device = options.device
    gradients = state_gradients(model, to_device(x, device), to_device(y, device), rng)
    return {f"d{name}": np.sqrt(np.square(g).sum((1, 3))).mean(1) for name, g in gradients.items()}


def moments(result: Result) -> dict[str, dict[str, np.ndarray]]:
    """The norms at the "start" and at the "end" of a run."""
    options = result.part.options
    found = {"start": measure(result.part.build(options))}
    if result.summary["steps"]:
        task = result.part.build(options)
        load_weights(Path(options.out, "checkpoint.h5"), task)
        found["end"] = measure(task)
    return found


def report(results: Sequence[Result]) -> Report:
    """A panel for each state and moment; a row for each model, moment and t; the ratios."""
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    curves: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        name = result.part.name
        for moment, norms in moments(result).items():
            step = result.summary["steps"] if moment == "end" else 0
            for t in range(len(norms["dh"])):
                at_t = {key: float(norm[t]) for key, norm in norms.items()}
                rows.append({"run": name, "step": step, "t": t + 1, **at_t})
            for key, norm in norms.items():
                norm = norm if key == "dh" else norm[:-1]
                curves.setdefault((key, moment), {})[name] = (np.arange(1, len(norm) + 1), norm)
                metrics[f"{name}_{moment}_{key}_ratio"] = float(norm[0] / norm[-1])
        metrics |= {f"{name}_{key}": value for key, value in result.summary["metrics"].items()}
    when = {"start": "at initialisation", "end": f"after {results[0].part.options.max_steps} steps"}
    panels = [
        Panel(f"‖∂L/∂{key[1]}_t‖ {when[moment]}", "t", of_runs, is_log=True)
        for (key, moment), of_runs in sorted(
            curves.items(), key=lambda c: (c[0][0], c[0][1] == "end")
        )
    ]
    return Report(rows, panels, 2, metrics)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    name = "gradient_propagation"
    options = parse(name, PropagationOptions, argv, __doc__ or "", smoke=SMOKE)
    return run_parts(name, options, parts(options), report)


if __name__ == "__main__":
    sys.exit(main())
