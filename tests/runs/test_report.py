"""nnseq.runs.report: what is said of a run, which the tests of nnseq.train see in whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nnseq import backend
from nnseq.machine import command, commit
from nnseq.plots import Panel
from nnseq.runs.folder import RunFolder
from nnseq.runs.report import draw_curve, first_lines, summary
from nnseq.task import DataNote, Position
from tests.line_task import Line, options_for


class Described(Line):
    data_note = DataNote("pixels.gz", "0123")

    def describe(self) -> list[str]:
        return ["one line", "and another"]


def test_the_first_lines_say_what_the_options_do_not(tmp_path: Path) -> None:
    backend.clear_report()
    options = options_for(tmp_path, device="cpu")
    (line,) = first_lines(Line(options), options)
    told = f"device cpu, 1 threads, float32, 4 parameters  ->  {tmp_path}"
    assert line == f"kernels: none has run  |  {told}"
    first, *others = first_lines(Described(options), options)
    assert first == f"pixels.gz  |  {line}"
    assert others == ["one line", "and another"]


def test_the_summary_has_the_share_of_waiting_only_where_files_are_read(tmp_path: Path) -> None:
    options = options_for(tmp_path, device="cpu")
    position = Position(step=8, seconds=4.0006, waited=1.0)
    plain = summary("line", options, Line(options), position, {"test_mse": 0.5})
    assert (plain["experiment"], plain["steps"], plain["seconds"]) == ("line", 8, 4.001)
    assert (plain["params"], plain["metrics"]) == (4, {"test_mse": 0.5})
    assert plain["options"] == options.as_dict()
    assert (plain["commit"], plain["command"]) == (commit(), command())
    of_files = summary("line", options, Described(options), position, {})
    assert of_files.keys() - plain.keys() == {"data", "data_fingerprint", "data_wait"}
    assert (of_files["data"], of_files["data_fingerprint"]) == ("pixels.gz", "0123")
    assert of_files["data_wait"] == round(1 / 4.0006, 5)
    assert summary("line", options, Described(options), Position(), {})["data_wait"] == 0.0


def test_the_curve_is_of_the_losses_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("nnseq.plots.draw", lambda *x: drawn.append(x))

    class Showing(Line):
        def panels(self, loss: Panel) -> list[Panel]:
            return [loss, Panel("beside", "step", {})]

    options = options_for(tmp_path)
    with RunFolder(options) as folder:
        folder.start()
        for step in (1, 3):
            folder.log({"step": step, "loss": 0.5 * step, "seconds": 0.0})
        folder.sync_metrics()
        draw_curve("line", Line(options), folder)
        draw_curve("line", Showing(options), folder)
    curves = {"training loss": ([1, 3], [0.5, 1.5])}
    loss = Panel("line", "step", curves, ("answering 0", 5.25))
    assert drawn[0] == (folder.curve, [loss], 1)
    assert drawn[1] == (folder.curve, [loss, Panel("beside", "step", {})], 2)
