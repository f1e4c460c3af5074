"""experiments/zoneout_char_ptb.py: which runs it makes, its table, and that it resumes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from nnseq import plots, sweep
from tests.child import ROOT
from tests.language_runs import write_texts

SPACE = runpy.run_path(str(ROOT / "experiments" / "zoneout_char_ptb.py"))
TINY = ["--smoke", "--threads", "1", "--methods", "lstm,zoneout_lstm", "--hidden_size", "4"]


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a tiny run, and is tested elsewhere."""
    for module in (plots, sweep):
        monkeypatch.setattr(module, "draw", lambda *_: None)


def run(out: Path, *more: str, code: int = 0) -> dict[str, Any]:
    assert SPACE["main"]([*TINY, "--out", str(out), *more]) == code
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {"rows": rows, "metrics": json.loads((out / "summary.json").read_text())["metrics"]}


def test_by_default_five_methods_have_the_same_budget_with_three_seeds() -> None:
    parts = SPACE["parts"](SPACE["ZoneoutOptions"]())
    assert len({p.name for p in parts}) == 15
    budgets = {
        (p.options.max_steps, p.options.batch_size, p.options.hidden_size, p.options.seq_len)
        for p in parts
    }
    assert budgets == {(1000, 32, 256, 100)}
    assert {p.options.seed for p in parts} == {0, 1, 2}
    first = {p.name: p.options for p in parts if p.options.seed == 0}
    assert first["norm_stabilizer_seed0"].norm_coef == 50
    assert first["weight_noise_seed0"].weight_noise == 0.075
    assert first["igate_dropout_seed0"].p_drop_igate == 0.3
    assert first["zoneout_lstm_seed0"].zoneout_c == 0.5
    assert not first["lstm_seed0"].zoneout_c


def test_the_table_has_the_mean_and_the_spread_of_the_seeds_last_validations(
    tmp_path: Path,
) -> None:
    found = run(tmp_path)
    for method in ("lstm", "zoneout_lstm"):
        ends = []
        for seed in (0, 1):
            lines = (tmp_path / f"{method}_seed{seed}" / "metrics.jsonl").read_text().splitlines()
            ends.append(json.loads(lines[-1])["valid_bpc"])
        assert found["metrics"][f"{method}_valid_bpc"] == pytest.approx(mean(ends), rel=1e-12)
        assert found["metrics"][f"{method}_spread"] == pytest.approx(stdev(ends), rel=1e-12)
    steps = [(row["method"], row["seed"], row["step"]) for row in found["rows"]]
    assert steps == [
        (method, seed, step)
        for seed in (0, 1)
        for method in ("lstm", "zoneout_lstm")
        for step in (3, 6)
    ]


def test_a_continued_command_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", "--max_steps", "3")
    assert run(tmp_path / "parts", "--resume") == whole


def test_one_table_is_of_one_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, out = tmp_path / "first", tmp_path / "second", tmp_path / "out"
    for folder in (first, second):
        folder.mkdir()
        write_texts(folder)
    train = second / "ptb.char.train.txt"
    lines = train.read_text().split("\n ")[:-1]
    train.write_text("\n ".join([*lines[::-1], ""]))
    run(out, "--data", str(first), "--seeds", "0")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["data"].startswith("ptb.char.train.txt")
    capsys.readouterr()
    run(out, "--data", str(second), "--seeds", "0,1", "--resume", code=2)
    expected = f"expected {summary['data_fingerprint']}, as {out / 'lstm_seed0'} was trained on"
    assert expected in capsys.readouterr().err
    assert not (out / "lstm_seed1").exists()
    run(out, "--data", str(first), "--seeds", "0,1", "--resume")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("--methods", "lstm,lstm"), "--methods: 'lstm,lstm' came"),
        (("--methods", "indrnn_dense"), "--methods: 'indrnn_dense' came"),
        (("--seeds", "1,x"), "--seeds: '1,x' came"),
        (("--max_steps", "7"), "--eval_every 3 came with --max_steps 7"),
        (("--log_every", "2"), "--eval_every 3 came with --max_steps 6 and --log_every 2"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        SPACE["main"]([*TINY, "--out", str(tmp_path), *given])
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
