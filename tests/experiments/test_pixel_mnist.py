"""experiments/pixel_mnist.py: presets, whole runs, the order of the pixels, runs that continue."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.classification_options import ClassificationOptions
from nnseq.data.made_up import write_made_up
from nnseq.data.made_up_images import idx, write
from nnseq.data.mnist import mnist
from nnseq.indrnn_networks import DENSE, PLAIN, RESIDUAL
from nnseq.options import Options
from tests.language_runs import bits, remains, run_main, script

SPACE = script("pixel_mnist")
PRESETS: dict[str, dict[str, Any]] = SPACE["PRESETS"]
main = SPACE["main"]

# A sequence has 784 steps, so that everything else is tiny.
SMALL: list[object] = ["--kernels", "reference", "--threads", 1, "--batch_size", 2]
SMALL += ["--valid_share", 0.25, "--eval_batch_size", 6]
SIZES: dict[str, list[object]] = {
    PLAIN: ["--hidden_size", 3, "--num_layers", 1],
    RESIDUAL: ["--hidden_size", 3, "--num_blocks", 1],
    DENSE: ["--growth_rate", 1, "--num_first", 1, "--block_config", "1"],
    "lstm": ["--hidden_size", 3],
    "lstm_rbn": ["--hidden_size", 3],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST's files with 12 made-up images to train on and 6 to test on."""
    whole = tmp_path_factory.mktemp("whole")
    write_made_up("mnist", whole, np.random.default_rng(3))
    few = tmp_path_factory.mktemp("few")
    for split, prefix, N in (("train", "train", 12), ("test", "t10k", 6)):
        images = mnist(whole, split)
        write(few / f"{prefix}-images-idx3-ubyte.gz", idx(images.images[:N]))
        write(few / f"{prefix}-labels-idx1-ubyte.gz", idx(images.labels[:N]))
    return few


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a run of a few steps."""
    for place in ("nnseq.classification_task.draw", "nnseq.plots.draw"):
        monkeypatch.setattr(place, lambda path, panels, columns=1: path.touch())


# ---- presets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "params"),
    [
        ("indrnn_plain6", 86_410),
        ("indrnn_plain12", 187_786),
        ("indrnn_residual", 170_890),
        ("indrnn_dense", 256_514),
        ("lstm", 4 * 100 * (1 + 100 + 1) + 2 * 100 + 101 * 10),
        ("zoneout_lstm", 4 * 100 * (1 + 100 + 1) + 2 * 100 + 101 * 10),
        ("zoneout_lstm_rbn", 4 * 100 * (1 + 100 + 1 + 2) + 4 * 100 + 101 * 10),
    ],
)
@pytest.mark.parametrize("order", ["--permute", "--no_permute"])
def test_a_preset_has_its_number_of_parameters_without_data(
    tmp_path: Path, preset: str, params: int, order: str
) -> None:
    """The first four are those of the authors' logs."""
    argv = ["--preset", preset, order, "--max_steps", 0, "--threads", 1]
    summary = run_main(main, tmp_path, *argv)
    assert (summary["params"], summary["steps"], summary["metrics"]) == (params, 0, {})


def test_the_indrnn_presets_have_the_recipe_of_the_authors_logs() -> None:
    recipe = {"batch_size": 32, "lr": 2e-4, "weight_decay": 1e-4, "MAG": 5.0, "permute": False}
    recipe |= {"bn": "after", "bn_decay": True, "clip_value": 10.0, "optimizer": "adam"}
    recipe |= {"pixels": "signed"}
    recipe |= {"init_last_u": True, "constrain_u": True, "valid_share": 0.05, "patience": 100}
    recipe |= {"lr_factor": 0.1, "min_lr": 1e-6}
    own: dict[str, dict[str, Any]] = {
        "indrnn_plain6": {"hidden_size": 128, "num_layers": 6, "p_drop": 0.1},
        "indrnn_plain12": {"hidden_size": 128, "num_layers": 12, "p_drop": 0.1},
        "indrnn_residual": {"hidden_size": 128, "num_blocks": 5, "p_drop": 0.1},
        "indrnn_dense": {
            "growth_rate": 16, "num_first": 6, "block_config": "8,6,4", "p_drop": 0.2,
            "p_drop_first": 0.2, "p_drop_inner": 0.1, "p_drop_transition": 0.1, "p_drop_last": 0.1,
        },
    }  # fmt: skip
    for name, expected in own.items():
        options = SPACE["PixelOptions"](**PRESETS[name])
        for key, value in (recipe | expected).items():
            assert getattr(options, key) == value, (name, key)


def test_the_lstm_presets_have_the_recipe_of_the_zoneout_program() -> None:
    recipe = {"hidden_size": 100, "batch_size": 100, "lr": 1e-4, "optimizer": "rmsprop"}
    recipe |= {"clip_norm": 1.0, "clip_value": 0.0, "epochs": 100, "patience": 0, "permute": True}
    for name, model, zoneout in (
        ("lstm", "lstm", 0.0),
        ("zoneout_lstm", "lstm", 0.15),
        ("zoneout_lstm_rbn", "lstm_rbn", 0.15),
    ):
        options = SPACE["PixelOptions"](**PRESETS[name])
        given = {"model": model, "zoneout_h": zoneout, "zoneout_c": zoneout}
        for key, value in (recipe | given).items():
            assert getattr(options, key) == value, (name, key)
        assert int(60_000 * (1 - options.valid_share) + 1e-9) == 50_000


def test_recurrent_batch_norm_has_the_numbers_of_the_zoneout_program() -> None:
    options = SPACE["PixelOptions"](model="lstm_rbn", hidden_size=3)
    network = SPACE["build_classifier"](options, np.random.default_rng(0))
    (direction,) = (m for _, m in network.named_modules() if hasattr(m, "running_mean"))
    assert (direction.momentum, direction.eps, direction.num_steps) == (0.01, 1e-5, 784)
    assert (direction.gamma_x.data == np.float32(0.1)).all()
    assert direction.b.data.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_steps_of_every_preset(folder: Path, tmp_path: Path, preset: str) -> None:
    sizes = SIZES[PRESETS[preset]["model"]]
    argv = ["--preset", preset, "--data", folder, *SMALL, *sizes, "--max_steps", 2]
    summary = run_main(main, tmp_path, *argv, "--log_every", 1)
    assert set(summary["metrics"]) == {"test_acc", "test_error", "test_loss"}
    assert summary["data"] == (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        "t10k-labels-idx1-ubyte.gz"
    )
    assert 0 <= summary["data_wait"] <= 1
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["loss"] != lines[1]["loss"]
    assert 1 < lines[0]["loss"] < 20


@pytest.mark.parametrize("preset", ["indrnn_dense", "zoneout_lstm_rbn"])
def test_smoke_is_a_whole_run_on_files_that_say_that_they_are_made_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    preset: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["--smoke", "--preset", preset, "--threads", "1", "--max_steps", "2"]
    assert main(argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("made-up files in the format of mnist: train-images-idx3-ubyte.gz, ")
    assert "steps an epoch" in said[1]
    out = tmp_path / "runs" / "pixel_mnist" / "smoke"
    present = {path.name for path in out.iterdir() if "prev" not in path.name}
    assert present == {
        "accuracy.png", "best.h5", "checkpoint.h5", "curve.png", "metrics.jsonl", "summary.json",
    }  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert summary["data"].startswith("made-up files in the format of mnist: ")
    assert {"valid_acc", "test_acc"} <= set(summary["metrics"])


def test_help_lists_every_preset_with_what_is_published_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split() for line in lines[-7:]]
    assert [words[0] for words in listed] == list(PRESETS)
    assert {words[0]: words[2 if k == 0 else 1] for k, words in enumerate(listed)} == {
        "indrnn_plain6": "0.990", "indrnn_plain12": "0.9937", "indrnn_residual": "0.9939",
        "indrnn_dense": "0.9948", "lstm": "0.902,", "zoneout_lstm": "0.931:",
        "zoneout_lstm_rbn": "0.959:",
    }  # fmt: skip


# ---- the order of the pixels -------------------------------------------------------------------

RUN: list[object] = [*SMALL, *SIZES[PLAIN]]


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
    file = ["--eval", "--load_weight", tmp_path / "run" / "best.h5"]
    for seed in (0, 1):
        evaluated = run_main(main, tmp_path / str(seed), *argv, *file, "--seed", seed)["metrics"]
        assert set(evaluated) == {"test_acc", "test_error", "test_loss"}
        assert {name: trained[name] for name in evaluated} == evaluated


@pytest.mark.parametrize(
    ("trained", "given", "said"),
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
    given: str,
    said: str,
) -> None:
    argv = ["--data", folder, *RUN]
    run_main(main, tmp_path / "run", *argv, trained, "--max_steps", 1)
    file = str(tmp_path / "run" / "checkpoint.h5")
    argv = [str(x) for x in (*argv, given, "--load_weight", file, "--out", tmp_path / "eval")]
    for more in (["--eval"], ["--max_steps", "1"]):
        assert main([*argv, *more]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"pixel_mnist: {file}: holds another model: ")
        assert error.endswith(said)
    argv[argv.index("--load_weight") : argv.index("--out")] = ["--resume", "--max_steps", "2"]
    assert main([*argv, "--out", str(tmp_path / "run")]) == 2
    assert "--permute is" in capsys.readouterr().err


def test_weights_of_another_size_are_told_apart_from_another_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", folder, *RUN]
    run_main(main, tmp_path / "run", *argv, "--permute", "--max_steps", 1)
    capsys.readouterr()
    file = ["--eval", "--load_weight", tmp_path / "run" / "checkpoint.h5", "--hidden_size", 4]
    argv = [str(x) for x in (*argv, "--permute", *file, "--out", tmp_path / "eval")]
    assert main(argv) == 1
    assert "misshapen: classifier.body" in capsys.readouterr().err


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


# ---- continuing, and every option --------------------------------------------------------------

RESUMED: dict[str, list[object]] = {
    "indrnn": [*SIZES[PLAIN], "--permute", "--eval_every", 2],
    "lstm_rbn": [
        "--model", "lstm_rbn", *SIZES["lstm_rbn"], "--zoneout_h", 0.2, "--zoneout_c", 0.4,
        "--initial_noise", 0.2, "--eval_every", 2,
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_that_was_stopped_within_an_epoch_ends_with_the_same_bits(
    folder: Path, tmp_path: Path, case: str
) -> None:
    argv = ["--data", folder, *SMALL, *RESUMED[case], "--log_every", 1]
    run_main(main, tmp_path / "whole", *argv, "--max_steps", 3)
    run_main(main, tmp_path / "parts", *argv, "--max_steps", 1)
    assert checkpoint.read(tmp_path / "parts" / "checkpoint.h5")[1]["epoch"] == 0
    run_main(main, tmp_path / "parts", *argv, "--max_steps", 3, "--resume")
    assert remains(tmp_path / "parts") == remains(tmp_path / "whole")
    trees = [checkpoint.read(tmp_path / name / "best.h5") for name in ("parts", "whole")]
    assert bits(trees[0][0]) == bits(trees[1][0])


CHANGES: list[tuple[str, list[object]]] = [
    (PLAIN, ["--permute"]),
    (PLAIN, ["--hidden_size", 4]),
    (PLAIN, ["--p_drop", 0.5]),
    (PLAIN, ["--no_bn_decay"]),
    (PLAIN, ["--pixels", "unit"]),
    (PLAIN, ["--valid_share", 0.5]),
    ("lstm", ["--zoneout_h", 0.3]),
    ("lstm", ["--zoneout_c", 0.3]),
    ("lstm", ["--hidden_size", 4]),
]
BASE: list[object] = [*SMALL, "--max_steps", 2, "--weight_decay", 0.5]
# h_0 of recurrent batch norm is forgotten after 784 steps, unless it is kept.
NOISY: list[object] = ["--model", "lstm_rbn", *SIZES["lstm_rbn"], "--zoneout_h", 0.999]


def outcome(out: Path, *argv: object) -> Any:
    """What a run computed, not what it says of its options."""
    metrics = run_main(main, out, *BASE, *argv)["metrics"]
    return metrics, bits(checkpoint.read(out / "checkpoint.h5")[0]["params"])


@pytest.fixture(scope="module")
def unchanged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What a model computes without a change."""
    place, known = tmp_path_factory.mktemp("unchanged"), {}

    def of(model: str) -> Any:
        if model not in known:
            argv = ["--data", folder, "--model", model, *SIZES[model]]
            known[model] = outcome(place / model, *argv)
        return known[model]

    return of


@pytest.mark.parametrize(("model", "change"), CHANGES, ids=lambda x: str(x))
def test_an_option_changes_the_result(
    folder: Path,
    tmp_path: Path,
    unchanged: Callable[[str], Any],
    model: str,
    change: list[object],
) -> None:
    """Those of this script alone; the others are tried in test_action_recognition."""
    argv = ["--data", folder, "--model", model, *SIZES[model]]
    assert outcome(tmp_path, *argv, *change) != unchanged(model)


def test_noise_on_h_0_changes_the_result_where_h_0_is_seen(folder: Path, tmp_path: Path) -> None:
    argv = ["--data", folder, *NOISY, "--initial_noise"]
    assert outcome(tmp_path / "a", *argv, 0.1) != outcome(tmp_path / "b", *argv, 0.2)


def test_without_noise_pixels_that_never_change_break_recurrent_batch_norm(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first row of every digit is black: no variance, and 1/√eps at every step of backward."""
    argv = ["--data", folder, *SMALL, "--model", "lstm_rbn", *SIZES["lstm_rbn"], "--max_steps", 1]
    argv += ["--out", tmp_path]
    assert main([str(x) for x in (*argv, "--initial_noise", 0)]) == 1
    assert "the first array that is not finite is the gradient" in capsys.readouterr().err


def test_no_option_was_forgotten() -> None:
    own = {field.name for field in dataclasses.fields(SPACE["PixelOptions"])}
    shared = {field.name for field in dataclasses.fields(ClassificationOptions)}
    flags = {str(change[0]).removeprefix("--").removeprefix("no_") for _, change in CHANGES}
    flags.add("initial_noise")  # which has a test of its own
    assert own - shared - {field.name for field in dataclasses.fields(Options)} <= flags


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--zoneout_h", "0.1"], 2, "--zoneout_h came with --model indrnn_plain"),
        (["--model", "lstm", "--initial_noise", "0.1"], 2, "choose another model: lstm_rbn"),
        (["--preset", "lstm", "--p_drop", "0.1"], 2, "--preset lstm came with --model lstm"),
        (["--seq_len", "100"], 2, "--seq_len"),
        (["--eval"], 2, "--eval came without --load_weight"),
        ([], 2, "`python -m nnseq.data fetch mnist`"),
        (["--data", "{tmp}/nowhere"], 1, "python -m nnseq.data fetch mnist"),
        (["--data", "{few}"], 2, "--batch_size or --valid_share: 12 examples, of which 1 are held"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    folder: Path,
    argv: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = [x.replace("{tmp}", str(tmp_path)).replace("{few}", str(folder)) for x in argv]
    try:
        left = main([*argv, "--out", str(tmp_path / "out")])
    except SystemExit as error:
        left = error.code
    error = capsys.readouterr().err
    assert left == code, error
    assert error.startswith("pixel_mnist: ")
    assert error.count("\n") == 1
    assert said in error


def test_on_the_real_digits(data_folder: Callable[[str], Path], tmp_path: Path) -> None:
    options = SPACE["PixelOptions"](data=str(data_folder("mnist")), device="cpu", batch_size=32)
    task = SPACE["PixelTask"](options)
    assert task.steps_per_epoch == 57_000 // 32
    assert len(task.examples.test.batches.examples.labels) == 10_000
    batch = task.examples.train.draw()
    assert batch.x.shape == (784, 32, 1)
    assert (batch.x.min(), batch.x.max()) == (-1, 255 / 128 - 1)
    task.close()
