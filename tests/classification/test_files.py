"""nnseq.classification.files: real files, made-up ones, or a word on where to get them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.classification.files import build_examples, read
from nnseq.classification.options import ClassificationOptions
from nnseq.data.examples import Labelled
from nnseq.data.files import DataError
from nnseq.data.images import Images
from nnseq.data.made_up import write_made_up
from nnseq.data.mnist import mnist
from nnseq.indrnn_networks import INDRNN
from nnseq.options import OptionError, option
from nnseq.task import DataNote


@dataclass(frozen=True)
class SomeOptions(ClassificationOptions):
    model: str = option(INDRNN[0], "the network", choices=INDRNN)


def test_read_names_the_files(tmp_path: Path) -> None:
    write_made_up("mnist", tmp_path, np.random.default_rng(0))
    found, note = read(SomeOptions(data=str(tmp_path)), "mnist", mnist)
    assert found is not None
    assert [len(images.labels) for images in found] == [400, 100]
    assert note.text == (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        "t10k-labels-idx1-ubyte.gz"
    )


def test_read_makes_files_up_for_a_smoke_run_says_so_and_leaves_none(tmp_path: Path) -> None:
    found, note = read(SomeOptions(smoke=True, out=str(tmp_path)), "mnist", mnist)
    assert found is not None
    assert note.text.startswith("made-up files in the format of mnist: train-images-idx3-ubyte.")
    assert list(tmp_path.iterdir()) == []


def test_read_counts_many_files(tmp_path: Path) -> None:
    def reader(folder: Path, split: str) -> Images:
        return Images(np.zeros(0), np.zeros(0), tuple(f"{split}{k}" for k in range(1000)))

    _, note = read(SomeOptions(data=str(tmp_path)), "clips", reader)
    assert note.text.startswith("train0, train1, ")
    assert note.text.endswith(", train11 and 1,988 more")


@pytest.mark.parametrize("extra", [{"resume": True}, {"eval": True, "load_weight": "best.h5"}, {}])
def test_read_says_what_is_missing(tmp_path: Path, extra: dict[str, Any]) -> None:
    assert read(SomeOptions(max_steps=0), "mnist", mnist) == (None, DataNote())
    options = SomeOptions(max_steps=0 if extra else 5, **extra)
    with pytest.raises(OptionError, match=r"--data: nothing came.*`python -m nnseq\.data fetch mn"):
        read(options, "mnist", mnist)
    with pytest.raises(DataError, match="nowhere"):
        read(SomeOptions(data=str(tmp_path / "nowhere")), "mnist", mnist)


def test_the_sizes_of_the_options_reach_the_examples() -> None:
    options = SomeOptions(batch_size=4, eval_batch_size=3, valid_share=0.25)
    rng = np.random.default_rng(0)
    some = Labelled(np.arange(24), lambda indices, rng: np.zeros((1, len(indices), 1)))
    examples = build_examples(options, some, some, rng, test_looks=2)
    assert len(examples.train.draw().y) == 4
    assert len(examples.valid.draw().y) == 3
    steps = [p.steps_per_epoch for p in (examples.train, examples.valid, examples.test)]
    assert steps == [4, 2, 16]
    examples.close()


def test_examples_too_few_for_the_options_are_refused_by_their_flags() -> None:
    some = Labelled(np.arange(24), lambda indices, rng: np.zeros((1, len(indices), 1)))
    options = SomeOptions(batch_size=19, valid_share=0.25)
    with pytest.raises(
        OptionError, match=r"--batch_size or --valid_share: 24 examples, of which 6"
    ):
        build_examples(options, some, some, np.random.default_rng(0))
