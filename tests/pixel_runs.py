"""A few digits, and networks so small that they soon have read the 784 pixels of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnseq.data.made_up import write_made_up
from nnseq.data.made_up_images import idx, write
from nnseq.data.mnist import mnist
from nnseq.indrnn_networks import DENSE, PLAIN, RESIDUAL

EVAL: list[object] = ["--kernels", "reference", "--threads", 1, "--eval_batch_size", 6]
SMALL: list[object] = [*EVAL, "--batch_size", 2, "--valid_share", 0.25]
SIZES: dict[str, list[object]] = {
    PLAIN: ["--hidden_size", 3, "--num_layers", 1],
    RESIDUAL: ["--hidden_size", 3, "--num_blocks", 1],
    DENSE: ["--growth_rate", 1, "--num_first", 1, "--block_config", "1"],
    "lstm": ["--hidden_size", 3],
    "lstm_rbn": ["--hidden_size", 3],
}
RUN: list[object] = [*SMALL, *SIZES[PLAIN]]


def write_few_digits(folder: Path) -> Path:
    """Writes MNIST's files with 12 made-up images to train on and 6 to test on."""
    write_made_up("mnist", folder, np.random.default_rng(3))
    for split, prefix, N in (("train", "train", 12), ("test", "t10k", 6)):
        images = mnist(folder, split)
        write(folder / f"{prefix}-images-idx3-ubyte.gz", idx(images.images[:N]))
        write(folder / f"{prefix}-labels-idx1-ubyte.gz", idx(images.labels[:N]))
    return folder
