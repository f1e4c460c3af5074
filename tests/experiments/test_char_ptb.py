"""experiments/char_ptb.py: every preset's first steps, whole runs, and runs that continue."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from nnseq import checkpoint
from nnseq.data.penn_treebank import ptb_chars
from nnseq.data.streams import Streams
from nnseq.language.options import LanguageOptions
from nnseq.language.task import LanguageTask
from tests import experiment_checks as checks
from tests.language_runs import SIZES, SMALL, run_main, script, write_texts

SPACE = script("char_ptb")
PRESETS: dict[str, dict[str, Any]] = SPACE["PRESETS"]
main = SPACE["main"]
OF_EVAL = [x for x in SMALL if x not in ("--batch_size", 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


def test_help_lists_every_preset_with_what_is_published_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = checks.help_lines(main, capsys)
    listed = {line.split()[0]: line for line in lines[lines.index("presets, and what is "
              "published of them:") + 1 :]}  # fmt: skip
    assert list(listed) == [
        "indrnn_plain6", "indrnn_residual", "indrnn_dense", "lstm", "zoneout_lstm", "zoneout_gru",
        "zoneout_srnn", "weight_noise", "norm_stabilizer", "igate_dropout",
    ]  # fmt: skip
    assert "test bpc 1.27" in listed["zoneout_lstm"]
    for name, what in (("plain6", "6 layers, T = 50"), ("residual", "11 layers, T = 150")):
        assert f"{what}; of a network without tying and head)" in listed[f"indrnn_{name}"]
    assert listed["lstm"].strip() == "lstm"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_steps_of_every_preset(folder: Path, tmp_path: Path, preset: str) -> None:
    def build(**options: Any) -> LanguageTask:
        return LanguageTask(LanguageOptions(**options), SPACE["CHARACTERS"])

    sizes = SIZES[PRESETS[preset]["model"]]
    argv = ["--preset", preset, *SMALL, *sizes, "--data", str(folder)]
    summary = checks.first_steps(main, tmp_path, PRESETS[preset], argv, build)
    assert set(summary["metrics"]) == {"valid_bpc", "test_bpc", "test_loss"}
    assert summary["data"] == "ptb.char.train.txt, ptb.char.valid.txt, ptb.char.test.txt"


def test_data_wait_is_the_time_that_steps_wait_for_batches(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["--data", folder, *SMALL, *SIZES["lstm"], "--batching", "streams"]
    checks.data_wait(main, tmp_path, argv, Streams, monkeypatch)


def test_the_zoneout_family_has_the_recipe_of_its_script() -> None:
    options = LanguageOptions(**PRESETS["zoneout_lstm"])
    recipe = {"hidden_size": 1000, "seq_len": 100, "batch_size": 32, "optimizer": "adam"}
    recipe |= {"lr": 2e-3, "clip_norm": 1.0, "batching": "chunks", "augment": True}
    recipe |= {"embed_size": 0, "forget_bias": 1.0, "zoneout_masks": "fresh"}
    checks.recipe(options, recipe)
    options = LanguageOptions(**PRESETS["indrnn_plain6"])
    recipe = {"hidden_size": 2000, "num_layers": 6, "seq_len": 50, "batch_size": 128, "lr": 2e-4}
    recipe |= {"bn": "before", "batching": "streams", "reset_every": 10, "clip_value": 10.0}
    recipe |= {"weight_decay": 1e-4, "bn_decay": False, "lr_factor": 0.2, "min_lr": 1e-6}
    checks.recipe(options, recipe)
    options = LanguageOptions(**PRESETS["indrnn_residual"])
    checks.recipe(options, {"hidden_size": 2000, "num_blocks": 5, "seq_len": 150})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_built_without_data_and_has_its_number_of_parameters(
    tmp_path: Path, preset: str
) -> None:
    """Of the sizes that matter: one-hot characters, one layer, a decoder; 50 characters."""
    model = PRESETS[preset]["model"]
    summary = run_main(main, tmp_path, "--preset", preset, "--max_steps", 0, *SIZES[model])
    H, e, V = 8, 6, 50
    indrnn = H + 2 * H  # u, γ and β
    head = (H + 1) * e + (e + 2 * e) + 2 * e + V
    g, C = 3, 6 + 3 * 3  # growth; a dense block of two layers from e, halved, and of one
    dense = sum(D * 4 * g + 4 * g + 12 * g + 4 * g * g + g + 3 * g for D in (6, 9, 6))
    dense += (12 + 1) * 6 + 3 * 6 + (9 + 1) * e + 3 * e + 2 * e + V
    assert C == 15
    expected = {
        "lstm": 4 * H * (V + H + 1) + 2 * H + V * (H + 1),  # h_0 and c_0 are learned
        "gru": 3 * H * (V + H + 1) + H + V * (H + 1),
        "srnn": H * (V + H + 1) + H + V * (H + 1),
        "indrnn_plain": V * e + (e + 1) * H + indrnn + (H + 1) * H + indrnn + head,
        "indrnn_residual": V * e + (e + 1) * H + 3 * indrnn + 2 * (H + 1) * H + head,
        "indrnn_dense": V * e + dense,
    }
    assert summary["params"] == expected[model]
    assert (summary["steps"], summary["metrics"]) == (0, {})


def test_smoke_is_a_whole_run_on_files_that_say_that_they_are_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--preset", "zoneout_lstm"]
    said, out, summary = checks.smoke(main, tmp_path, argv, {"sample.txt"}, monkeypatch, capsys)
    note = "made-up files in the format of the Penn Treebank's characters"
    assert said[0].startswith(f"{note}  |  kernels: lstm: ")
    assert any("the state is begun anew in every chunk" in line for line in said[:2])
    assert summary["data"] == note
    assert summary["metrics"]["test_bpc"] < math.log2(27) - 0.5, "it has learned something"
    assert len((out / "sample.txt").read_text()) == 80 + 1


def test_evaluation_of_the_best_weights_gives_the_same_test_set(
    folder: Path, tmp_path: Path
) -> None:
    argv = ["--data", folder, "--preset", "indrnn_plain6", *OF_EVAL, *SIZES["indrnn_plain"]]
    more = ["--batch_size", 3, "--max_steps", 7, "--eval_every", 3, "--lr", 0.01]
    trained = run_main(main, tmp_path / "run", *argv, *more)
    assert checkpoint.read(tmp_path / "run" / "best.h5")[1]["step"] == 6
    checks.evaluation(main, tmp_path / "run", argv, trained["metrics"])


def test_dynamic_evaluation_needs_what_it_reads_of_training(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", folder, "--preset", "indrnn_plain6", *OF_EVAL, *SIZES["indrnn_plain"]]
    argv += ["--dynamic_eval", "--dynamic_lr", 1e-3]
    steps = ["--batch_size", 4, "--clip_value", 1e-4, "--U_bound", 0.5]
    trained = run_main(main, tmp_path / "run", *argv, *steps, "--max_steps", 3)["metrics"]
    file = ["--eval", "--load_weight", tmp_path / "run" / "checkpoint.h5"]
    again = run_main(main, tmp_path / "again", *argv, *steps, *file)["metrics"]
    assert again == trained
    said = "--U_bound is 0.99, it was trained with 0.5; give the values of its training"
    checks.refusal(main, [*argv, *file, "--out", tmp_path / "eval"], 2, said, capsys)
    run_main(main, tmp_path / "eval", *argv, "--U_bound", 0.5, "--batch_size", 5, *file)
    said = "--batch_size is 5, it was trained with 4; --clip_value is 10.0, it was trained with "
    assert f"not as in training: {said}0.0001\n" in capsys.readouterr().out


RESUMED: dict[str, list[object]] = {
    "chunks, every mask": [
        "--model", "lstm", *SIZES["lstm"], "--zoneout_h", 0.2, "--zoneout_c", 0.4,
        "--p_drop_igate", 0.3, "--weight_noise", 0.05, "--norm_coef", 5, "--num_layers", 2,
        "--p_drop", 0.2, "--eval_every", 3,
    ],
    "streams, every mask": [
        "--preset", "indrnn_dense", *SIZES["indrnn_dense"], "--p_words", 0.3, "--random_start", 2,
        "--eval_every", 4,
    ],
    "streams, a cut of lr": [
        "--batching", "streams", *SIZES["lstm"], "--lr", 2.0, "--clip_norm", 0, "--patience", 1,
        "--eval_every", 1,
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_that_was_stopped_within_an_epoch_ends_with_the_same_bits(
    folder: Path, tmp_path: Path, case: str
) -> None:
    argv = ["--data", folder, *SMALL, *RESUMED[case], "--log_every", 3]
    _, _, lines, _ = checks.resumed(main, tmp_path, argv, 5, 10)
    assert len({line["lr"] for line in lines}) == (2 if "cut" in case else 1)


def test_epochs_end_a_run(folder: Path, tmp_path: Path) -> None:
    argv = ["--data", folder, *SMALL, *SIZES["lstm"], "--seq_len", 60, "--eval_batch_size", 4]
    summary = run_main(main, tmp_path, *argv, "--epochs", 2)
    chunks = (len(ptb_chars(folder).train) - 59) // 60
    assert summary["steps"] == 2 * (chunks // 3)
    assert checkpoint.read(tmp_path / "checkpoint.h5")[1]["epoch"] == 2


def test_a_sample_depends_on_the_seed_and_the_temperature(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", folder, *SMALL, *SIZES["lstm"], "--max_steps", 1, "--sample", 40]
    texts = []
    for k, more in enumerate(([], [], ["--temperature", 3], ["--temperature", 0])):
        run_main(main, tmp_path / str(k), *argv, *more)
        texts.append((tmp_path / str(k) / "sample.txt").read_text())
        assert len(texts[-1]) == 41
        assert texts[-1] in capsys.readouterr().out
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("flag", ["--clip_norm", "--clip_value"])
def test_clipping_changes_the_result(folder: Path, tmp_path: Path, flag: str) -> None:
    argv = ["--data", folder, *SMALL, *SIZES["lstm"], "--max_steps", 2, "--optimizer", "sgd"]
    free = run_main(main, tmp_path / "free", *argv, "--clip_norm", 0)
    bound = run_main(main, tmp_path / "bound", *argv, "--clip_norm", 0, flag, 1e-4)
    assert free["metrics"] != bound["metrics"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--data", "{tmp}/nowhere"], 1, "ptb.char.train.txt"),
        (["--data", "{tmp}/nowhere"], 1, "python -m nnseq.data fetch ptb"),
        (["--data", "{tmp}"], 1, "ptb.char.train.txt"),
        ([], 2, "`python -m nnseq.data fetch ptb`"),
        (["--preset", "zoneout_gru", "--zoneout_c", "0.5"], 2, "which has no zoneout_c"),
        (["--temperature", "0.8"], 2, "changes nothing without --sample"),
        (["--preset", "gru"], 2, "invalid choice: 'gru'"),
        (["--eval"], 2, "--eval came without --load_weight"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    argv: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [x.replace("{tmp}", str(tmp_path)) for x in argv]
    checks.refusal(main, [*argv, "--out", tmp_path / "out"], code, said, capsys)
