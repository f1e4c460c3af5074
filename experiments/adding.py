"""The adding problem with IndRNN: the sum of two marked numbers among --seq_len.

    python experiments/adding.py --seq_len 5000                 the recipe that solves it fastest
    python experiments/adding.py --seq_len 5000 --preset paper  the paper's recipe

The test set is 1,000 sequences of length --seq_len that no run trains on; always answering 1 has a
mean squared error of 1/6. Initial weights are random: W_ih ~ N(0, in2hid_std²); u ~ U(0, bound),
in the last layer u ~ U(1/bound, bound), with bound = MAG^(1/T); |u| ≤ bound throughout.

By default --curriculum is on: short sequences first (see nnseq/curriculum.py). With --no_curriculum
every sequence has the full length, and the learning rate falls by 10 when 200 evaluations on fresh
sequences, one every 100 steps, bring nothing better, until it would pass 1e-6: the recipe of Li et
al. 2018, "Independently recurrent neural network (IndRNN)", arXiv:1803.04831v3, and their code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnseq.backend import to_device
from nnseq.curriculum import Curriculum
from nnseq.data.adding import BASELINE_MSE, adding_batch, adding_blocks, adding_test_set
from nnseq.models.indrnn import PlainIndRNN
from nnseq.nn.initializers import GLOROT, Normal
from nnseq.ops.losses import mse
from nnseq.optim import Adam, Plateau
from nnseq.options import Options, option, parse
from nnseq.task import Task, streams
from nnseq.tensor import Tensor, no_grad
from nnseq.train import run

PAPER = {"curriculum": False, "num_layers": 2, "hidden_size": 128, "batch_size": 32, "lr": 2e-4}
PAPER |= {"MAG": 2.0, "act": "relu", "in2hid_std": 0.001, "clip_value": 10.0}
SMOKE = {"seq_len": 40, "hidden_size": 16, "max_steps": 40, "log_every": 20}
EVAL_EVERY = 100


@dataclass(frozen=True)
class AddingOptions(Options):
    """The options of this experiment alone."""

    seq_len: int = option(5000, "length T of the sequences", low=2)
    num_layers: int = option(2, "IndRNN layers", low=1)
    hidden_size: int = option(32, "units of a layer", low=1)
    lr: float = option(4e-3, "learning rate", above=0)
    MAG: float = option(2.0, "bound on |u|^T", above=0)
    act: str = option("relu", "activation", choices=("relu", "tanh", "identity"))
    in2hid_std: float = option(0.01, "standard deviation of initial input weights", above=0)
    curriculum: bool = option(True, "grow T from 50 to --seq_len (default: yes)", negatable=True)


class Adding(Task):
    """PlainIndRNN, Adam, and one of two recipes: a curriculum over T, or the paper's plateaus."""

    baseline = ("always answering 1:", BASELINE_MSE)

    def __init__(self, options: AddingOptions) -> None:
        self.options = options
        init, data, _ = streams(options.seed)
        self.rngs = {"data": data}
        self.recipe: Curriculum | Plateau = (
            Curriculum(options.seq_len, options.lr)
            if options.curriculum
            else Plateau(options.lr, 200, 0.1, min_lr=min(1e-6, options.lr), stop=True)
        )
        self.model = PlainIndRNN(
            2,
            options.hidden_size,
            options.num_layers,
            1,
            seq_len=self._length(),
            rng=init,
            MAG=options.MAG,
            act=options.act,
            in2hid_std=options.in2hid_std,
            readout_init=Normal(options.in2hid_std) if options.curriculum else GLOROT,
            dtype=np.dtype(options.dtype),
        ).to(options.device)
        self.optimizer = Adam(self.model.named_parameters(), options.lr)

    def loss(self) -> Tensor:
        self.optimizer.lr = self.recipe.lr
        x, y = adding_batch(
            self.rngs["data"], self._length(), self.options.batch_size, self.options.dtype
        )
        device = self.options.device
        return mse(self.model(to_device(x, device)), to_device(y, device))

    def observe(self, step: int, loss: float) -> dict[str, float]:
        columns = {"T": self._length(), "lr": self.recipe.lr}
        if isinstance(self.recipe, Curriculum):
            if self.recipe.observe(loss):
                self._enter_stage(self.recipe)
        elif step % EVAL_EVERY == 0:
            fresh = adding_blocks(self.rngs["data"], self._length(), dtype=self.options.dtype)
            columns["eval_mse"] = self._mse(fresh)
            self.recipe.observe(columns["eval_mse"])
        self.is_finished = self.recipe.is_finished
        return columns

    def evaluate(self) -> dict[str, float]:
        """The mean squared error on the test set of full length."""
        blocks = adding_test_set(self.options.seq_len, dtype=self.options.dtype)
        return {"test_mse": self._mse(blocks)}

    def describe(self) -> list[str]:
        if isinstance(self.recipe, Curriculum):
            target = self.options.seq_len
            return [f"--curriculum: T grows to {target}; now {self.recipe.describe()}"]
        return [f"T = {self._length()}, lr {self.recipe.lr:g}, divided by 10 on plateaus"]

    def state_dict(self) -> dict[str, Any]:
        return {"recipe": self.recipe.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.recipe.load_state_dict(state["recipe"])
        if isinstance(self.recipe, Curriculum):
            self._enter_stage(self.recipe)

    def _enter_stage(self, curriculum: Curriculum) -> None:
        """Bound |u| for this T, and slow down what the last layer sums over T steps."""
        self.model.set_seq_len(curriculum.T)
        self.model.constrain()
        for name in ("u", "b"):
            self.optimizer.set_lr_factor(
                f"stack.layers.{self.options.num_layers - 1}.rnn.{name}", curriculum.start / curriculum.T
            )

    def _length(self) -> int:
        """The length of the next batch."""
        return self.recipe.T if isinstance(self.recipe, Curriculum) else self.options.seq_len

    def _mse(self, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
        """The mean squared error over blocks of sequences, nothing recorded."""
        total, count = 0.0, 0
        with no_grad():
            for x, y in blocks:
                answer = to_device(self.model(to_device(x, self.options.device)).data, "cpu")
                total += float(np.square(answer.astype(np.float64) - y).sum())
                count += len(y)
        return total / count


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    presets = {"paper": PAPER}
    options = parse("adding", AddingOptions, argv, __doc__ or "", presets=presets, smoke=SMOKE)
    return run("adding", options, Adding)


if __name__ == "__main__":
    sys.exit(main())
