"""How far gradients reach back in time: ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖ against t.

    python experiments/gradient_propagation.py              two minutes, four models
    python experiments/gradient_propagation.py --resume     goes on where the command was stopped

An RNN, an LSTM, an LSTM with zoneout and an IndRNN learn the adding problem (experiments/adding.py,
at full length, with the same learning rate and clip for all), whose loss sees the last state alone.
Before the first step and after the last one, 50 sequences of the test set are run and

    L = (y - answer)²,    s_t = (h_t, c_t) of all layers,    x_{t+1}, ..., x_T given        (1)
    ∂L/∂h_t, ∂L/∂c_t      of L as a function of s_t                                         (2)

are measured: total derivatives, through all later steps, as if the sequence were cut behind step t
and its rest began from s_t; h_t is held while c_t varies. The model runs step by step, so that
every s_t is a Tensor of the graph, and a single backward pass gives all of (2). Zoneout draws masks
as in training. Norms are over units and layers, then their mean over the sequences, in float64; in
summary.json a dh_ratio is that of h_1 to that of h_T, a dc_ratio that of c_1 to that of c_{T-1}.
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
from nnseq.models import LastStepReadout, RecurrentBody
from nnseq.options import option, parse
from nnseq.plots import Panel
from nnseq.runs.snapshot import load_weights
from nnseq.sweep import Part, Report, Result, SweepOptions, run_parts
from nnseq.tensor import Tensor

SMOKE = {"seq_len": 12, "hidden_size": 4, "batch_size": 4, "max_steps": 4, "log_every": 2}


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
    models: dict[str, dict[str, Any]] = {"rnn": {"model": "rnn"}, "lstm": {"model": "lstm"}}
    models["lstm_zoneout"] = {"model": "lstm", **zoneout}
    models["indrnn"] = {"model": "indrnn", "curriculum": False}
    shared = options.for_parts("seq_len", "hidden_size")
    options_of = {name: AddingOptions(**shared, **own) for name, own in models.items()}
    return [Part(name, "adding", own, Adding) for name, own in options_of.items()]


def state_gradients(model: LastStepReadout, x: Any, y: Any, rng: Any) -> dict[str, np.ndarray]:
    """Measures (2) for every t.

    Args:
        model: its body is a RecurrentBody or a PlainIndRNNBody.
        x: (T, B, D); y: (B, O).
        rng: draws the masks of zoneout, step by step.

    Returns:
        "h", and "c" where the model has one -> (T, L, B, H): entry t - 1 is the gradient of each
        sequence's own L with respect to the states after step t, 0 where they reach nothing.
    """
    body, states, trace = model.body, None, []
    for x_t in x:
        _, states = body(x_t[None], states, rng=rng, only_last=True)
        trace.append(states)
        for state in states:
            state.retain_grad()
    # One array of all layers for each letter, or one for each layer of an IndRNN.
    rnn = body.rnn if isinstance(body, RecurrentBody) else None
    error = model.readout(trace[-1][-1] if rnn is None else trace[-1][0][-1]) - y
    (error * error).sum().backward()  # no sequence sees another one: the sum keeps them apart
    model.zero_grad()
    dstates = [[gradient(state) for state in states] for states in trace]
    if rnn is None:
        return {"h": np.array(dstates)}
    return {name: np.array([d[k] for d in dstates]) for k, name in enumerate(rnn.state_sizes)}


def gradient(state: Tensor) -> np.ndarray:
    """What backward left at a state."""
    return np.zeros(state.shape) if state.grad is None else to_device(state.grad, "cpu")


def norms(task: Adding) -> dict[str, np.ndarray]:
    """The norms of (2) on the first block of the test set: "dh", and "dc" of an LSTM, (T,) each."""
    o = task.options
    x, y = (to_device(a, o.device) for a in next(adding_test_set(o.seq_len, dtype=np.float64)))
    rng = np.random.default_rng(o.seed)
    found = state_gradients(task.model.astype(np.float64), x, y, rng)
    return {f"d{name}": np.sqrt((d * d).sum((1, 3))).mean(1) for name, d in found.items()}


def report(results: Sequence[Result]) -> Report:
    """A panel for each state and moment; a row for each model, moment and t; the ratios."""
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    panels: dict[str, Panel] = {}
    for result in results:
        name, last_step = result.part.name, result.summary["steps"]
        for step in (0, last_step) if last_step else (0,):
            moment = "end" if step else "start"
            task = result.part.build(result.part.options)
            if step:
                load_weights(Path(result.part.options.out, "checkpoint.h5"), task)
            found = norms(task)
            for t in range(len(found["dh"])):
                values = {key: float(f"{norm[t]:.6g}") for key, norm in found.items()}
                rows.append({"run": name, "step": step, "t": t + 1, **values})
            for key, norm in sorted(found.items()):
                norm = norm[: -1 if key == "dc" else None]
                title = f"‖∂L/∂{key[1]}_t‖ {f'after {step} steps' if step else 'at the start'}"
                panel = panels.setdefault(f"{key} {moment}", Panel(title, "t", {}, is_log=True))
                panel.curves[name] = (np.arange(1, len(norm) + 1), norm)
                if norm[-1]:
                    metrics[f"{name}_{moment}_{key}_ratio"] = float(norm[0] / norm[-1])
        metrics |= {f"{name}_{key}": value for key, value in result.summary["metrics"].items()}
    order = [key for key in ("dh start", "dh end", "dc start", "dc end") if key in panels]
    return Report(rows, [panels[key] for key in order], 2 if last_step else 1, metrics)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    name = "gradient_propagation"
    options = parse(name, PropagationOptions, argv, __doc__ or "", smoke=SMOKE)
    return run_parts(name, options, parts(options), report)


if __name__ == "__main__":
    sys.exit(main())
