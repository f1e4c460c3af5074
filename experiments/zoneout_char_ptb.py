"""Zoneout beside other regularisers on characters of the Penn Treebank, with identical budgets.

    python experiments/zoneout_char_ptb.py --data DIR             5 methods, 3 seeds, 1,000 steps
    python experiments/zoneout_char_ptb.py --data DIR --resume    goes on where it was stopped

Each run is `char_ptb.py --preset METHOD --hidden_size 256`, with the strength that the preset has.
summary.json has, for every method, the mean of the seeds' bits per character on the validation set
after the last step, and their spread: the standard deviation, divided by n - 1. These are models in
the first 1,000 steps, where a regulariser mostly costs: a picture of that, not of Krueger et al.
2017, whose log of the zoneout LSTM has 110 epochs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # where char_ptb.py is

from char_ptb import CHARACTERS, PRESETS

from nnseq.language.network_options import RECURRENT
from nnseq.language.options import LanguageOptions
from nnseq.language.task import LanguageTask
from nnseq.options import OptionError, data_option, option, parse
from nnseq.plots import Panel
from nnseq.sweep import Part, Report, Result, SweepOptions, run_parts

METHODS = ("lstm", "norm_stabilizer", "weight_noise", "igate_dropout", "zoneout_lstm")
SMALL = {"hidden_size": 8, "seq_len": 12, "batch_size": 8, "max_steps": 6, "eval_every": 3}
SMALL |= {"seeds": "0,1", "log_every": 1}


def parse_methods(text: str) -> list[str]:
    """Reads "lstm,zoneout_lstm"; raises ValueError for a name that is none or comes twice."""
    names = text.split(",")
    known = [name for name, own in PRESETS.items() if own["model"] in RECURRENT]
    if len(set(names)) < len(names) or set(names) - set(known):
        raise ValueError(f"{text!r} came, expected some of {','.join(known)}, none twice")
    return names


def parse_seeds(text: str) -> list[int]:
    """Reads "0,1,2"; raises ValueError for what is no seed or comes twice."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ValueError(f"{text!r} came, expected seeds such as 0,1,2, none twice")
    return [int(part) for part in parts]


@dataclass(frozen=True)
class ZoneoutOptions(SweepOptions):
    """The options of this experiment alone; the shared ones go to every run."""

    data: str | None = data_option()
    methods: str = option(",".join(METHODS), "presets of char_ptb.py", parse=parse_methods)
    seeds: str = option("0,1,2", "of every method", parse=parse_seeds)
    hidden_size: int = option(256, "units", low=1)
    seq_len: int = option(100, "characters of a chunk", low=2)
    max_steps: int = option(1000, "steps of every run", low=1, same_run=False)
    eval_every: int = option(250, "steps between validations", low=1)
    lr: float = option(2e-3, "learning rate", above=0)
    clip_norm: float = option(1.0, "bound on the norm of all gradients; 0: none", low=0)
    log_every: int = option(50, "steps between two lines of metrics.jsonl", low=1, same_run=False)

    def check(self) -> None:
        super().check()
        if self.max_steps % self.eval_every or self.eval_every % self.log_every:
            raise OptionError(
                f"--eval_every {self.eval_every} came with --max_steps {self.max_steps} and "
                f"--log_every {self.log_every}, expected a divisor of the one and a multiple of "
                "the other, so that the last step is validated and its line written"
            )


def parts(options: ZoneoutOptions) -> list[Part]:
    """One run for every seed and method, seed by seed."""
    shared = options.for_parts("data", "hidden_size", "seq_len", "eval_every")
    shared["smoke"] = options.smoke
    made = []
    for seed in parse_seeds(options.seeds):
        for method in parse_methods(options.methods):
            own = LanguageOptions(**{**shared, **PRESETS[method], "seed": seed})
            build = partial(LanguageTask, text=CHARACTERS)
            made.append(Part(f"{method}_seed{seed}", "char_ptb", own, build))
    return made


def report(results: Sequence[Result]) -> Report:
    """Prints the table; returns it, and the validation curves."""
    rows: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    ends: dict[str, list[float]] = {}
    for result in results:
        method, _, seed = result.part.name.rpartition("_seed")
        every = result.part.options.eval_every
        points = [row for row in result.rows if row["step"] % every == 0]
        rows += [
            {"method": method, "seed": int(seed), "step": p["step"], "valid_bpc": p["valid_bpc"]}
            for p in points
        ]
        ends.setdefault(method, []).append(points[-1]["valid_bpc"])
    for method in ends:
        own = [row for row in rows if row["method"] == method]
        steps = sorted({row["step"] for row in own})
        means = [mean(row["valid_bpc"] for row in own if row["step"] == step) for step in steps]
        curves[method] = (steps, means)
    metrics = {f"{method}_valid_bpc": mean(found) for method, found in ends.items()}
    metrics |= {f"{m}_spread": stdev(found) for m, found in ends.items() if len(found) > 1}
    for method, found in ends.items():
        spread = f" ± {stdev(found):.4f}" if len(found) > 1 else ""
        print(f"{method}: {mean(found):.4f}{spread} bits per character, {len(found)} seeds")
    panel = Panel("valid bits per character, mean of seeds", "step", curves, is_log=False)
    return Report(rows, [panel], 1, metrics)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    name = "zoneout_char_ptb"
    options = parse(name, ZoneoutOptions, argv, __doc__ or "", smoke=SMALL)
    return run_parts(name, options, parts(options), report)


if __name__ == "__main__":
    sys.exit(main())
