"""experiments/benchmarks/learning_curves.py: its comparison holds, and can fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from nnseq.data.made_up import write_made_up
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
    assert [(row["model"], row["dtype"]) for row in rows] == [*both, ("indrnn_relu", "float64")]
    for row in rows:
        assert len(row["ours"]) == len(row["torch"]) == 6
        assert row["largest_difference"] == np.abs(np.subtract(row["ours"], row["torch"])).max()
        assert row["ours"][-1] < row["ours"][0]
    assert (tmp_path / "curves.png").exists()


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
