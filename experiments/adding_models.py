"""Every model on the adding problem, at several lengths, as one command and one figure.

    python experiments/adding_models.py                  8 models, T = 100, 500, 1000; half an hour
    python experiments/adding_models.py --resume         goes on where the command above was stopped

Each run is `adding.py --model MODEL --seq_len T`, without a curriculum and with the same number of
units, batch, steps and clip for all; a model's other options are those that adding.py gives it
(IndRNN has two layers, because in one no unit sees another; the others have one). The learning rate
is 0.004, but smaller for the two whose states are sums over all steps: 0.0004 for indrnn, which
learns less at 0.004 where T is 500 or more, and 0.0001 for irnn, where at 0.004 the loss is inf at
T = 1000 in step 2. A point of a curve is a mean over 50 steps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where adding.py is

from adding import LAYERS, Adding, AddingOptions

from nnseq.data.adding import BASELINE_MSE
from nnseq.options import option, parse
from nnseq.plots import Panel
from nnseq.sweep import Part, Report, Result, SweepOptions, run_parts

MODELS = ("indrnn", *LAYERS)
SMOKE = {"lengths": "12", "hidden_size": 4, "batch_size": 4, "max_steps": 4, "log_every": 1}
LR = {"indrnn": 4e-4, "irnn": 1e-4}
SMOOTH = 50  # steps that a point of a curve is the mean of


def parse_models(text: str) -> list[str]:
    """Reads "lstm,gru"; raises ValueError for a name that is none or comes twice."""
    names = text.split(",")
    if len(set(names)) < len(names) or set(names) - set(MODELS):
        raise ValueError(f"{text!r} came, expected some of {','.join(MODELS)}, none twice")
    return names


def parse_lengths(text: str) -> list[int]:
    """Reads "100,500"; raises ValueError for what is no length or comes twice."""
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        lengths = []
    if not lengths or min(lengths) < 2 or len(set(lengths)) < len(lengths):
        raise ValueError(f"{text!r} came, expected lengths from 2 like 100,500, none twice")
    return lengths


@dataclass(frozen=True)
class AddingModelsOptions(SweepOptions):
    """The options of this experiment alone; the shared ones go to every run."""

    models: str = option(",".join(MODELS), "which models", parse=parse_models)
    lengths: str = option("100,500,1000", "which T", parse=parse_lengths)
    hidden_size: int = option(64, "units of a layer", low=1)
    max_steps: int = option(1500, "steps of every run", low=0, same_run=False)
    lr: float | None = option(None, "learning rate (default: 0.004, smaller for two)", above=0)
    clip_norm: float = option(1.0, "bound on the norm of all gradients; 0: none", low=0)
    log_every: int = option(10, "steps between two lines of metrics.jsonl", low=1, same_run=False)


def parts(options: AddingModelsOptions) -> list[Part]:
    """One run for every length and model, short ones first."""
    shared = options.for_parts("hidden_size")
    made = []
    for T in sorted(parse_lengths(options.lengths)):
        for model in parse_models(options.models):
            recipe = {"curriculum": False} if model == "indrnn" else {}
            recipe["lr"] = options.lr or LR.get(model, 4e-3)
            own = AddingOptions(model=model, seq_len=T, **{**shared, **recipe})
            made.append(Part(f"{model}_T{T}", "adding", own, Adding))
    return made


def smoothed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl, SMOOTH steps as one: the last step and the mean loss."""
    points = []
    for _, group in groupby(rows, lambda row: (row["step"] - 1) // SMOOTH):
        members = list(group)
        loss = sum(row["loss"] for row in members) / len(members)
        last = members[-1]
        points.append({"step": last["step"], "loss": loss, "seconds": last["seconds"]})
    return points


def report(results: Sequence[Result]) -> Report:
    """A panel for every T; a row for every point; the test error of every run."""
    rows: list[dict[str, Any]] = []
    curves: dict[int, dict[str, Any]] = {}
    metrics = {}
    for result in results:
        own = result.part.options
        points = smoothed(result.rows)
        curves.setdefault(own.seq_len, {})[own.model] = (
            [point["step"] for point in points],
            [point["loss"] for point in points],
        )
        rows += [{"model": own.model, "T": own.seq_len, **point} for point in points]
        for name, value in result.summary["metrics"].items():
            metrics[f"{result.part.name}_{name}"] = value
    baseline = ("always answering 1", BASELINE_MSE)
    panels = [
        Panel(f"adding problem, T = {T}: training loss", "step", of_models, baseline, top=1.0)
        for T, of_models in curves.items()
    ]
    return Report(rows, panels, len(panels), metrics)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    name = "adding_models"
    options = parse(name, AddingModelsOptions, argv, __doc__ or "", smoke=SMOKE)
    return run_parts(name, options, parts(options), report)


if __name__ == "__main__":
    sys.exit(main())
