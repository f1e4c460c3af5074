"""nnseq.sweep: several runs as one command, stopped, continued, failed and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import backend, plots, sweep
from nnseq.checkpoint import CheckpointError
from nnseq.data.files import DataError
from nnseq.machine import command, commit
from nnseq.options import OptionError, data_option
from nnseq.plots import Panel
from nnseq.sweep import Part, Report, Result, SweepOptions, run_parts
from nnseq.task import DataNote
from tests.line_task import Line, LineOptions, result

OWN = {"batch_size": 4, "log_every": 3, "save_every": "1000", "lr": 0.05, "max_steps": 10}
NOISES = {"quiet": 0.0, "loud": 1.0}


@dataclass(frozen=True)
class FileOptions(LineOptions):
    data: str | None = data_option()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a tiny run, and is tested elsewhere."""
    for module in (plots, sweep):
        monkeypatch.setattr(module, "draw", lambda *_: None)


def parts(**changes: Any) -> list[Part]:
    return [
        Part(name, "line", FileOptions(**{"noise": noise, **OWN, **changes}), Line)
        for name, noise in NOISES.items()
    ]


def report(results: Sequence[Result]) -> Report:
    rows = [{"run": r.part.name, **row} for r in results for row in r.rows]
    curves = {r.part.name: ([1], [len(r.rows)]) for r in results}
    metrics = {f"{r.part.name}_{k}": v for r in results for k, v in r.summary["metrics"].items()}
    return Report(rows, [Panel("lines", "x", curves)], 1, metrics)


def sweep_of(out: Path, parts: Sequence[Part], **changes: Any) -> int:
    options = SweepOptions(out=str(out), threads=1, **changes)
    parts = [p._replace(options=replace(p.options, threads=1)) for p in parts]
    return run_parts("lines", options, parts, report)


def stopping(step: int, act: Callable[[Line], None]) -> Callable[[Any], Line]:
    class Stopping(Line):
        happens = {step: act}  # noqa: RUF012

    return Stopping


def reading(fingerprint: str) -> Callable[[Any], Line]:
    class Reading(Line):
        data_note = DataNote("numbers.bin", fingerprint)

    return Reading


def built_by(build: Callable[[Any], Line], **changes: Any) -> list[Part]:
    return [part._replace(build=build) for part in parts(**changes)]


def summary_in(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def interrupt(task: Line) -> None:
    raise sweep.Interrupted(2)


def spoil(task: Line) -> None:
    task.model.W.data[...] = float("nan")


def test_every_part_is_an_ordinary_run_and_the_summary_sums_them_up(tmp_path: Path) -> None:
    assert sweep_of(tmp_path, parts()) == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "quiet", "loud", "metrics.jsonl", "curve.png", "summary.json",
    }  # fmt: skip
    summary = json.loads((tmp_path / "summary.json").read_text())
    own = {name: json.loads((tmp_path / name / "summary.json").read_text()) for name in NOISES}
    assert own["loud"]["options"]["noise"] == 1.0
    assert own["loud"]["options"]["out"] == str(tmp_path / "loud")
    assert summary["experiment"] == "lines"
    assert (summary["params"], summary["steps"], summary["failed"]) == (8, 20, [])
    assert summary["seconds"] == pytest.approx(sum(s["seconds"] for s in own.values()), abs=0.01)
    assert summary["runs"]["quiet"]["metrics"] == own["quiet"]["metrics"]
    assert {name: run["options"] for name, run in summary["runs"].items()} == {
        "quiet": {"noise": 0.0},
        "loud": {"noise": 1.0},
    }
    expected = {f"{name}_test_mse": s["metrics"]["test_mse"] for name, s in own.items()}
    assert summary["metrics"] == expected
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["run"], row["step"]) for row in lines] == [
        (name, step) for name in NOISES for step in (1, 3, 6, 9, 10)
    ]


@pytest.mark.usefixtures("without_pictures")
def test_a_summary_names_the_kernels_of_its_own_run_not_of_those_before(tmp_path: Path) -> None:
    reference = backend.Implementation("reference", lambda: None, lambda: None)

    def use(op: str) -> Callable[[Line], None]:
        return lambda task: backend.kernels_for(op, np.zeros(1), reference) and None

    quiet, loud = parts()
    builds = [stopping(1, use("first_cell")), stopping(1, use("second_cell"))]
    assert (
        sweep_of(tmp_path, [quiet._replace(build=builds[0]), loud._replace(build=builds[1])]) == 0
    )
    kernels = {
        where: json.loads((tmp_path / where / "summary.json").read_text())["kernels"]
        for where in ("quiet", "loud", ".")
    }
    assert kernels["quiet"] == {"first_cell": "reference"}
    assert kernels["loud"] == {"second_cell": "reference"}
    assert kernels["."] == kernels["quiet"] | kernels["loud"]


@pytest.mark.usefixtures("without_pictures")
def test_a_stopped_sweep_continues_and_ends_like_one_that_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_of(tmp_path / "whole", parts()) == 0
    quiet, loud = parts()
    stopped = [quiet, loud._replace(build=stopping(5, interrupt))]
    assert sweep_of(tmp_path / "parts", stopped) == 130
    assert not (tmp_path / "parts" / "summary.json").exists()
    before = (tmp_path / "parts" / "quiet" / "checkpoint.h5").stat().st_mtime_ns
    capsys.readouterr()
    assert sweep_of(tmp_path / "parts", parts(), resume=True) == 0
    assert "[1/2] quiet is finished" in capsys.readouterr().out
    assert (tmp_path / "parts" / "quiet" / "checkpoint.h5").stat().st_mtime_ns == before
    for name in NOISES:
        assert result(tmp_path / "parts" / name) == result(tmp_path / "whole" / name)


@pytest.mark.usefixtures("without_pictures")
def test_more_steps_continue_every_part(tmp_path: Path) -> None:
    assert sweep_of(tmp_path / "whole", parts(max_steps=14)) == 0
    assert sweep_of(tmp_path / "parts", parts(max_steps=7)) == 0
    assert sweep_of(tmp_path / "parts", parts(max_steps=14), resume=True) == 0
    for name in NOISES:
        assert result(tmp_path / "parts" / name) == result(tmp_path / "whole" / name)


@pytest.mark.usefixtures("without_pictures")
def test_a_part_that_fails_is_named_and_the_others_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, loud = parts()
    assert sweep_of(tmp_path, [quiet._replace(build=stopping(5, spoil)), loud]) == 1
    error = capsys.readouterr().err.splitlines()
    assert "step 5: the loss is nan" in error[0]
    assert error[1].startswith("lines: failed: quiet")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["failed"] == ["quiet"]
    assert list(summary["runs"]) == ["loud"]


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_with_runs_needs_a_word_and_overwrite_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_of(tmp_path, parts(), resume=True) == 2
    assert "holds no run to continue" in capsys.readouterr().err
    assert sweep_of(tmp_path, parts()) == 0
    assert sweep_of(tmp_path, parts()) == 2
    assert "already holds runs" in capsys.readouterr().err
    quiet, loud = parts(noise=3.0)
    stopped = [quiet._replace(build=stopping(5, interrupt)), loud]
    assert sweep_of(tmp_path, stopped, overwrite=True) == 130
    assert not (tmp_path / "loud" / "checkpoint.h5").exists(), "of the sweep before"
    assert sweep_of(tmp_path, parts(noise=3.0), resume=True) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"lr": 0.25}, "--lr is 0.25, the checkpoint has 0.05"), ({"max_steps": 3}, "has 10 steps")],
)
def test_a_finished_part_of_other_options_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_of(tmp_path, parts()) == 0
    assert sweep_of(tmp_path, parts(**changes), resume=True) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


@pytest.mark.usefixtures("without_pictures")
def test_no_table_is_of_two_data_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, loud = built_by(reading("aaaa"))
    assert sweep_of(tmp_path, [quiet]) == 0
    before = (tmp_path / "summary.json").read_bytes()
    capsys.readouterr()
    assert sweep_of(tmp_path, built_by(reading("bbbb")), resume=True) == 2
    assert capsys.readouterr().err == (
        "lines: --data: data with the fingerprint bbbb came, expected aaaa, as "
        f"{tmp_path / 'quiet'} was trained on; name the folder with the same files, or another "
        "--out\n"
    )
    assert not (tmp_path / "loud").exists(), "refused before anything was trained"
    assert (tmp_path / "summary.json").read_bytes() == before
    assert sweep_of(tmp_path, [quiet, loud], resume=True) == 0
    assert sweep_of(tmp_path, built_by(reading("bbbb"), max_steps=12), resume=True) == 2
    changed = summary_in(tmp_path / "loud") | {"data_fingerprint": "cccc"}
    (tmp_path / "loud" / "summary.json").write_text(json.dumps(changed))
    again = built_by(reading("aaaa"), data="numbers")
    assert sweep_of(tmp_path, again, resume=True) == 2, "as two sweeps of before left it"
    assert "came, expected cccc, as" in capsys.readouterr().err


@pytest.mark.usefixtures("without_pictures")
def test_the_summary_says_what_was_read_and_by_which_command(tmp_path: Path) -> None:
    quiet, loud = built_by(reading("aaaa"))
    assert sweep_of(tmp_path / "files", [quiet, loud]) == 0
    summary = summary_in(tmp_path / "files")
    assert (summary["commit"], summary["command"]) == (commit(), command())
    assert (summary["data"], summary["data_fingerprint"]) == ("numbers.bin", "aaaa")
    for name in NOISES:
        own = summary_in(tmp_path / "files" / name)
        for key in ("data", "data_fingerprint", "data_wait", "commit"):
            assert summary["runs"][name][key] == own[key]
    assert sweep_of(tmp_path / "one", [quiet, loud._replace(build=Line)]) == 0
    summary = summary_in(tmp_path / "one")
    assert summary["runs"]["quiet"]["data"] == "numbers.bin"
    assert not {"data", "data_fingerprint"} & (summary.keys() | summary["runs"]["loud"].keys())


@pytest.mark.usefixtures("without_pictures")
def test_a_summary_without_its_checkpoint_is_a_run_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_of(tmp_path, built_by(reading("aaaa"))) == 0
    for path in tmp_path.glob("*/*.h5"):
        path.unlink()
    other = built_by(reading("bbbb"), data="numbers")
    assert sweep_of(tmp_path, other) == 2
    assert "already holds runs" in capsys.readouterr().err
    assert sweep_of(tmp_path, other, resume=True) == 2
    assert "came, expected aaaa" in capsys.readouterr().err
    assert sweep_of(tmp_path, built_by(reading("aaaa")), resume=True) == 0
    assert "quiet is finished" in capsys.readouterr().out
    before = (tmp_path / "quiet" / "summary.json").read_bytes()
    assert sweep_of(tmp_path, built_by(reading("aaaa"), max_steps=12), resume=True) == 2
    assert capsys.readouterr().err == (
        f"lines: --resume: {tmp_path / 'quiet'} holds no checkpoint.h5 to continue from, only what "
        "is left of 10 steps; put the file back, give the --max_steps of before, or another --out\n"
    )
    assert (tmp_path / "quiet" / "summary.json").read_bytes() == before
    stopped = [other[0]._replace(build=stopping(5, interrupt)), other[1]]
    assert sweep_of(tmp_path, stopped, overwrite=True) == 130
    assert not (tmp_path / "loud" / "summary.json").exists(), "of the sweep before"
    assert sweep_of(tmp_path, other, overwrite=True) == 0
    assert summary_in(tmp_path)["data_fingerprint"] == "bbbb"


@pytest.mark.usefixtures("without_pictures")
def test_files_that_cannot_be_read_when_a_sweep_goes_on_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> Line:
        raise DataError("train.gz is broken")

    assert sweep_of(tmp_path, built_by(reading("aaaa"))) == 0
    capsys.readouterr()
    assert sweep_of(tmp_path, built_by(broken, data="numbers"), resume=True) == 1
    assert capsys.readouterr().err == "lines: train.gz is broken\n"
    assert sweep_of(tmp_path, built_by(broken), resume=True) == 0, "nothing is left to read for"


@pytest.mark.usefixtures("without_pictures")
def test_a_report_that_cannot_read_a_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> Report:
        raise CheckpointError("checkpoint.h5 is broken")

    assert sweep_of(tmp_path, parts()) == 0
    capsys.readouterr()
    options = SweepOptions(out=str(tmp_path), threads=1, resume=True)
    assert run_parts("lines", options, parts(threads=1), broken) == 1
    assert capsys.readouterr().err == "lines: checkpoint.h5 is broken\n"


def test_a_sweep_evaluates_and_loads_no_single_model() -> None:
    for flags in ({"load_weight": "x.h5"}, {"load_weight": "x.h5", "eval": True}):
        with pytest.raises(OptionError, match="this command trains several models"):
            SweepOptions(**flags)


def test_parts_are_given_what_the_sweep_was_given() -> None:
    given = SweepOptions(lr=0.25, seed=3, out="x", overwrite=True, smoke=True).for_parts()
    options = LineOptions(**given)
    assert (options.lr, options.seed, options.out, options.overwrite) == (0.25, 3, None, False)
    assert "noise" not in given


def test_no_step_at_all_is_a_sweep_too(tmp_path: Path) -> None:
    assert sweep_of(tmp_path, parts(max_steps=0)) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["params"], summary["steps"], summary["metrics"]) == (8, 0, {})
    assert sweep_of(tmp_path, parts(max_steps=2)) == 0, "nothing was trained: nothing to continue"
