"""The adding problem with IndRNN: the sum of two marked numbers among --seq_len.

    python experiments/adding.py --seq_len 5000                 the recipe that solves it fastest
    python experiments/adding.py --seq_len 5000 --preset paper  the paper's recipe

The test set is 1,000 sequences of length --seq_len that no run trains on; always answering 1 has a
mean squared error of 1/6. Initial weights are random: W_ih ~ N(0, in2hid_std²); u ~ U(0, bound),
in the last layer u ~ U(1/bound, bound), with bound = MAG^(1/T); |u| ≤ bound throughout.

The default, --curriculum. One step of the optimiser moves a sum of T terms, so at T = 5000 its
noise drowns the gradient. Two things cure that:

- T doubles from 50 to --seq_len whenever the mean of 50 losses is below 0.001, and at the end lr
  falls linearly to 0 in 1,000 steps (nnseq/curriculum.py). What layer 1 lets through between the
  markers is what grows with T, and a length that is really solved leaves little of it: promoted at
  0.005, with half the lr and 400 last steps, 5 of 8 seeds ended above 0.001.
- u and b of the last layer learn at lr 50 / T: they act T times on each answer, the other weights
  at the markers only. Without it for u, two seeds stuck at T = 800; for b, at T = 1600.

Input and readout weights begin at N(0, in2hid_std²): small ones leave few units active, so few
leaks. At T = 1000, 128 units reach what 32 do in eight times the time. The recipe was chosen on
seeds 0 to 9; 10 to 12 at T = 5000 and 10 to 24 at T = 500 confirmed it.

--no_curriculum trains at full length and divides lr by 10 when 200 evaluations on 1,000 fresh
sequences, one every 100 steps, bring nothing better, until 1e-6: with --preset paper, the recipe of
Li et al. 2018, "Independently recurrent neural network", arXiv:1803.04831v3, and of their code, but
for its clip, which is elementwise on the parameters here and inside the recurrence there.
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
            return [f"--curriculum: {self.recipe.describe()}"]
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
                f"stack.layers.{self.options.num_layers - 1}.rnn.{name}",
                curriculum.start / curriculum.T,
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
