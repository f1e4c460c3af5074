"""experiments/word_ptb.py: presets, their exact sizes, and dynamic evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nnseq.language.dynamic_evaluation import grid
from nnseq.language.options import LanguageOptions
from nnseq.language.task import LanguageTask
from tests import experiment_checks as checks
from tests.language_runs import SIZES, SMALL, run_main, script, write_texts

SPACE = script("word_ptb")
PRESETS: dict[str, dict[str, Any]] = SPACE["PRESETS"]
main = SPACE["main"]
OF_LSTM: list[object] = [*SIZES["lstm"], "--embed_size", 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


def sizes(preset: str) -> list[object]:
    model = PRESETS[preset]["model"]
    return OF_LSTM if model == "lstm" else SIZES[model]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_steps_of_every_preset(folder: Path, tmp_path: Path, preset: str) -> None:
    def build(**options: Any) -> LanguageTask:
        return LanguageTask(LanguageOptions(**options), SPACE["WORDS"])

    argv = ["--preset", preset, *SMALL, *sizes(preset), "--data", str(folder)]
    summary = checks.first_steps(main, tmp_path, PRESETS[preset], argv, build)
    assert set(summary["metrics"]) == {"valid_ppl", "test_ppl", "test_loss"}
    assert summary["data"] == "ptb.train.txt, ptb.valid.txt, ptb.test.txt"
    assert summary["options"]["batching"] == "streams"


@pytest.mark.parametrize(
    ("preset", "params"), [("indrnn_dense", 51_655_712), ("indrnn_residual", 48_501_600)]
)
def test_the_presets_have_exactly_the_published_number_of_parameters(
    tmp_path: Path, preset: str, params: int
) -> None:
    assert run_main(main, tmp_path, "--preset", preset, "--max_steps", 0)["params"] == params


def test_the_lstm_of_the_preset_has_an_embedding_and_10000_words(tmp_path: Path) -> None:
    summary = run_main(main, tmp_path, "--preset", "lstm", "--max_steps", 0)
    V, H = 10_000, 256
    assert summary["params"] == V * H + 4 * H * (2 * H + 1) + V * (H + 1)
    options = LanguageOptions(**PRESETS["zoneout_lstm"])
    recipe = {"seq_len": 35, "batch_size": 20, "clip_norm": 10.0, "lr": 2e-3, "zoneout_c": 0.5}
    checks.recipe(options, recipe)


def test_dynamic_evaluation_lowers_the_perplexity_of_a_trained_model(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = partial(grid, lrs=(2.5e-4, 1.25e-3), decays=(0.004,))  # for 5 steps; 20 here
    monkeypatch.setattr("nnseq.language.evaluation.grid", few)
    argv = ["--preset", "lstm", "--data", folder, *SMALL, *OF_LSTM]
    run_main(main, tmp_path / "run", *argv, "--max_steps", 25, "--lr", 0.01)
    file = tmp_path / "run" / "checkpoint.h5"
    argv += ["--eval", "--load_weight", file, "--dynamic_eval"]
    found = run_main(main, tmp_path / "grid", *argv, "--dynamic_grid")["metrics"]
    assert found["test_ppl_dynamic"] < found["test_ppl"] - 0.2
    assert found["valid_ppl_dynamic"] < found["valid_ppl"]
    (best,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("dynamic eval"))
    assert best == "dynamic evaluation: --dynamic_lr 0.005 --dynamic_decay 0.016 are best"
    again = run_main(main, tmp_path / "again", *argv, *best.split()[2:6])["metrics"]
    assert again == found


def test_smoke_reads_made_up_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--smoke", "--preset", "indrnn_residual", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("made-up files in the format of the Penn Treebank's words  |  kernels: ")
    words = (tmp_path / "runs" / "word_ptb" / "smoke" / "sample.txt").read_text()
    assert len(words.split()) > 40
    assert "the state is carried through every stream, in evaluation too" in said


def test_a_folder_without_the_files_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", tmp_path, "--out", tmp_path / "out"]
    error = checks.refusal(main, argv, 1, "ptb.train.txt", capsys)
    assert "python -m nnseq.data fetch ptb" in error


def test_the_real_text_is_trained_on_and_evaluated(
    data_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Its valid and test cut to 400 lines, which do not take long."""
    short = tmp_path / "short"
    short.mkdir()
    (short / "ptb.train.txt").symlink_to(data_folder("ptb") / "ptb.train.txt")
    for name in ("ptb.valid.txt", "ptb.test.txt"):
        lines = (data_folder("ptb") / name).read_text().splitlines(keepends=True)
        (short / name).write_text("".join(lines[:400]))
    argv = ["--data", short, *SMALL, *OF_LSTM, "--seq_len", 35, "--max_steps", 2]
    summary = run_main(main, tmp_path / "out", *argv)
    assert summary["params"] == 10_000 * (8 + 8 + 1) + 4 * 8 * (8 + 8 + 1) + 2 * 8
    assert summary["metrics"]["test_ppl"] == pytest.approx(10_000, rel=0.05)
