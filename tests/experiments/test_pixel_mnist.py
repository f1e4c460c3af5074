"""experiments/pixel_mnist.py: presets, whole runs, options, runs that continue."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.classification.options import ClassificationOptions
from nnseq.data.shuffled import Shuffled
from nnseq.indrnn_networks import PLAIN
from tests import experiment_checks as checks
from tests.language_runs import run_main, script
from tests.pixel_runs import RUN, SIZES, SMALL, write_few_digits

SPACE = script("pixel_mnist")
PRESETS: dict[str, dict[str, Any]] = SPACE["PRESETS"]
main = SPACE["main"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_few_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    checks.without_pictures(monkeypatch)


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
        checks.recipe(SPACE["PixelOptions"](**PRESETS[name]), recipe | expected)


def test_the_lstm_presets_have_the_recipe_of_the_zoneout_program() -> None:
    recipe = {"hidden_size": 100, "batch_size": 100, "lr": 1e-4, "optimizer": "rmsprop"}
    recipe |= {"clip_norm": 1.0, "clip_value": 0.0, "epochs": 100, "patience": 0, "permute": True}
    for name, model, zoneout in (
        ("lstm", "lstm", 0.0),
        ("zoneout_lstm", "lstm", 0.15),
        ("zoneout_lstm_rbn", "lstm_rbn", 0.15),
    ):
        options = SPACE["PixelOptions"](**PRESETS[name])
        checks.recipe(
            options, recipe | {"model": model, "zoneout_h": zoneout, "zoneout_c": zoneout}
        )
        assert int(60_000 * (1 - options.valid_share) + 1e-9) == 50_000


def test_recurrent_batch_norm_has_the_numbers_of_the_zoneout_program() -> None:
    options = SPACE["PixelOptions"](model="lstm_rbn", hidden_size=3)
    network = SPACE["build_classifier"](options, np.random.default_rng(0))
    (direction,) = (m for _, m in network.named_modules() if hasattr(m, "running_mean"))
    assert (direction.momentum, direction.eps, direction.num_steps) == (0.01, 1e-5, 784)
    assert (direction.gamma_x.data == np.float32(0.1)).all()
    assert direction.b.data.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6


def test_initial_gamma_is_that_of_every_batch_norm() -> None:
    options = SPACE["PixelOptions"](model="lstm_rbn", hidden_size=3, initial_gamma=0.3)
    (layer,) = SPACE["build_classifier"](options, np.random.default_rng(0)).body.rnn.directions
    for gamma in (layer.gamma_x, layer.gamma_h, layer.gamma_c):
        assert (gamma.data == np.float32(0.3)).all()


@pytest.mark.parametrize("model", ["lstm", "lstm_rbn"])
def test_the_identity_is_the_block_of_the_candidate_alone(model: str) -> None:
    found = {}
    for init in ("orthogonal", "identity"):
        options = SPACE["PixelOptions"](model=model, hidden_size=3, init=init, dtype="float64")
        network = SPACE["build_classifier"](options, np.random.default_rng(0))
        found[init] = network.body.rnn.directions[0].W_hh.data
        for gate in np.split(found[init], 4, axis=1):
            np.testing.assert_allclose(gate.T @ gate, np.eye(3), atol=1e-14)
    i, f, g, o = np.split(found["identity"], 4, axis=1)
    assert (g == np.eye(3)).all()
    others = np.split(found["orthogonal"], 4, axis=1)
    assert all((a == b).all() for a, b in zip((i, f, o), (*others[:2], others[3]), strict=True))


def test_summarize_starts_each_digit_at_the_mean_of_its_pixels_beside_the_learned_h_0() -> None:
    options = SPACE["PixelOptions"](model="lstm_rbn", hidden_size=3, summarize=True, zoneout_h=1.0)
    assert options.initial_noise == 0
    body = SPACE["build_classifier"](options, np.random.default_rng(0)).body.eval()
    body.rnn.directions[0].h0.data[...] = [0.5, -1.0, 2.0]
    x = np.random.default_rng(1).random((784, 2, 1)).astype(np.float32)
    h, _ = body(x, only_last=True)  # which is h_0: zoneout keeps it
    expected = x[:, :, 0].mean(axis=0)[:, None] + [0.5, -1.0, 2.0]
    np.testing.assert_allclose(h.data, expected, rtol=1e-5)
    h.sum().backward()
    np.testing.assert_allclose(body.rnn.directions[0].h0.grad, [2.0, 2.0, 2.0])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_steps_of_every_preset(folder: Path, tmp_path: Path, preset: str) -> None:
    def build(**options: Any) -> Any:
        return SPACE["PixelTask"](SPACE["PixelOptions"](**options))

    sizes = SIZES[PRESETS[preset]["model"]]
    argv = ["--preset", preset, *SMALL, *sizes, "--data", str(folder)]
    summary = checks.first_steps(main, tmp_path, PRESETS[preset], argv, build)
    assert set(summary["metrics"]) == {"test_acc", "test_error", "test_loss"}
    assert summary["data"] == (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        "t10k-labels-idx1-ubyte.gz"
    )


def test_data_wait_is_the_time_that_steps_wait_for_batches(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks.data_wait(main, tmp_path, ["--data", folder, *RUN], Shuffled, monkeypatch)


@pytest.mark.parametrize("preset", ["indrnn_dense", "zoneout_lstm_rbn"])
def test_smoke_is_a_whole_run_on_files_that_say_that_they_are_made_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    preset: str,
) -> None:
    argv = ["--preset", preset, "--max_steps", 2]
    said, _, summary = checks.smoke(main, tmp_path, argv, {"accuracy.png"}, monkeypatch, capsys)
    assert said[0].startswith("made-up files in the format of mnist: train-images-idx3-ubyte.gz, ")
    assert "steps an epoch" in said[1]
    assert summary["data"].startswith("made-up files in the format of mnist: ")
    assert {"valid_acc", "test_acc"} <= set(summary["metrics"])


def test_help_lists_every_preset_with_what_is_published_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = [line.split() for line in checks.help_lines(main, capsys)[-7:]]
    assert [words[0] for words in listed] == list(PRESETS)
    assert {words[0]: words[2 if k == 0 else 1] for k, words in enumerate(listed)} == {
        "indrnn_plain6": "0.990", "indrnn_plain12": "0.9937", "indrnn_residual": "0.9939",
        "indrnn_dense": "0.9948", "lstm": "0.902", "zoneout_lstm": "0.931",
        "zoneout_lstm_rbn": "0.959",
    }  # fmt: skip
    text = {words[0]: " ".join(words) for words in listed}
    assert "--permute 0.972 (0.9716, --patience 200)" in text["indrnn_dense"]
    assert len(set(np.random.RandomState(1).randint(0, 784, 784))) == 501  # their order
    for name in ("lstm", "zoneout_lstm", "zoneout_lstm_rbn"):
        assert "of 501 of the 784 pixels" in text[name]


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
    checks.resumed(main, tmp_path, argv, 1, 3)


CHANGES: list[tuple[str, list[object]]] = [
    (PLAIN, ["--permute"]),
    (PLAIN, ["--hidden_size", 4]),
    (PLAIN, ["--p_drop", 0.5]),
    (PLAIN, ["--no_bn_decay"]),
    (PLAIN, ["--pixels", "unit"]),
    (PLAIN, ["--valid_share", 0.5]),
    ("lstm", ["--zoneout_h", 0.3]),
    ("lstm", ["--zoneout_c", 0.3]),
    ("lstm", ["--p_drop_igate", 0.3]),
    ("lstm", ["--init", "identity"]),
    ("lstm_rbn", ["--init", "identity"]),
    ("lstm_rbn", ["--initial_gamma", 0.3]),
    ("lstm", ["--hidden_size", 4]),
]
BASE: list[object] = [*SMALL, "--max_steps", 2, "--weight_decay", 0.5]
# h_0 of recurrent batch norm is forgotten after 784 steps, unless it is kept.
NOISY: list[object] = ["--model", "lstm_rbn", *SIZES["lstm_rbn"], "--zoneout_h", 0.999]


@pytest.fixture(scope="module")
def unchanged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What a model computes without a change."""
    place, base = tmp_path_factory.mktemp("unchanged"), ["--data", folder, *BASE]
    return cache(
        lambda model: checks.outcome(main, place / model, *base, "--model", model, *SIZES[model])
    )


@pytest.mark.parametrize(("model", "change"), CHANGES, ids=lambda x: str(x))
def test_an_option_changes_the_result(
    folder: Path,
    tmp_path: Path,
    unchanged: Callable[[str], Any],
    model: str,
    change: list[object],
) -> None:
    """Those of this script alone; the others are tried in test_action_recognition."""
    argv = ["--data", folder, *BASE, "--model", model, *SIZES[model]]
    assert checks.outcome(main, tmp_path, *argv, *change) != unchanged(model)


AT_H_0: list[list[object]] = [["--initial_noise", 0.2], ["--summarize"]]


@pytest.mark.parametrize("change", AT_H_0, ids=lambda x: str(x[0]))
def test_what_is_added_to_h_0_changes_the_result_where_h_0_is_seen(
    folder: Path, tmp_path: Path, change: list[object]
) -> None:
    argv = ["--data", folder, *BASE, *NOISY]
    found = [
        checks.outcome(main, tmp_path / str(k), *argv, *x)
        for k, x in enumerate((["--initial_noise", 0.1], change))
    ]
    assert found[0] != found[1]


def test_pixels_that_never_change_break_recurrent_batch_norm_without_a_remedy(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first row of every digit is black: no variance, and 1/√eps at every step of backward."""
    argv = ["--data", folder, *SMALL, "--model", "lstm_rbn", *SIZES["lstm_rbn"], "--max_steps", 1]
    said = "the first array that is not finite is the gradient"
    checks.refusal(main, [*argv, "--initial_noise", 0, "--out", tmp_path / "no"], 1, said, capsys)
    assert run_main(main, tmp_path / "yes", *argv, "--summarize")["steps"] == 1


def test_no_option_was_forgotten() -> None:
    tried = [*(change for _, change in CHANGES), *AT_H_0]
    assert not checks.untried(SPACE["PixelOptions"], ClassificationOptions, tried)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--zoneout_h", "0.1"], 2, "--zoneout_h came with --model indrnn_plain"),
        (["--model", "lstm", "--initial_noise", "0.1"], 2, "choose another model: lstm_rbn"),
        (["--preset", "lstm", "--p_drop", "0.1"], 2, "--preset lstm came with --model lstm"),
        (["--p_drop_igate", "0.1", "--model", "lstm_rbn"], 2, "choose another model: lstm\n"),
        (["--init", "identity"], 2, "choose another model: lstm, lstm_rbn"),
        (["--model", "lstm", "--initial_gamma", "0.2"], 2, "choose another model: lstm_rbn"),
        (["--model", "lstm", "--summarize"], 2, "choose another model: lstm_rbn"),
        (
            ["--preset", "zoneout_lstm_rbn", "--summarize", "--initial_noise", "0.1"],
            2,
            "--summarize came with --initial_noise 0.1, another remedy",
        ),
        (["--model", "lstm", "--bn_eval", "batch"], 2, "which has no bn_eval"),
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
    checks.refusal(main, [*argv, "--out", tmp_path / "out"], code, said, capsys)


def test_on_the_real_digits(data_folder: Callable[[str], Path], tmp_path: Path) -> None:
    options = SPACE["PixelOptions"](data=str(data_folder("mnist")), device="cpu", batch_size=32)
    task = SPACE["PixelTask"](options)
    assert task.steps_per_epoch == 57_000 // 32
    assert len(task.examples.test.batches.examples.labels) == 10_000
    batch = task.examples.train.draw()
    assert batch.x.shape == (784, 32, 1)
    assert (batch.x.min(), batch.x.max()) == (-1, 255 / 128 - 1)
    task.close()
