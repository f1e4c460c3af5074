"""Do nnseq and PyTorch learn alike? The same weights, batches and optimiser, the loss of each step.

    python experiments/benchmarks/learning_curves.py --data DIR --out curves.json

Characters of Penn Treebank (DIR holds ptb.char.train.txt), one-hot, 32 streams of 50 steps with the
state carried on; an LSTM of 256 units, and a plain IndRNN of 6 layers of 128, which PyTorch runs as
a loop over time; Adam with lr 1e-3, the norm of the gradient clipped to 1. Asked of both:
|loss - PyTorch's| at most 1e-3 in float32 and 1e-9 in float64 at each of 200 steps. Exit code 1 if
that does not hold. A picture goes beside FILE.json.

The IndRNN has |u| at most 0.99 and starts its batch norms from γ = 0.1, options of its authors for
language. With tanh it is asked the same; with ReLU in float64 alone, because in float32 it is not
even as near to itself. Two rows without a bound show that: ReLU in float32 against PyTorch, and
against itself from weights that are each moved to a neighbouring number.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the package benchmarks is

from nnseq.data.batches import TextBatch
from nnseq.data.files import DataError
from nnseq.data.penn_treebank import ptb_chars
from nnseq.data.streams import Streams
from nnseq.machine import limited_threads, most_threads, versions
from nnseq.models import (
    IndRNNOptions,
    LanguageModel,
    PlainIndRNNBody,
    RecurrentBody,
    SequenceBody,
    detach,
)
from nnseq.nn import LSTM
from nnseq.ops.losses import cross_entropy
from nnseq.optim import Adam
from nnseq.optim.clipping import clip_grad_norm
from nnseq.plots import Panel, draw

SEED, B, T, MAX_NORM = 0, 32, 50, 1.0
LR = 1e-3
BOUNDS = {"float32": 1e-3, "float64": 1e-9}
Batches = Callable[[], Iterator[TextBatch]]


def lstm(V: int, rng: np.random.Generator, dtype: str, quick: bool) -> SequenceBody:
    """One LSTM layer of 256 units."""
    return RecurrentBody(LSTM(V, 16 if quick else 256, rng=rng, dtype=np.dtype(dtype)))


def indrnn(
    V: int, rng: np.random.Generator, dtype: str, quick: bool, act: str = "tanh"
) -> SequenceBody:
    """Six IndRNN layers, batch norm over time and batch before each recurrence."""
    H = 8 if quick else 128
    shared = {"u_bound": 0.99, "bn": "before", "small_norm_init": True, "act": act, "dtype": dtype}
    return PlainIndRNNBody(V, H, 6, IndRNNOptions(T, **shared), rng=rng)


BODIES = {"lstm": lstm, "indrnn": indrnn, "indrnn_relu": partial(indrnn, act="relu")}
BOTH = [(name, dtype) for name in ("lstm", "indrnn") for dtype in BOUNDS]
# Model, dtype, and what it is compared with; the last two have no bound.
CASES = [(*case, "torch") for case in (*BOTH, ("indrnn_relu", "float64"))]
CASES += [("indrnn_relu", "float32", against) for against in ("torch", "moved")]
UNBOUNDED = CASES[-2:]


def losses(model: LanguageModel, batches: Iterator[TextBatch], lr: float) -> list[float]:
    """Train on the batches; return the loss of every step, in nats a character."""
    optimizer, states, found = Adam(model.named_parameters(), lr), None, []
    for batch in batches:
        states = None if batch.is_first else detach(states)
        optimizer.zero_grad()
        logits, states = model(batch.x, states)
        loss = cross_entropy(logits, batch.y)
        loss.backward()
        clip_grad_norm(model.parameters(), MAX_NORM)
        optimizer.step()
        model.constrain()
        found.append(float(loss.item()))
    return found


def compare(case: tuple[str, str, str], V: int, batches: Batches, quick: bool) -> dict[str, Any]:
    """One row: both curves, and how far they are apart."""
    from benchmarks import learning_curves_torch as peer

    name, dtype, against = case
    model = build(name, dtype, V, quick)
    start = model.state_dict()  # copies, before training changes the model
    began = time.perf_counter()
    ours = losses(model, batches(), LR)
    between = time.perf_counter()
    if against == "torch":
        theirs = peer.losses(name, start, model.body, batches(), lr=LR, max_norm=MAX_NORM)
    else:
        theirs = losses(moved(build(name, dtype, V, quick)), batches(), LR)
    ended = time.perf_counter()
    apart = float(np.abs(np.subtract(ours, theirs)).max())
    bound = None if case in UNBOUNDED else BOUNDS[dtype]
    return {
        "model": name,
        "dtype": dtype,
        "against": against,
        "parameters": model.num_parameters(),
        "steps": len(ours),
        "largest_difference": apart,
        "bound": bound,
        "holds": None if bound is None else apart <= bound,
        "ours_s": round(between - began, 2),
        f"{against}_s": round(ended - between, 2),
        "ours": ours,
        against: theirs,
    }


def build(name: str, dtype: str, V: int, quick: bool) -> LanguageModel:
    """The model of a row, the same at each call."""
    rng = np.random.default_rng(SEED)
    return LanguageModel(V, BODIES[name](V, rng, dtype, quick), rng=rng)


def moved(model: LanguageModel) -> LanguageModel:
    """The model with each parameter moved in its last bit, up or down at random."""
    rng = np.random.default_rng(SEED)
    for p in model.parameters():
        side = np.where(rng.random(p.shape) < 0.5, -np.inf, np.inf).astype(p.dtype)
        p.data[...] = np.nextafter(p.data, side)
    return model


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="learning_curves", description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder of ptb.char.train.txt")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=most_threads())
    parser.add_argument("--quick", action="store_true", help="tiny models: does it all work?")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    options = parser.parse_args(argv)
    try:
        corpus = ptb_chars(options.data)
    except DataError as error:
        print(f"learning_curves: {error}", file=sys.stderr)
        return 1

    def batches() -> Iterator[TextBatch]:
        streams = Streams(corpus.train, B, T, rng=np.random.default_rng(SEED))
        return (streams.draw() for _ in range(options.steps))

    rows = []
    with limited_threads(options.threads):
        for case in CASES:
            row = compare(case, len(corpus.vocabulary), batches, options.quick)
            rows.append(row)
            name, dtype, against = case
            expected = "nothing" if row["bound"] is None else f"{row['bound']:g}"
            print(
                f"{name} {dtype} against {against}: |difference| at most "
                f"{row['largest_difference']:.2e} over {row['steps']} steps, expected {expected}; "
                f"last loss {row['ours'][-1]:.4f}; {row['ours_s']} s, {row[f'{against}_s']} s",
                flush=True,
            )
    record(options, rows)
    return 0 if all(row["holds"] is not False for row in rows) else 1


def record(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write FILE.json and the picture of its curves."""
    import torch

    from benchmarks.machine import processor

    report = {
        "seed": SEED,
        "threads": options.threads,
        "machine": processor(),
        "versions": {**versions(), "torch": torch.__version__},
        "rows": rows,
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    panels = [
        Panel(
            f"{row['model']}, {row['dtype']}: at most {row['largest_difference']:.1e} apart",
            "step",
            {who: (range(1, row["steps"] + 1), row[who]) for who in (row["against"], "ours")},
            is_log=False,
        )
        for row in rows
    ]
    draw(options.out.with_suffix(".png"), panels, columns=2)


if __name__ == "__main__":
    sys.exit(main())
