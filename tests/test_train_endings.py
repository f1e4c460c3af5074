"""nnseq.train: runs that end early, by a signal, a number that is not finite, or a full disk."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nnseq import backend, checkpoint, machine, plots
from nnseq.runs import folder as run_folder
from nnseq.tensor import Tensor
from tests.line_task import Line, one_line, result, train

# ---- leaving early -----------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_leaves_and_can_be_continued(
    tmp_path: Path, number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    class Signalled(Line):
        happens: ClassVar = {5: lambda task: os.kill(os.getpid(), number)}

    train(tmp_path / "whole")
    capsys.readouterr()
    before = signal.getsignal(number)
    assert train(tmp_path / "parts", Signalled) == code
    assert signal.getsignal(number) is before
    assert signal.Signals(number).name in one_line(capsys)
    assert checkpoint.read(tmp_path / "parts" / "checkpoint.h5")[1]["step"] == 5
    assert not (tmp_path / "parts" / "summary.json").exists()
    assert train(tmp_path / "parts", resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_a_signal_during_the_test_set_leaves_the_finished_run_to_resume(tmp_path: Path) -> None:
    class Signalled(Line):
        def evaluate(self) -> dict[str, float]:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().evaluate()

    train(tmp_path / "whole")
    assert train(tmp_path / "parts", Signalled) == 143
    assert train(tmp_path / "parts", resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


# ---- what is not finite -------------------------------------------------------------------------


def poison_parameter(task: Line) -> None:
    task.model.W.data[1, 0] = np.nan


def poison_batch(task: Line) -> None:
    task.options = dataclasses.replace(task.options, noise=1e308)


class NanParameter(Line):
    happens: ClassVar = {8: poison_parameter}


class NanData(Line):
    happens: ClassVar = {7: poison_batch}


class NanGradient(Line):
    """From step 8 on the loss contains sqrt(0 W), which is 0 and has no finite derivative."""

    def loss(self) -> Tensor:
        loss = super().loss()
        return loss + (self.model.W * 0.0).sum() ** 0.5 if self.steps_seen == 7 else loss


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (NanParameter, "parameter W: 1 of 3 entries"),
        (NanGradient, "gradient of W: 3 of 3 entries"),
        (NanData, "gradient of W: 3 of 3 entries"),
    ],
)
def test_what_is_not_finite_is_named_and_the_last_good_checkpoint_kept(
    tmp_path: Path, task: type[Line], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "whole", save_every="3")
    capsys.readouterr()
    assert train(tmp_path / "parts", task, save_every="3") == 1
    line = one_line(capsys)
    assert "step 8: the loss is " in line
    assert f"the first array that is not finite is the {said}" in line
    tree, attributes = checkpoint.read(tmp_path / "parts" / "checkpoint.h5")
    assert attributes["step"] == 6
    assert all(np.isfinite(x).all() for x in tree["params"].values())
    assert train(tmp_path / "parts", save_every="3", resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_a_parameter_that_the_last_step_spoiled_is_not_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Spoiled(Line):
        def observe(self, step: int, loss: float) -> dict[str, float]:
            if step == 6:
                poison_parameter(self)
            return super().observe(step, loss)

    assert train(tmp_path, Spoiled, save_every="3") == 1
    assert "after step 6: the first array that is not finite is the parameter W" in one_line(capsys)
    assert checkpoint.read(tmp_path / "checkpoint.h5")[1]["step"] == 3


# ---- the disk and the machine --------------------------------------------------------------------


def disk_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("call", "file"), [("write_checkpoint", "checkpoint.h5"), ("write_metrics", "metrics.jsonl")]
)
def test_a_full_disk_ends_the_run_in_one_line_and_loses_nothing(
    tmp_path: Path,
    call: str,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fill(task: Line) -> None:
        if call == "write_checkpoint":
            monkeypatch.setattr(os, "replace", disk_full)
        else:
            monkeypatch.setattr(Path, "open", disk_full)

    class Filling(Line):
        happens: ClassVar = {6: fill}

    train(tmp_path / "whole", save_every="4")
    capsys.readouterr()
    assert train(tmp_path / "parts", Filling, save_every="4") == 1
    monkeypatch.undo()
    line = one_line(capsys)
    assert f"{file}: cannot be written: No space left on device" in line
    assert "free space" in line
    assert checkpoint.read(tmp_path / "parts" / "checkpoint.h5")[1]["step"] == 4
    assert train(tmp_path / "parts", save_every="4", resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_an_out_that_cannot_be_a_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert train(tmp_path / "file" / "run") == 2
    assert "cannot be used: Not a directory" in one_line(capsys)


def test_a_full_disk_at_the_end_leaves_the_run_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_durably = run_folder.write_durably
    for file in ("summary.json", "curve.png"):
        out = tmp_path / file

        def full(path: Path, content: bytes, file: str = file) -> None:
            if path.name == file:
                disk_full()
            write_durably(path, content)

        monkeypatch.setattr(run_folder, "write_durably", full)
        monkeypatch.setattr(plots, "write_durably", full)
        assert train(out) == 1
        monkeypatch.undo()
        assert f"{file}: cannot be written: No space left on device" in one_line(capsys)
        assert train(out, resume=True) == 0
        assert {"summary.json", "curve.png"} <= {path.name for path in out.iterdir()}


def test_an_out_with_an_impossible_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / ("x" * 300)) == 2
    assert "cannot be used: File name too long; name a folder" in one_line(capsys)


@pytest.mark.parametrize("name", ["foo", "cupy"])
def test_kernels_named_in_the_environment_that_cannot_run_are_refused_before_anything_is_lost(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    before = result(tmp_path)
    capsys.readouterr()
    monkeypatch.setattr(backend, "_forced", name)
    assert train(tmp_path, overwrite=True) == 2
    assert f"NNSEQ_KERNELS: {name} came with device cpu, expected one of" in one_line(capsys)
    assert result(tmp_path) == before


def test_kernels_of_the_environment_belong_to_the_run_and_must_be_the_same_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backend, "_forced", "reference")
    assert train(tmp_path, max_steps=2) == 0
    monkeypatch.setattr(backend, "_forced", "auto")
    capsys.readouterr()
    assert train(tmp_path, max_steps=3, resume=True) == 2
    assert "--kernels is auto, the checkpoint has reference" in one_line(capsys)


def test_a_metric_that_is_not_finite_ends_the_run_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Line, "observe", lambda task, step, loss: {"eval_mse": float("nan")})
    assert train(tmp_path, max_steps=2) == 1
    assert "step 1: eval_mse is nan" in one_line(capsys)


def test_sizes_that_numpy_cannot_hold_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, batch_size=10**20) == 1
    assert "out of memory" in one_line(capsys)


def test_a_run_keeps_the_memory_that_it_frees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("nnseq.train.keep_freed_memory", lambda: asked.append(True))
    assert train(tmp_path, max_steps=1) == 0
    assert asked == [True]


def test_the_commit_is_that_of_before_the_first_step(tmp_path: Path) -> None:
    asked: list[int] = []

    class Asking(Line):
        happens: ClassVar = {1: lambda task: asked.append(machine.commit.cache_info().currsize)}

    machine.commit.cache_clear()
    assert train(tmp_path, Asking, max_steps=1) == 0
    assert asked == [1]


def test_without_threads_as_many_are_used_as_numba_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_cpus", lambda: 1000)
    assert train(tmp_path, threads=None, max_steps=1) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kernels": "cupy", "device": "cpu"}, "--kernels: cupy came with device cpu"),
        ({"threads": 10**6}, "--threads: 1000000 came, expected at most"),
    ],
)
def test_a_machine_that_cannot_do_it_says_so(
    tmp_path: Path, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "x", **changes) == 2
    assert said in one_line(capsys)
    assert not (tmp_path / "x").exists()


def test_cuda_without_a_gpu_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    assert train(tmp_path / "x", device="cuda") == 2
    assert "device 'cuda'" in one_line(capsys)
    assert not (tmp_path / "x").exists()
