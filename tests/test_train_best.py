"""nnseq.train with what tasks on real data add: best weights, epochs of any length, files."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.best import Best, BestWeights
from nnseq.data.files import data_error
from nnseq.optim import Plateau
from nnseq.options import Options, parse
from nnseq.run_folder import RunFolder
from nnseq.snapshot import save_best
from nnseq.task import Position
from nnseq.tensor import Tensor
from nnseq.train import evaluate, fit
from tests.line_task import Line, LineOptions, one_line, options_for, result, rows, train

# Of the evaluations after steps 2, 4, 6, ...: the best is the third, lr is cut after two worse.
SCORES = [5.0, 4.0, 3.0, 3.5, 3.2, 3.3, 3.4, 3.0, 3.0, 3.0]
BEST_STEP = 6


class Scored(Line):
    """Evaluates every second step, with scores that are given, and follows Best."""

    rate = 0.5

    def __init__(self, options: LineOptions) -> None:
        super().__init__(options)
        self.optimizer.lr = self.rate
        self.best = Best(self.model, self.optimizer, Plateau(self.rate, 2, 0.5))
        self.happened: list[str] = []

    def observe(self, step: int, loss: float) -> dict[str, float]:
        if step % 2 == 0 and self.best.observe(SCORES[step // 2 - 1], step):
            self.happened.append(f"cut {step}")
        return {"lr": self.optimizer.lr}

    def best_weights(self) -> BestWeights | None:
        return self.best.snapshot()

    def leave(self, folder: Path) -> None:
        weights = self.model.state_dict()
        assert not (self.model.W * 1.0).requires_grad
        assert not self.model.is_training
        (folder / "sample.txt").write_text(repr({k: x.tolist() for k, x in weights.items()}))

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best.load_state_dict(state["best"])


class Noted(Line):
    """Reads a file, and each batch lets it wait for half a second, so it says."""

    data_note = "pixels.gz, labels.gz"

    def loss(self) -> Tensor:
        self.waited += 0.5
        return super().loss()


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
    tree, attributes = checkpoint.read(best)
    assert set(tree) == {"params", "state"}
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


def test_best_h5_is_written_when_it_changed_and_otherwise_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def counting(path: Path, task: Any, options: Options) -> None:
        written.append(task.best_weights().step)
        save_best(path, task, options)

    monkeypatch.setattr("nnseq.train.save_best", counting)
    assert train(tmp_path, Scored, max_steps=13, save_every="1") == 0
    assert written == [2, 4, 6]


def test_a_run_without_evaluations_writes_no_best_h5(tmp_path: Path) -> None:
    assert train(tmp_path, Scored, max_steps=1) == 0
    assert not (tmp_path / "best.h5").exists()
    assert "test_mse" in summary(tmp_path)["metrics"], "of the model as it is"
    save_best(tmp_path / "best.h5", Scored(options_for(tmp_path)), options_for(tmp_path))
    assert not (tmp_path / "best.h5").exists()


def test_overwrite_removes_the_best_weights_of_the_run_before(tmp_path: Path) -> None:
    assert train(tmp_path, Scored, max_steps=9, save_every="2") == 0
    assert (tmp_path / "best.prev.h5").exists()
    assert train(tmp_path, Scored, max_steps=1, overwrite=True) == 0
    assert not list(tmp_path.glob("best*"))


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


# ---- epochs ------------------------------------------------------------------------------------


class Uneven(Line):
    """Epochs of 3, 1, 4, 2, ... steps."""

    steps_per_epoch = None
    ends: ClassVar = (3, 4, 8, 10)

    def epochs_done(self, step: int) -> int | None:
        return sum(step >= end for end in self.ends)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 3), (2, 4), (3, 8), (4, 10)])
def test_epochs_that_differ_in_length_end_the_run(tmp_path: Path, epochs: int, steps: int) -> None:
    assert train(tmp_path, Uneven, max_steps=None, epochs=epochs, log_every=1) == 0
    assert rows(tmp_path)[-1]["step"] == steps
    assert checkpoint.read(tmp_path / "checkpoint.h5")[1]["epoch"] == epochs


def test_more_epochs_continue_and_max_steps_may_come_first(tmp_path: Path) -> None:
    assert train(tmp_path / "whole", Uneven, max_steps=None, epochs=3) == 0
    assert train(tmp_path / "parts", Uneven, max_steps=2, epochs=3) == 0
    assert rows(tmp_path / "parts")[-1]["step"] == 2
    for epochs in (1, 3):
        changes: dict[str, Any] = {"max_steps": None, "epochs": epochs, "resume": True}
        assert train(tmp_path / "parts", Uneven, **changes) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


# ---- files -------------------------------------------------------------------------------------


def test_the_files_read_stand_in_the_first_line_and_in_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", Noted)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("pixels.gz, labels.gz  |  kernels: ")
    assert summary(tmp_path / "run")["data"] == "pixels.gz, labels.gz"
    for name, changes in {
        "built": {"max_steps": 0},
        "eval": {"eval": True, "load_weight": str(tmp_path / "run" / "checkpoint.h5")},
    }.items():
        assert train(tmp_path / name, Noted, **changes) == 0
        assert capsys.readouterr().out.splitlines()[0].startswith("pixels.gz, labels.gz  |  ")
        assert summary(tmp_path / name)["data"] == "pixels.gz, labels.gz"
    train(tmp_path / "none", Line)
    assert capsys.readouterr().out.startswith("kernels: ")
    assert not {"data", "data_wait"} & summary(tmp_path / "none").keys()


def test_data_wait_is_the_share_of_the_steps_time_over_all_processes(tmp_path: Path) -> None:
    assert train(tmp_path, Noted, max_steps=4) == 0
    assert train(tmp_path, Noted, max_steps=10, resume=True) == 0
    place = checkpoint.read(tmp_path / "checkpoint.h5")[0]["state"]["position"]
    assert place["waited"] == 5.0
    assert summary(tmp_path)["data_wait"] == pytest.approx(5.0 / place["seconds"], rel=1e-5)


def test_data_wait_is_0_where_no_step_ran(tmp_path: Path) -> None:
    assert train(tmp_path, Noted, max_steps=0) == 0
    assert summary(tmp_path)["data_wait"] == 0


def unreadable(*_: Any) -> None:
    raise data_error(Path("train.gz"), "byte 16", "4 bytes", "784 bytes", "fetch it again")


def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Late(Line):
        happens: ClassVar = {5: unreadable}

    for name, build in {"at_once": unreadable, "late": Late}.items():
        capsys.readouterr()
        assert train(tmp_path / name, build, save_every="2") == 1
        line = one_line(capsys)
        assert line == "line: " + str(data_error(
            Path("train.gz"), "byte 16", "4 bytes", "784 bytes", "fetch it again"
        )) + "\n"  # fmt: skip
    assert checkpoint.read(tmp_path / "late" / "checkpoint.h5")[1]["step"] == 4


# ---- close -------------------------------------------------------------------------------------


def stop_the_process(task: Line) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def poison(task: Line) -> None:
    task.model.W.data[0] = np.nan


def fail(task: Line) -> None:
    raise KeyError("a mistake of ours")


@pytest.mark.parametrize(
    ("event", "code"),
    [(None, 0), (stop_the_process, 143), (poison, 1), (unreadable, 1), (fail, -1)],
)
def test_a_task_is_closed_once_however_the_run_ends(
    tmp_path: Path, event: Callable[[Line], None] | None, code: int
) -> None:
    closed: list[int] = []

    class Closing(Line):
        happens: ClassVar = {3: event} if event else {}

        def close(self) -> None:
            closed.append(self.steps_seen)

    if code < 0:
        with pytest.raises(KeyError, match="a mistake of ours"):
            train(tmp_path, Closing)
    else:
        assert train(tmp_path, Closing) == code
    assert len(closed) == 1
    with RunFolder(options_for(tmp_path, overwrite=True)):
        pass  # the folder is free again


def test_a_task_is_open_during_the_test_set(tmp_path: Path) -> None:
    order: list[str] = []

    class Closing(Line):
        def evaluate(self) -> dict[str, float]:
            order.append("evaluate")
            return super().evaluate()

        def leave(self, folder: Path) -> None:
            assert folder == tmp_path
            order.append("leave")

        def close(self) -> None:
            order.append("close")

    assert train(tmp_path, Closing) == 0
    assert order == ["evaluate", "leave", "close"]


# ---- published numbers -------------------------------------------------------------------------


def test_help_lists_every_preset_with_what_is_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    presets = {"plain6": {"lr": 2e-4}, "lstm": {"lr": 1e-3}}
    published = {"plain6": "test accuracy 0.990 (Li et al. 2018, 100% of table 2)"}
    with pytest.raises(SystemExit) as left:
        parse("line", LineOptions, ["--help"], presets=presets, published=published)
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "presets, and what is published of them:",
        "  plain6  test accuracy 0.990 (Li et al. 2018, 100% of table 2)",
        "  lstm",
    ]


def test_fit_alone_counts_the_waiting_too(tmp_path: Path) -> None:
    from nnseq.interrupt import Interrupts
    from nnseq.progress import Progress

    options = options_for(tmp_path, max_steps=3)
    position = Position(waited=2.0)
    with RunFolder(options) as folder, Progress(0, 3) as progress, Interrupts() as interrupts:
        fit(Noted(options), options, folder, position, interrupts, progress)
    assert (position.step, position.waited) == (3, 3.5)
