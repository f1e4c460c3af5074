"""experiments/pixel_mnist.py: the order in which a network sees the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.data.mnist import mnist
from nnseq.indrnn_networks import PLAIN
from tests import experiment_checks as checks
from tests.language_runs import run_main, script
from tests.pixel_runs import EVAL, RUN, SIZES, write_few_digits

SPACE = script("pixel_mnist")
main = SPACE["main"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_few_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    checks.without_pictures(monkeypatch)


def test_a_permuted_network_is_evaluated_with_its_own_order_whatever_the_seed(
    folder: Path, tmp_path: Path
) -> None:
    argv = ["--data", folder, *RUN, "--permute"]
    more = ["--max_steps", 4, "--eval_every", 3, "--lr", 0.01]
    trained = run_main(main, tmp_path / "run", *argv, *more)["metrics"]
    tree, attributes = checkpoint.read(tmp_path / "run" / "best.h5")
    order = tree["state"]["buffers"]["permutation.order"]
    assert sorted(order.tolist()) == list(range(784))
    assert (order != np.arange(784)).mean() > 0.9
    assert attributes["step"] <= 4
    argv = ["--data", folder, *EVAL, *SIZES[PLAIN], "--permute"]
    checks.evaluation(main, tmp_path / "run", argv, trained)


@pytest.mark.parametrize(
    ("trained", "shown", "said"),
    [
        ("--permute", "--no_permute", "pixels that came permuted; give --permute\n"),
        ("--no_permute", "--permute", "pixels that came in order; give --no_permute\n"),
    ],
)
def test_weights_of_another_order_are_refused_with_the_cure(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    trained: str,
    shown: str,
    said: str,
) -> None:
    argv = ["--data", folder, *RUN]
    run = tmp_path / "run"
    run_main(main, run, *argv, trained, "--max_steps", 1)
    file = run / "checkpoint.h5"
    for more in ([*EVAL, *SIZES[PLAIN], "--eval"], [*RUN, "--max_steps", 1]):
        flags = ["--data", folder, shown, "--load_weight", file, "--out", tmp_path / "eval", *more]
        error = checks.refusal(main, flags, 1, f"{file}: holds another model: ", capsys)
        assert error.endswith(said)
    more = ["--resume", "--max_steps", 2, "--out", run]
    checks.refusal(main, [*argv, shown, *more], 2, "--permute is", capsys)


def test_weights_of_another_size_are_told_apart_from_another_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", folder, "--permute"]
    run_main(main, tmp_path / "run", *argv, *RUN, "--max_steps", 1)
    file = ["--eval", "--load_weight", tmp_path / "run" / "checkpoint.h5"]
    argv += [*EVAL, "--hidden_size", 4, "--num_layers", 1, *file, "--out", tmp_path / "eval"]
    checks.refusal(main, argv, 1, "misshapen: classifier.body", capsys)


def test_the_network_sees_pixel_order_t_at_step_t(folder: Path) -> None:
    options = {"data": str(folder), "batch_size": 2, "valid_share": 0.25, "device": "cpu"}
    options |= {"hidden_size": 3, "num_layers": 1}
    tasks = [
        SPACE["PixelTask"](SPACE["PixelOptions"](**options, permute=permute))
        for permute in (True, False)
    ]
    x = tasks[0].examples.test.draw().x
    images = mnist(folder, "test").images.reshape(6, 784) / np.float32(128) - 1
    assert (x[:, :, 0] == images.T).all()
    seen: list[np.ndarray] = []
    network = tasks[0].model.eval()
    network.classifier.forward = lambda x, rng: seen.append(x)
    network(x)
    assert (images[:, network.permutation.order] == seen[0][:, :, 0].T).all()
    assert tasks[1].model.permutation is None
    drawn = [task.examples.train.draw() for task in tasks]
    assert (drawn[0].x == drawn[1].x).all(), "the order shifts neither split nor batches"
    for task in tasks:
        task.close()
