"""experiments/adding_models.py: which runs it makes, what it draws of them, and that it resumes."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnseq import plots, sweep
from nnseq.sweep import Result
from tests.child import ENVIRONMENT, ROOT

SCRIPT = ROOT / "experiments" / "adding_models.py"
SPACE = runpy.run_path(str(SCRIPT))
TINY = ["--models", "irnn,indrnn", "--lengths", "9,5", "--hidden_size", "3", "--batch_size", "4"]
TINY += ["--log_every", "2", "--threads", "1"]


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a tiny run, and is tested elsewhere."""
    for module in (plots, sweep):
        monkeypatch.setattr(module, "draw", lambda *_: None)


def run(out: Path, steps: int, *more: str, code: int = 0) -> dict[str, Any]:
    assert SPACE["main"]([*TINY, "--out", str(out), "--max_steps", str(steps), *more]) == code
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds")
    summary = json.loads((out / "summary.json").read_text())
    return {"rows": rows, "metrics": summary["metrics"], "runs": list(summary["runs"])}


def test_by_default_eight_models_run_at_three_lengths_for_1500_steps_each() -> None:
    parts = SPACE["parts"](SPACE["AddingModelsOptions"]())
    assert len({p.name for p in parts}) == 24
    models = "indrnn", "irnn", "rnn", "lstm", "gru", "mut1", "mut2", "mut3"
    expected = [(T, model) for T in (100, 500, 1000) for model in models]
    assert [(p.options.seq_len, p.options.model) for p in parts] == expected
    sizes = {(p.options.max_steps, p.options.batch_size, p.options.hidden_size) for p in parts}
    assert sizes == {(1500, 32, 64)}
    assert len({p.options.clip_norm for p in parts}) == 1
    own = {"indrnn": 4e-4, "irnn": 1e-4}
    assert all(p.options.lr == own.get(p.options.model, 4e-3) for p in parts)
    given = SPACE["parts"](SPACE["AddingModelsOptions"](lr=0.5))
    assert {p.options.lr for p in given} == {0.5}
    assert not any(p.options.curriculum for p in parts)


@pytest.mark.usefixtures("without_pictures")
def test_a_continued_command_ends_like_an_uninterrupted_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(tmp_path / "whole", 6)
    assert whole["runs"] == ["irnn_T5", "indrnn_T5", "irnn_T9", "indrnn_T9"]
    assert set(whole["metrics"]) == {f"{name}_test_mse" for name in whole["runs"]}
    run(tmp_path / "parts", 3)
    assert run(tmp_path / "parts", 6, "--resume") == whole
    capsys.readouterr()
    assert run(tmp_path / "parts", 6, "--resume") == whole
    assert capsys.readouterr().out.count("is finished") == 4


@pytest.mark.usefixtures("without_pictures")
def test_a_run_of_the_command_is_the_run_of_adding(tmp_path: Path) -> None:
    run(tmp_path / "all", 4)
    own = runpy.run_path(str(ROOT / "experiments" / "adding.py"))["main"]
    argv = ["--model", "irnn", "--seq_len", "9", "--hidden_size", "3", "--batch_size", "4"]
    argv += ["--lr", "0.0001", "--log_every", "2", "--threads", "1", "--max_steps", "4"]
    assert own([*argv, "--out", str(tmp_path / "one")]) == 0
    lines = [
        [json.loads(line) for line in (tmp_path / where / "metrics.jsonl").read_text().splitlines()]
        for where in ("all/irnn_T9", "one")
    ]
    for row in (*lines[0], *lines[1]):
        row.pop("seconds")
    assert lines[0] == lines[1]


def test_a_point_is_the_mean_of_the_lines_of_50_steps() -> None:
    rows = [{"step": s, "loss": float(s), "seconds": s / 10} for s in (1, 30, 50, 51, 100, 101)]
    points = SPACE["smoothed"](rows)
    assert [(p["step"], p["loss"]) for p in points] == [(50, 27.0), (100, 75.5), (101, 101.0)]
    assert points[1]["seconds"] == 10.0


def test_a_panel_stands_for_a_length_and_a_curve_for_a_model() -> None:
    parts = SPACE["parts"](SPACE["AddingModelsOptions"](models="gru,lstm", lengths="7,5"))
    rows = [{"step": 1, "loss": 0.5, "seconds": 0.1}]
    summary = {"metrics": {"test_mse": 0.25}}
    report = SPACE["report"]([Result(part, summary, rows) for part in parts])
    assert [list(panel.curves) for panel in report.panels] == [["gru", "lstm"]] * 2
    assert "T = 5" in report.panels[0].title
    assert report.panels[0].baseline[1] == 1 / 6
    assert report.metrics["lstm_T7_test_mse"] == 0.25
    assert report.rows[0] == {"model": "gru", "T": 5, **rows[0]}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--models", "lstm,foo"], "--models: 'lstm,foo' came, expected some of indrnn,"),
        (["--models", "lstm,lstm"], "none twice"),
        (["--lengths", "100,1"], "--lengths: '100,1' came, expected lengths from 2"),
        (["--lengths", "many"], "--lengths: 'many' came"),
        (["--eval", "--load_weight", "x.h5"], "this command trains several models"),
    ],
)
def test_bad_input_is_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        SPACE["main"](argv)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_it_runs_as_a_command_by_its_path(tmp_path: Path) -> None:
    argv = [*TINY, "--models", "irnn", "--lengths", "5", "--max_steps", "1", "--out", "out"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *argv],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "[1/1] irnn_T5"
    assert "irnn_T5: test_mse" in done.stdout.splitlines()[-1]
