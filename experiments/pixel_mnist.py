"""MNIST pixel by pixel: a digit, read one of its 784 pixels at a time, top to bottom.

    python experiments/pixel_mnist.py --data DIR --preset indrnn_plain6 --epochs 3
    python experiments/pixel_mnist.py --data DIR --preset indrnn_dense --permute

DIR holds the four idx files, as `python -m nnseq.data fetch mnist` leaves them. With --permute all
digits are shown in one random order of the pixels, which is saved with the parameters. --valid_size
of the 60,000 training images, drawn at random, choose the best weights; with these the 10,000 test
images are classified.

The IndRNN presets are the networks and recipes of Li et al. 2019, "Deep independently recurrent
neural network (IndRNN)", arXiv:1910.06251; the others those of Krueger et al. 2017, "Zoneout",
arXiv:1606.01305, and Cooijmans et al. 2017, "Recurrent batch normalization", arXiv:1603.09025.
Zoneout's own script drew its permutation with replacement, so that 283 pixels never came; here it
is one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnseq.classification_options import (
    DENSE,
    INDRNN,
    PLAIN,
    RESIDUAL,
    ClassificationOptions,
    indrnn_body,
    no_decay,
)
from nnseq.classification_task import ClassificationTask, Examples
from nnseq.data.batches import ArrayBatch
from nnseq.data.images import Images
from nnseq.data.made_up import write_made_up
from nnseq.data.mnist import mnist
from nnseq.data.pixels import pixel_sequences
from nnseq.data.prefetch import Prefetch
from nnseq.data.shuffled import Shuffled
from nnseq.model_options import by_model
from nnseq.models import RecurrentBody, SequenceClassifier
from nnseq.nn import LSTM, BatchNormLSTM, Module, Permutation
from nnseq.nn.initializers import GLOROT, HeNormal
from nnseq.options import OptionError, option, parse
from nnseq.task import streams
from nnseq.train import run

PIXELS, CLASSES, TEST_BATCH = 784, 10, 100
DEEP = {"permute": False, "batch_size": 32, "lr": 2e-4, "MAG": 5.0, "weight_decay": 1e-4}
PERMUTED = {"permute": True, "batch_size": 100, "hidden_size": 100, "epochs": 100, "lr": 1e-4}
ZONED = PERMUTED | {"zoneout_h": 0.15, "zoneout_c": 0.15}
DROPOUTS = {"dropout": 0.2, "dropout_inner": 0.1, "dropout_between": 0.1}
DROPOUTS |= {"dropout_first": 0.2, "dropout_last": 0.1}
PRESETS: dict[str, dict[str, Any]] = {
    "indrnn_plain6": DEEP | {"model": PLAIN, "num_layers": 6},
    "indrnn_plain12": DEEP | {"model": PLAIN, "num_layers": 12},
    "indrnn_residual": DEEP | {"model": RESIDUAL, "num_blocks": 5},
    "indrnn_dense": DEEP | {"model": DENSE, "growth": 16, "num_first": 6} | DROPOUTS,
    "lstm": PERMUTED | {"model": "lstm"},
    "zoneout_lstm": ZONED | {"model": "lstm"},
    "zoneout_lstm_rbn": ZONED | {"model": "lstm_rbn"},
}
DEEP_PAPER = "Li et al. 2019, table 2; the authors' log"
PUBLISHED = {
    "indrnn_plain6": f"test accuracy 0.990, with --permute 0.960 ({DEEP_PAPER}: 0.9904, 0.9564)",
    "indrnn_plain12": f"0.9937, with --permute 0.9684 ({DEEP_PAPER}: 0.9946, 0.9653)",
    "indrnn_residual": f"0.9939, with --permute 0.9702 ({DEEP_PAPER}: 0.9938, 0.9686)",
    "indrnn_dense": f"0.9948, with --permute 0.972 ({DEEP_PAPER}: 0.9948, 0.9716)",
    "lstm": "0.902 with --permute, 0.989 without (Cooijmans et al. 2017)",
    "zoneout_lstm": "0.931 with --permute (Krueger et al. 2017, as in Li et al. 2019, table 2)",
    "zoneout_lstm_rbn": "0.959 with --permute (the same)",
}
SMOKE = {"batch_size": 10, "valid_size": 20, "eval_every": 3, "max_steps": 6, "log_every": 3}


def of_lstm(value: Any) -> dict[str, Any]:
    """The same default for both kinds of LSTM."""
    return dict.fromkeys(("lstm", "lstm_rbn"), value)


@dataclass(frozen=True)
class PixelOptions(ClassificationOptions):
    """The options of this experiment alone."""

    model: str = option(PLAIN, "the network", choices=(*INDRNN, *of_lstm(0)))
    permute: bool = option(False, "one random order of the pixels", negatable=True)
    valid_size: int = option(3000, "training images held back", low=1, high=59_000)
    hidden_size: int | None = by_model(
        "units of a layer", {PLAIN: 128, RESIDUAL: 128, **of_lstm(100)}, low=1
    )
    zoneout_h: float | None = by_model("P(h stays old)", of_lstm(0.0), low=0, high=1)
    zoneout_c: float | None = by_model("P(c stays old)", of_lstm(0.0), low=0, high=1)
    initial_noise: float | None = by_model("std of h before step 0", {"lstm_rbn": 0.0}, low=0)


class PixelNetwork(Module):
    """A classifier of pixel sequences, which sees them in its own order if it has one."""

    def __init__(self, classifier: Module, permutation: Permutation | None) -> None:
        self.permutation, self.classifier = permutation, classifier

    def forward(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Map x (784, B, 1) to logits (B, 10)."""
        return self.classifier(x if self.permutation is None else self.permutation(x), rng=rng)


class PixelTask(ClassificationTask):
    """MNIST, the network of the options, and the order of the pixels."""

    def __init__(self, options: PixelOptions) -> None:
        init, data, masks = streams(options.seed)
        of_split, of_batches, of_order = data.spawn(3)
        order = Permutation(PIXELS, rng=of_order) if options.permute else None
        network = PixelNetwork(build_classifier(options, init), order)
        needs_files = options.max_steps != 0 or options.eval
        examples = read_examples(options, of_split, of_batches) if needs_files else None
        excluded = no_decay(options) if options.model in INDRNN else ()
        super().__init__(options, network, examples, masks, excluded)


def read_examples(
    o: PixelOptions, of_split: np.random.Generator, of_batches: np.random.Generator
) -> Examples:
    """The two sets of MNIST, the training set split in two."""
    folder = Path(o.data or "data/mnist")
    if o.smoke and o.data is None:
        folder = Path(str(o.out), "made_up")
        write_made_up("mnist", folder, np.random.default_rng(o.seed))
    train, test = mnist(folder, "train"), mnist(folder, "test")
    if len(train.labels) - o.valid_size < o.batch_size:
        raise OptionError(
            f"--valid_size: {o.valid_size} of {len(train.labels)} images came, which leaves fewer "
            f"than --batch_size {o.batch_size}; lower one of them"
        )
    shuffled = of_split.permutation(len(train.labels))
    held_back, rest = shuffled[: o.valid_size], shuffled[o.valid_size :]
    batches = Shuffled(
        len(rest),
        o.batch_size,
        rng=of_batches,
        make=lambda indices, rng: as_batch(train, rest[indices], o.dtype),
        drop_last=True,
    )
    made_up = "made-up digits in MNIST's format: " if o.smoke and o.data is None else ""
    files = ", ".join(Path(name).name for name in (*train.files, *test.files))
    return Examples(
        Prefetch(batches),
        lambda: in_batches(train, np.sort(held_back), o.dtype),
        lambda: in_batches(test, np.arange(len(test.labels)), o.dtype),
        made_up + files,
    )


def as_batch(images: Images, indices: np.ndarray, dtype: str) -> ArrayBatch:
    """Pixels (784, B, 1) in [0, 1] and classes (B,) of some images."""
    x = pixel_sequences(images.images[indices], dtype=dtype)
    return ArrayBatch(x, images.labels[indices].astype(np.int64))


def in_batches(images: Images, indices: np.ndarray, dtype: str) -> Iterator[ArrayBatch]:
    """All of these images once, in their order."""
    for k in range(0, len(indices), TEST_BATCH):
        yield as_batch(images, indices[k : k + TEST_BATCH], dtype)


def build_classifier(o: PixelOptions, rng: np.random.Generator) -> SequenceClassifier:
    """The network of the options, from pixels (784, B, 1) in any order."""
    dtype = np.dtype(o.dtype)
    if o.model in INDRNN:
        body = indrnn_body(o, 1, PIXELS, rng)
        return SequenceClassifier(body, CLASSES, rng=rng, readout_init=HeNormal())
    zoneout = {"zoneout_h": o.zoneout_h, "zoneout_c": o.zoneout_c}
    shared = {"rng": rng, "dtype": dtype, "output": "last", **zoneout}
    if o.model == "lstm":
        rnn: Any = LSTM(1, o.hidden_size, **shared)
    else:
        rnn = BatchNormLSTM(1, o.hidden_size, PIXELS, initial_noise=o.initial_noise, **shared)
    return SequenceClassifier(RecurrentBody(rnn), CLASSES, rng=rng, readout_init=GLOROT)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse(
        "pixel_mnist",
        PixelOptions,
        argv,
        __doc__,
        presets=PRESETS,
        published=PUBLISHED,
        smoke=SMOKE,
    )
    return run("pixel_mnist", options, PixelTask)


if __name__ == "__main__":
    sys.exit(main())
