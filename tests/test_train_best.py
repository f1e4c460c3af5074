"""nnseq.train with tasks that keep the best weights: what is tested, written, and continued."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.runs.folder import RunFolder
from nnseq.train import evaluate
from tests.line_task import (
    BEST_STEP,
    Line,
    LineOptions,
    Scored,
    one_line,
    options_for,
    result,
    train,
)


def kept(kind: type[Line], into: list[Line]) -> Callable[[LineOptions], Line]:
    def build(options: LineOptions) -> Line:
        into.append(kind(options))
        return into[-1]

    return build


def summary(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "summary.json").read_text()))


def weights(path: Path) -> dict[str, list[Any]]:
    return {name: x.tolist() for name, x in checkpoint.read(path)[0]["params"].items()}


# ---- best weights ------------------------------------------------------------------------------


def test_best_h5_holds_the_weights_of_the_best_evaluation(tmp_path: Path) -> None:
    assert train(tmp_path / "short", Scored, max_steps=BEST_STEP) == 0
    assert train(tmp_path / "run", Scored, max_steps=9) == 0
    best, last = tmp_path / "run" / "best.h5", tmp_path / "run" / "checkpoint.h5"
    assert weights(best) == weights(tmp_path / "short" / "checkpoint.h5")
    assert weights(last) != weights(best)
    _, attributes = checkpoint.read(best)
    assert (attributes["step"], attributes["metric"]) == (BEST_STEP, 3.0)
    assert attributes["options"]["noise"] == 0.1


def test_the_test_set_meets_the_best_weights_and_training_keeps_its_own(tmp_path: Path) -> None:
    built: list[Line] = []
    train(tmp_path / "short", Line, max_steps=0)
    assert train(tmp_path / "run", kept(Scored, built), max_steps=9) == 0
    assert weights(tmp_path / "run" / "checkpoint.h5") == {
        name: x.tolist() for name, x in built[0].model.state_dict().items()
    }, "after the test set the model is again that of the last step"
    assert built[0].model.is_training
    best = weights(tmp_path / "run" / "best.h5")
    assert (tmp_path / "run" / "sample.txt").read_text() == repr(best)
    x, y = built[0].batch(np.random.default_rng(5), 50)
    error = x @ np.array(best["W"], np.float32) + np.array(best["b"], np.float32) - y
    expected = float(np.square(error).mean())
    assert summary(tmp_path / "run")["metrics"]["test_mse"] == pytest.approx(expected, rel=1e-6)
    last = weights(tmp_path / "run" / "checkpoint.h5")
    error = x @ np.array(last["W"], np.float32) + np.array(last["b"], np.float32) - y
    assert float(np.square(error).mean()) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("out", ["run", "elsewhere"])
def test_eval_of_best_h5_gives_the_metrics_of_the_run(tmp_path: Path, out: str) -> None:
    assert train(tmp_path / "run", Scored, max_steps=9) == 0
    expected = summary(tmp_path / "run")["metrics"]
    files = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.h5")}
    load = str(tmp_path / "run" / "best.h5")
    assert train(tmp_path / out, Scored, eval=True, load_weight=load, seed=4) == 0
    found = summary(tmp_path / out)
    assert (found["metrics"], found["steps"]) == (expected, BEST_STEP)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.h5")} == files


@pytest.mark.parametrize("at", [5, 7, 17])
def test_a_run_with_best_continues_bit_for_bit(tmp_path: Path, at: int) -> None:
    built: list[Line] = []
    train(tmp_path / "whole", kept(Scored, built), max_steps=19)
    assert built[0].happened == ["cut 10", "cut 14", "cut 18"]
    train(tmp_path / "parts", Scored, max_steps=at)
    assert train(tmp_path / "parts", Scored, max_steps=19, resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")
    best = [checkpoint.read(tmp_path / name / "best.h5") for name in ("parts", "whole")]
    assert repr(best[0][0]) == repr(best[1][0])
    assert best[0][1]["step"] == best[1][1]["step"] == BEST_STEP


def test_a_run_without_evaluations_writes_no_best_h5(tmp_path: Path) -> None:
    assert train(tmp_path, Scored, max_steps=1) == 0
    assert not (tmp_path / "best.h5").exists()
    assert "test_mse" in summary(tmp_path)["metrics"], "of the model as it is"


def test_overwrite_removes_the_best_weights_of_the_run_before(tmp_path: Path) -> None:
    assert train(tmp_path, Scored, max_steps=9, save_every="2") == 0
    assert (tmp_path / "best.prev.h5").exists()
    assert train(tmp_path, Scored, max_steps=1, overwrite=True) == 0
    assert not list(tmp_path.glob("best*"))
    assert train(tmp_path, Scored, max_steps=0, overwrite=True) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"], "sample.txt too"


def test_a_full_disk_under_best_h5_ends_the_run_in_one_line_and_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == "best.h5" and Path(target).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    train(tmp_path / "whole", Scored, max_steps=9, save_every="2")
    capsys.readouterr()
    monkeypatch.setattr(os, "replace", full)
    assert train(tmp_path / "parts", Scored, max_steps=9, save_every="2") == 1
    monkeypatch.undo()
    assert "best.h5: cannot be written: No space left on device" in one_line(capsys)
    assert checkpoint.read(tmp_path / "parts" / "checkpoint.h5")[1]["step"] == 2
    assert train(tmp_path / "parts", Scored, max_steps=9, save_every="2", resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")
    assert weights(tmp_path / "parts" / "best.h5") == weights(tmp_path / "whole" / "best.h5")


def test_an_error_in_the_test_set_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    class Broken(Scored):
        def evaluate(self) -> dict[str, float]:
            raise RuntimeError("broken")

    options = options_for(tmp_path)
    task = Broken(options)
    task.best.observe(1.0, 1)
    task.model.W.data += 1.0
    before = task.model.W.data.copy()
    with RunFolder(options) as folder, pytest.raises(RuntimeError, match="broken"):
        evaluate(task, folder)
    np.testing.assert_array_equal(task.model.W.data, before)
    assert task.model.is_training
