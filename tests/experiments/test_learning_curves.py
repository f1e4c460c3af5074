"""experiments/benchmarks/learning_curves.py: its comparison holds, and can fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from nnseq.data.made_up import write_made_up
from nnseq.models import LanguageModel
from tests.child import ROOT

sys.path.insert(0, str(ROOT / "experiments"))

pytest.importorskip("torch", reason="torch is not installed (extra: parity)")

from benchmarks import learning_curves


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ptb")
    write_made_up("ptb", folder, np.random.default_rng(0))
    return folder


def main(text: Path, out: Path) -> int:
    given = ["--data", str(text), "--steps", "6", "--quick", "--threads", "1", "--out", str(out)]
    return learning_curves.main(given)


def test_both_models_learn_as_they_do_in_pytorch(text: Path, tmp_path: Path) -> None:
    assert main(text, tmp_path / "curves.json") == 0
    rows = json.loads((tmp_path / "curves.json").read_text())["rows"]
    both = [(name, dtype) for name in ("lstm", "indrnn") for dtype in ("float32", "float64")]
    relu = [("indrnn_relu", dtype) for dtype in ("float64", "float32", "float32")]
    assert [(row["model"], row["dtype"]) for row in rows] == [*both, *relu]
    assert [row["against"] for row in rows] == ["torch"] * 6 + ["moved"]
    for row in rows:
        other = row[row["against"]]
        assert len(row["ours"]) == len(other) == 6
        assert row["largest_difference"] == np.abs(np.subtract(row["ours"], other)).max()
        assert row["ours"][-1] < row["ours"][0]
    assert [row["holds"] for row in rows] == [True] * 5 + [None] * 2
    assert rows[-1]["ours"] == rows[-2]["ours"]
    assert (tmp_path / "curves.png").exists()


def test_a_model_is_moved_by_one_bit_everywhere() -> None:
    start, end = (learning_curves.build("indrnn_relu", "float32", 7, True) for _ in range(2))
    learning_curves.moved(end)
    bits = [
        np.concatenate([p.data.ravel() for p in model.parameters()]).view(np.int32)
        for model in (start, end)
    ]
    zeros = bits[0] == 0
    assert (np.abs(bits[1] - bits[0])[~zeros] == 1).all()
    assert (
        np.abs(bits[1].view(np.float32)[zeros]) == np.finfo(np.float32).smallest_subnormal
    ).all()


def test_rows_without_a_bound_do_not_count(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_curves, "BOUNDS", {"float32": 0.0, "float64": 1e-9})
    monkeypatch.setattr(learning_curves, "CASES", learning_curves.UNBOUNDED)
    original = learning_curves.moved

    def far(model: LanguageModel) -> LanguageModel:
        for p in original(model).parameters():
            p.data *= 1.1
        return model

    monkeypatch.setattr(learning_curves, "moved", far)
    assert main(text, tmp_path / "curves.json") == 0
    rows = json.loads((tmp_path / "curves.json").read_text())["rows"]
    assert rows[0]["largest_difference"] < 1e-4 < rows[1]["largest_difference"]


def test_another_learning_rate_on_one_side_is_noticed(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = learning_curves.losses
    monkeypatch.setattr(
        learning_curves, "losses", lambda model, batches, lr: original(model, batches, 1.1 * lr)
    )
    assert main(text, tmp_path / "curves.json") == 1


def test_a_folder_without_the_text_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path, tmp_path / "curves.json") == 1
    error = capsys.readouterr().err
    assert error.startswith("learning_curves: ")
    assert error.count("\n") == 1
