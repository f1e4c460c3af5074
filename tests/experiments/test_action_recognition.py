"""experiments/action_recognition.py: presets, whole runs, options, and runs that continue."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.data.made_up import write_made_up
from nnseq.data.shuffled import Shuffled
from nnseq.indrnn_networks import DENSE, PLAIN, RESIDUAL
from nnseq.options import Options
from tests import experiment_checks as checks
from tests.language_runs import run_main, script

SPACE = script("action_recognition")
PRESETS: dict[str, dict[str, Any]] = SPACE["PRESETS"]
main = SPACE["main"]

EVAL: list[object] = ["--kernels", "reference", "--threads", 1, "--seq_len", 6, "--test_crops", 2]
SMALL: list[object] = [*EVAL, "--batch_size", 4, "--valid_share", 0.3, "--valid_crops", 2]
SIZES: dict[str, list[object]] = {
    PLAIN: ["--hidden_size", 6, "--num_layers", 2],
    RESIDUAL: ["--hidden_size", 6, "--num_blocks", 1],
    DENSE: ["--growth_rate", 2, "--num_first", 2, "--block_config", "2,1"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    write_made_up("ntu", path, np.random.default_rng(3))
    return path


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    checks.without_pictures(monkeypatch)


# ---- presets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "params"),
    [
        (["--preset", "indrnn_plain6"], 1_430_588),
        (["--preset", "indrnn_residual"], 2_751_548),
        (["--preset", "indrnn_dense"], 2_314_428),
        (["--preset", "indrnn_dense", "--geometric", "--time_diff"], 5_640_108),
        (["--preset", "indrnn_plain6", "--geometric"], 1_430_588 + 1794 * 512),
    ],
)
def test_a_preset_has_its_number_of_parameters_without_data(
    tmp_path: Path, argv: list[str], params: int
) -> None:
    """The first four are those of the authors' logs."""
    summary = run_main(main, tmp_path, *argv, "--max_steps", 0)
    assert (summary["params"], summary["steps"], summary["metrics"]) == (params, 0, {})
    assert "data" not in summary


def test_the_presets_have_the_recipe_of_the_authors_logs(tmp_path: Path) -> None:
    recipe = {"batch_size": 128, "seq_len": 20, "lr": 2e-4, "weight_decay": 1e-4, "MAG": 5.0}
    recipe |= {"bn": "after", "bn_decay": False, "clip_value": 10.0, "optimizer": "adam"}
    recipe |= {"init_last_u": True, "constrain_u": True, "valid_share": 0.05, "valid_crops": 5}
    recipe |= {"test_crops": 20, "lr_factor": 0.1, "min_lr": 1e-6, "anneal": 0}
    own = {
        "indrnn_plain6": {"hidden_size": 512, "num_layers": 6, "p_drop": 0.4, "patience": 100},
        "indrnn_residual": {"hidden_size": 512, "num_blocks": 5, "p_drop": 0.5, "patience": 150},
        "indrnn_dense": {
            "growth_rate": 48, "num_first": 6, "block_config": "8,6,4", "p_drop": 0.5,
            "p_drop_first": 0.5, "p_drop_inner": 0.1, "p_drop_transition": 0.3, "p_drop_last": 0.3,
            "patience": 100,
        },
    }  # fmt: skip
    assert list(PRESETS) == list(own)
    for name, expected in own.items():
        checks.recipe(SPACE["ActionOptions"](**PRESETS[name]), recipe | expected)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_steps_of_every_preset(folder: Path, tmp_path: Path, preset: str) -> None:
    def build(**options: Any) -> Any:
        return SPACE["ActionTask"](SPACE["ActionOptions"](**options))

    sizes = SIZES[PRESETS[preset]["model"]]
    argv = ["--preset", preset, *SMALL, *sizes, "--data", str(folder)]
    summary = checks.first_steps(main, tmp_path, PRESETS[preset], argv, build)
    assert set(summary["metrics"]) == {"test_acc", "test_error", "test_loss", "test_acc_single"}
    assert summary["data"].startswith("train_ntus.npy, train_ntus_label.npy, train_ntus_len.npy, ")


def test_data_wait_is_the_time_that_steps_wait_for_batches(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["--data", folder, *SMALL, *SIZES[PLAIN]]
    checks.data_wait(main, tmp_path, argv, Shuffled, monkeypatch)


@pytest.mark.parametrize("preset", PRESETS)
def test_smoke_is_a_whole_run_on_files_that_say_that_they_are_made_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    preset: str,
) -> None:
    argv = ["--preset", preset]
    said, _, summary = checks.smoke(main, tmp_path, argv, {"accuracy.png"}, monkeypatch, capsys)
    assert said[0].startswith("made-up files in the format of ntu: train_ntus.npy, ")
    assert "steps an epoch" in said[1]
    assert summary["data"].startswith("made-up files in the format of ntu: ")
    assert {"valid_acc", "test_acc"} <= set(summary["metrics"])


def test_help_lists_every_preset_with_what_is_published_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "\n".join(checks.help_lines(main, capsys))
    for words in (
        "indrnn_plain6    accuracy 0.8180 / 0.8797 (0.8316 / 0.8813); Li et al. 2018, table 4",
        "indrnn_residual  (0.8418 / 0.9023); the authors' log",
        "indrnn_dense     0.8488 / 0.9043 (0.8485 / 0.9016)",
        "0.8670 / 0.9397 (0.8655 / 0.9405); Li et al. 2019, table 5",
    ):
        assert words in text


# ---- learning, evaluating, continuing ----------------------------------------------------------

LEARNS: list[object] = ["--threads", 1, "--seq_len", 10, "--batch_size", 10, "--lr", 0.01]
LEARNS += ["--hidden_size", 24, "--num_layers", 2, "--p_drop", 0.1, "--valid_share", 0.2]
LEARNS += ["--max_steps", 60, "--log_every", 20]


def test_a_network_learns_the_made_up_actions_of_persons_that_it_has_not_seen(
    folder: Path, tmp_path: Path
) -> None:
    summary = run_main(main, tmp_path, "--data", folder, *LEARNS)
    assert summary["metrics"]["test_acc"] > 0.6, "five actions, as often as each other"


def test_evaluation_of_the_best_weights_gives_the_same_test_set(
    folder: Path, tmp_path: Path
) -> None:
    argv = ["--data", folder, *SIZES[PLAIN], "--random_len", *EVAL]
    trained = run_main(main, tmp_path / "run", *argv, *SMALL, "--max_steps", 7, "--lr", 0.01)
    file = tmp_path / "run" / "best.h5"
    assert checkpoint.read(file)[1]["step"] < 7
    checks.evaluation(main, tmp_path / "run", argv, trained["metrics"])
    of_batch = ["--eval", "--load_weight", file, "--bn_eval", "batch"]
    metrics = run_main(main, tmp_path / "batch", *argv, *of_batch)["metrics"]
    assert metrics["test_loss"] != trained["metrics"]["test_loss"]


RESUMED: dict[str, list[object]] = {
    "everything random": [
        "--random_len", "--rotate", "--geometric", "--time_diff", "--model", DENSE, *SIZES[DENSE],
        "--eval_every", 2,
    ],
    "a cut of lr": [
        *SIZES[PLAIN], "--lr", 1.0, "--patience", 1, "--eval_every", 1, "--bn", "before",
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_that_was_stopped_within_an_epoch_ends_with_the_same_bits(
    folder: Path, tmp_path: Path, case: str
) -> None:
    argv = ["--data", folder, *SMALL, *RESUMED[case], "--log_every", 2]
    checks.resumed(main, tmp_path, argv, 3, 7)


# ---- every option ------------------------------------------------------------------------------

BASE: list[object] = [*SMALL, "--max_steps", 3, "--eval_every", 2]
CHANGES: dict[str, list[list[object]]] = {
    PLAIN: [
        ["--benchmark", "cross_view"], ["--seq_len", 7], ["--random_len"], ["--rotate"],
        ["--geometric"], ["--test_crops", 3], ["--batch_size", 5], ["--hidden_size", 7],
        ["--num_layers", 1], ["--p_drop", 0.1], ["--bn", "before"], ["--act", "tanh"],
        ["--bn_eval", "batch"],
        ["--MAG", 2], ["--U_bound", 1.2], ["--no_init_last_u"], ["--small_norm_init"],
        ["--lr", 0.01], ["--u_lr", 0.1], ["--optimizer", "rmsprop"], ["--weight_decay", 0.5],
        ["--clip_norm", 1e-9], ["--clip_value", 1e-9], ["--anneal", 4], ["--valid_share", 0.5],
        ["--seed", 1], ["--eval_batch_size", 7], ["--dtype", "float64"],
    ],
    RESIDUAL: [["--num_blocks", 2], ["--p_drop", 0.1]],
    DENSE: [
        ["--time_diff"], ["--growth_rate", 3], ["--num_first", 1], ["--block_config", "1,1"],
        ["--p_drop", 0.1], ["--p_drop_first", 0.1], ["--p_drop_inner", 0.4],
        ["--p_drop_transition", 0.1], ["--p_drop_last", 0.1],
    ],
}  # fmt: skip
# On top of options beside which they matter: γ that decays fast, u at its bound, lr that is cut.
BESIDE: list[tuple[list[object], list[object]]] = [
    (["--weight_decay", 0.5, "--small_norm_init"], ["--bn_decay"]),
    (["--lr", 0.5], ["--no_constrain_u"]),
    (["--valid_crops", 2], ["--valid_crops", 3]),
    (["--geometric"], ["--lines", "authors"]),
    (["--eval_every", 1], ["--eval_every", 3]),
    (["--max_steps", 12], ["--epochs", 1]),
    *(
        (["--lr", 1.0, "--max_steps", 12, "--eval_every", 1, "--patience", 1], change)
        for change in (["--patience", 3], ["--lr_factor", 0.5], ["--min_lr", 0.5])
    ),
]


@pytest.fixture(scope="module")
def unchanged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What a model computes without a change."""
    place, base = tmp_path_factory.mktemp("unchanged"), ["--data", folder, *BASE]
    return cache(
        lambda model: checks.outcome(main, place / model, *base, "--model", model, *SIZES[model])
    )


@pytest.mark.parametrize(
    ("model", "change"),
    [(model, change) for model, changes in CHANGES.items() for change in changes],
    ids=lambda x: x if isinstance(x, str) else " ".join(map(str, x)),
)
def test_an_option_changes_the_result(
    folder: Path,
    tmp_path: Path,
    unchanged: Callable[[str], Any],
    model: str,
    change: list[object],
) -> None:
    argv = ["--data", folder, *BASE, "--model", model, *SIZES[model]]
    assert checks.outcome(main, tmp_path, *argv, *change) != unchanged(model)


@pytest.mark.parametrize(("beside", "change"), BESIDE, ids=lambda x: " ".join(map(str, x)))
def test_an_option_changes_the_result_beside_others(
    folder: Path, tmp_path: Path, beside: list[object], change: list[object]
) -> None:
    argv = ["--data", folder, *BASE, *SIZES[PLAIN], *beside]
    plain = checks.outcome(main, tmp_path / "a", *argv)
    assert checks.outcome(main, tmp_path / "b", *argv, *change) != plain


def test_no_option_was_forgotten() -> None:
    tried = [change for changes in CHANGES.values() for change in changes]
    tried += [change for _, change in BESIDE]
    tried += [["--model"], ["--data"]]
    assert not checks.untried(SPACE["ActionOptions"], Options, tried)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--time_diff"], 2, "--time_diff came with --model indrnn_plain, which has no time_diff"),
        (["--num_blocks", "3"], 2, "--num_blocks came with --model indrnn_plain"),
        (["--permute"], 2, "--permute: no such flag"),
        (["--lines", "authors"], 2, "--lines is authors, but changes nothing without --geometric"),
        (["--geometric", "--lines", "own"], 2, "--lines: invalid choice: 'own'"),
        (["--benchmark", "cross_setup"], 2, "invalid choice: 'cross_setup'"),
        (["--U_bound", "0.5"], 2, "--MAG or --U_bound: "),
        ([], 2, "`python -m nnseq.data fetch ntu`"),
        (["--data", "{tmp}/nowhere"], 1, "python -m nnseq.data convert_ntu"),
        (
            ["--data", "{clips}", "--batch_size", "29"],
            2,
            "--batch_size or --valid_share: 30 exampl",
        ),
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
    argv = [x.replace("{tmp}", str(tmp_path)).replace("{clips}", str(folder)) for x in argv]
    checks.refusal(main, [*argv, "--out", tmp_path / "out"], code, said, capsys)
