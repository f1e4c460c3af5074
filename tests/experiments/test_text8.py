"""experiments/text8.py: presets, and files of text8's form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnseq.language.options import LanguageOptions
from nnseq.language.task import LanguageTask
from tests import experiment_checks as checks
from tests.language_runs import SIZES, SMALL, run_main, script, write_texts

SPACE = script("text8")
PRESETS: dict[str, dict[str, Any]] = SPACE["PRESETS"]
main = SPACE["main"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_steps_of_every_preset(folder: Path, tmp_path: Path, preset: str) -> None:
    def build(**options: Any) -> LanguageTask:
        return LanguageTask(LanguageOptions(**options), SPACE["TEXT8"])

    model = PRESETS[preset]["model"]
    argv = ["--preset", preset, *SMALL, *SIZES[model], "--data", str(folder)]
    summary = checks.first_steps(main, tmp_path, PRESETS[preset], argv, build)
    V, H = 27, 8
    gates, learned = {"lstm": (4, 2), "gru": (3, 1), "srnn": (1, 1)}[model]
    assert summary["params"] == gates * H * (V + H + 1) + learned * H + V * (H + 1)
    assert summary["data"] == "text8"


def test_the_presets_have_chunks_of_180() -> None:
    for values in PRESETS.values():
        options = LanguageOptions(**values)
        recipe = {"seq_len": 180, "hidden_size": 1000, "batching": "chunks", "batch_size": 32}
        checks.recipe(options, recipe)


def test_the_file_itself_may_be_named(folder: Path, tmp_path: Path) -> None:
    argv = [*SMALL, *SIZES["lstm"], "--max_steps", 1]
    of_folder = run_main(main, tmp_path / "folder", *argv, "--data", folder)
    of_file = run_main(main, tmp_path / "file", *argv, "--data", folder / "text8")
    assert of_folder["metrics"] == of_file["metrics"]


def test_smoke_samples_letters_and_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--smoke", "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("made-up files in the format of text8  |  kernels: ")
    text = (tmp_path / "runs" / "text8" / "smoke" / "sample.txt").read_text().rstrip("\n")
    assert len(text) == 80
    assert set(text) <= set(" abcdefghijklmnopqrstuvwxyz")


def test_text_of_another_alphabet_is_refused_at_its_place(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text8"
    path.write_text((folder / "text8").read_text()[:100] + "A")
    out = ["--out", tmp_path / "out"]
    checks.refusal(main, ["--data", tmp_path, *out], 1, "byte 100", capsys)
    cure = "python -m nnseq.data fetch text8"
    checks.refusal(main, ["--data", tmp_path / "no", *out], 1, cure, capsys)


def test_a_real_file_of_that_form_is_read_trained_on_and_evaluated(
    data_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    argv = ["--data", data_folder("text") / "wikitext2-as-text8", *SMALL, *SIZES["lstm"]]
    summary = run_main(main, tmp_path, *argv, "--eval_batch_size", 1000, "--max_steps", 2)
    assert summary["data"] == "wikitext2-as-text8"
    assert summary["metrics"]["test_bpc"] == pytest.approx(4.75, rel=0.05)
