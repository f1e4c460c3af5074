"""nnseq.train with what tasks on real data add: epochs of any length, files, threads to end."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.data.files import data_error
from nnseq.language.options import LanguageOptions
from nnseq.options import parse
from nnseq.runs.folder import RunFolder
from nnseq.task import DataNote, Position
from nnseq.tensor import Tensor
from nnseq.train import fit
from tests.language_runs import SIZES, SMALL, run_main, script, write_texts
from tests.line_task import Line, LineOptions, one_line, options_for, result, rows, train


class Noted(Line):
    """Reads a file, and each batch lets it wait for half a second, so it says."""

    data_note = DataNote("pixels.gz, labels.gz", "0123")

    def loss(self) -> Tensor:
        self.waited += 0.5
        return super().loss()


def summary(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "summary.json").read_text()))


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
    assert summary(tmp_path / "run")["data_fingerprint"] == "0123"
    for name, changes in {
        "built": {"max_steps": 0},
        "eval": {"eval": True, "load_weight": str(tmp_path / "run" / "checkpoint.h5")},
    }.items():
        assert train(tmp_path / name, Noted, **changes) == 0
        assert capsys.readouterr().out.splitlines()[0].startswith("pixels.gz, labels.gz  |  ")
        assert summary(tmp_path / name)["data"] == "pixels.gz, labels.gz"
    train(tmp_path / "none", Line)
    assert capsys.readouterr().out.startswith("kernels: ")
    assert not {"data", "data_fingerprint", "data_wait"} & summary(tmp_path / "none").keys()


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


# ---- runs of experiments -----------------------------------------------------------------------

CHAR_PTB = script("char_ptb")["main"]
SHORT: list[object] = [*SMALL, *SIZES["lstm"]]
LOOKS = [x for x in SHORT if x not in ("--batch_size", 3)]  # what an evaluation may be given


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


def test_a_run_goes_on_with_the_same_text_wherever_it_is_and_with_no_other(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, other = (shutil.copytree(texts, tmp_path / name) for name in ("moved", "other"))
    lines = (other / "ptb.char.valid.txt").read_text().split("\n ")[:-1]
    (other / "ptb.char.valid.txt").write_text("\n ".join([*lines[::-1], ""]))
    out = tmp_path / "run"
    first = run_main(CHAR_PTB, out, "--data", texts, *SHORT, "--max_steps", 1)
    more = [*SHORT, "--resume", "--max_steps", 2]
    capsys.readouterr()
    assert CHAR_PTB([str(x) for x in (*more, "--data", other, "--out", out)]) == 2
    error = capsys.readouterr().err
    assert f"came, expected {first['data_fingerprint']}, as {out / 'checkpoint.h5'} was" in error
    second = run_main(CHAR_PTB, out, "--data", moved, *more)
    assert second["data_fingerprint"] == first["data_fingerprint"]


def test_a_model_is_evaluated_as_it_was_trained(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", texts, *SHORT, "--zoneout_c", 0.5]
    run_main(CHAR_PTB, tmp_path / "run", *argv, "--max_steps", 1)
    file = tmp_path / "run" / "checkpoint.h5"
    argv = ["--data", texts, *LOOKS, "--zoneout_c", 0.5, "--eval", "--load_weight", file]
    for flag, came, trained in (("seq_len", 9, 7), ("zoneout_c", 0.25, 0.5)):
        changed = [*argv, "--out", tmp_path / "eval", f"--{flag}", came]
        capsys.readouterr()
        assert CHAR_PTB([str(x) for x in changed]) == 2
        assert capsys.readouterr().err == (
            f"char_ptb: --eval: the model of {file} would not be the one that was trained: "
            f"--{flag} is {came}, it was trained with {trained}; give the values of its training\n"
        )
    run_main(CHAR_PTB, tmp_path / "eval", *argv, "--eval_batch_size", 9)


def test_a_model_is_not_evaluated_on_a_text_whose_letters_have_other_ids(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, shorter = (shutil.copytree(texts, tmp_path / name) for name in ("other", "shorter"))
    for path in other.glob("ptb.char.*"):
        path.write_text(path.read_text().translate(str.maketrans("ae", "ea")))
    path = shorter / "ptb.char.test.txt"
    path.write_text("\n".join(path.read_text().split("\n")[:4]) + "\n ")
    run_main(CHAR_PTB, tmp_path / "run", "--data", texts, *SHORT, "--max_steps", 1)
    argv = [*LOOKS, "--eval", "--load_weight", tmp_path / "run" / "checkpoint.h5"]
    capsys.readouterr()
    assert CHAR_PTB([str(x) for x in (*argv, "--data", other, "--out", tmp_path / "eval")]) == 2
    assert "char_ptb: --eval: a vocabulary with the fingerprint " in capsys.readouterr().err
    run_main(CHAR_PTB, tmp_path / "eval", *argv, "--data", shorter)


NETWORK = {"bn", "act"}
ZONEOUT = {"zoneout_h", "zoneout_c"}


@pytest.mark.parametrize(
    ("experiment", "kind", "names"),
    [
        (
            "pixel_mnist",
            "PixelOptions",
            {"pixels", "p_drop_igate", "summarize", *NETWORK, *ZONEOUT},
        ),
        (
            "action_recognition",
            "ActionOptions",
            {"benchmark", "seq_len", "random_len", "lines", *NETWORK},
        ),
        ("adding", "AddingOptions", {"model", "act", "forget_bias", *ZONEOUT}),
        (
            "char_ptb",
            "LanguageOptions",
            {"batching", "seq_len", "variable_len", "p_drop_igate", "ogate_zoneout", "forget_bias"}
            | {"MAG", "U_bound", *NETWORK, *ZONEOUT},
        ),
    ],
)
def test_what_weights_do_not_tell_must_be_said_again(
    experiment: str, kind: str, names: set[str]
) -> None:
    options = LanguageOptions if experiment == "char_ptb" else script(experiment)[kind]
    assert {f.name for f in dataclasses.fields(options) if f.metadata["same_eval"]} == names


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
    from nnseq.runs.interrupt import Interrupts
    from nnseq.runs.progress import Progress

    options = options_for(tmp_path, max_steps=3)
    position = Position(waited=2.0)
    with RunFolder(options) as folder, Progress(0, 3) as progress, Interrupts() as interrupts:
        fit(Noted(options), options, folder, position, interrupts, progress)
    assert (position.step, position.waited) == (3, 3.5)
