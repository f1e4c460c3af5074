"""The adding problem: the sum of two marked numbers among --seq_len.

    python experiments/adding.py --seq_len 5000                 IndRNN, the recipe that is fastest
    python experiments/adding.py --seq_len 5000 --preset paper  IndRNN, the paper's recipe
    python experiments/adding.py --model lstm --seq_len 100     another recurrent network

The test set is 1,000 sequences of length --seq_len that no run trains on; always answering 1 has a
mean squared error of 1/6. nnseq/models/indrnn_options.py says how an IndRNN's u starts, from --MAG,
nnseq/curriculum.py why the fast recipe is as it is, and what --no_curriculum does, on 1,000 fresh
sequences every 100 steps: with --preset paper, the recipe of Li et al. 2018, but for its clip,
which is elementwise on the parameters here and inside the recurrence there. The other models are
layers with their own initial values; they train at full length, the gradient's norm clipped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nnseq.backend import to_device
from nnseq.cells.indrnn import ACTIVATIONS
from nnseq.curriculum import Curriculum, FullLength, enter_stage
from nnseq.data.adding import BASELINE_MSE, adding_batch, adding_blocks, adding_test_set
from nnseq.model_options import ModelOptions, by_model, of
from nnseq.models import IndRNNOptions, LastStepReadout, PlainIndRNNBody, RecurrentBody
from nnseq.nn import GRU, IRNN, LSTM, MUT, RNN
from nnseq.nn.eval_mode import eval_mode
from nnseq.nn.initializers import GLOROT, Normal
from nnseq.ops.losses import mse
from nnseq.optim import Adam
from nnseq.options import option, parse
from nnseq.task import Task, streams
from nnseq.tensor import Tensor, no_grad
from nnseq.train import run

LAYERS: dict[str, Any] = {"irnn": IRNN, "rnn": RNN, "lstm": LSTM, "gru": GRU}
LAYERS |= {f"mut{k}": partial(MUT, variant=k) for k in (1, 2, 3)}

PAPER = {"model": "indrnn", "curriculum": False, "num_layers": 2, "hidden_size": 128, "lr": 2e-4}
PAPER |= {"MAG": 2.0, "act": "relu", "in2hid_std": 0.001, "batch_size": 32, "clip_value": 10.0}
SMOKE = {"seq_len": 40, "hidden_size": 16, "max_steps": 40, "log_every": 20}
EVAL_EVERY = 100
PROBABILITY: dict[str, Any] = {"low": 0, "high": 1, "same_eval": True}
TRAINS: dict[str, Any] = {"trains_only": True}


@dataclass(frozen=True)
class AddingOptions(ModelOptions):
    """The options of this experiment alone."""

    model: str = option("indrnn", "the network", choices=("indrnn", *LAYERS), same_eval=True)
    seq_len: int | None = by_model("length T", {"indrnn": 5000}, others=100, low=2)
    num_layers: int | None = by_model("recurrent layers", {"indrnn": 2}, others=1, low=1)
    hidden_size: int | None = by_model("units of a layer", {"indrnn": 32}, others=64, low=1)
    lr: float | None = by_model("learning rate", {"indrnn": 4e-3}, others=1e-3, above=0, **TRAINS)
    clip_norm: float | None = by_model(
        "bound on ‖gradients‖", {"indrnn": 0.0}, others=1.0, low=0, **TRAINS
    )
    MAG: float | None = by_model("bound on |u|^T", {"indrnn": 2.0}, above=0, **TRAINS)
    act: str | None = by_model("function", {"indrnn": "relu"}, choices=ACTIVATIONS, same_eval=True)
    in2hid_std: float | None = by_model("of initial weights", {"indrnn": 0.01}, above=0, **TRAINS)
    curriculum: bool | None = by_model("grow T from 50", {"indrnn": True}, negatable=True, **TRAINS)
    zoneout_h: float | None = by_model("P(h stays old)", of(LAYERS, 0.0), **PROBABILITY)
    zoneout_c: float | None = by_model("P(c stays old)", {"lstm": 0.0}, **PROBABILITY)
    forget_bias: float | None = by_model("added to the forget gate", {"lstm": 1.0}, same_eval=True)


class Adding(Task):
    """A model, Adam, and one of two recipes: a curriculum over T, or full length and plateaus."""

    baseline = ("always answering 1:", BASELINE_MSE)

    def __init__(self, options: AddingOptions) -> None:
        self.options = options
        init, data, masks = streams(options.seed)
        self.rngs = {"data": data, "masks": masks}
        recipe = Curriculum if options.curriculum else FullLength
        self.recipe: Curriculum | FullLength = recipe(options.seq_len, options.lr)
        self.model = build_model(options, self.recipe.T, init).to(options.device)
        self.optimizer = Adam(self.model.named_parameters(), options.lr)

    def loss(self) -> Tensor:
        o = self.options
        self.optimizer.lr = self.recipe.lr
        x, y = adding_batch(self.rngs["data"], self.recipe.T, o.batch_size, o.dtype)
        answer = self.model(to_device(x, o.device), rng=self.rngs["masks"])
        return mse(answer, to_device(y, o.device))

    def observe(self, step: int, loss: float) -> dict[str, float]:
        columns = {"T": self.recipe.T, "lr": self.recipe.lr}
        if isinstance(self.recipe, Curriculum):
            if self.recipe.observe(loss):
                enter_stage(self.recipe, self.model, self.optimizer)
        elif step % EVAL_EVERY == 0:
            fresh = adding_blocks(self.rngs["data"], self.recipe.T, dtype=self.options.dtype)
            columns["eval_mse"] = self._mse(fresh)
            self.recipe.observe(columns["eval_mse"])
        self.is_finished = self.recipe.is_finished
        return columns

    def evaluate(self) -> dict[str, float]:
        blocks = adding_test_set(self.options.seq_len, dtype=self.options.dtype)
        return {"test_mse": self._mse(blocks)}

    def describe(self) -> list[str]:
        if self.options.eval:
            return []
        return ["--curriculum: " * bool(self.options.curriculum) + self.recipe.describe()]

    def state_dict(self) -> dict[str, Any]:
        return {"recipe": self.recipe.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.recipe.load_state_dict(state["recipe"])
        if isinstance(self.recipe, Curriculum):
            enter_stage(self.recipe, self.model, self.optimizer)

    def _mse(self, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
        """The mean squared error over blocks of sequences, nothing recorded, no masks drawn."""
        total, count = 0.0, 0
        with eval_mode(self.model), no_grad():
            for x, y in blocks:
                answer = to_device(self.model(to_device(x, self.options.device)).data, "cpu")
                total += float(np.square(answer.astype(np.float64) - y).sum())
                count += len(y)
        return total / count


def build_model(o: AddingOptions, T: int, rng: np.random.Generator) -> LastStepReadout:
    """The model of the options, which for an IndRNN starts with sequences of length T."""
    if o.model != "indrnn":
        names = ("num_layers", "zoneout_h", "zoneout_c", "forget_bias", "dtype")
        own = {name: getattr(o, name) for name in names if getattr(o, name) is not None}
        rnn = LAYERS[o.model](2, o.hidden_size, rng=rng, output="last", **own)
        return LastStepReadout(RecurrentBody(rnn), 1, rng=rng, readout_init=GLOROT)
    small = Normal(o.in2hid_std)
    start = IndRNNOptions(T, o.MAG, W_init=small, init_last_u=True, act=o.act, dtype=o.dtype)
    body = PlainIndRNNBody(2, o.hidden_size, o.num_layers, start, rng=rng)
    return LastStepReadout(body, 1, rng=rng, readout_init=small if o.curriculum else GLOROT)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse("adding", AddingOptions, argv, __doc__, presets={"paper": PAPER}, smoke=SMOKE)
    return run("adding", options, Adding)


if __name__ == "__main__":
    sys.exit(main())
