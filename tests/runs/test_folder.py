"""nnseq.runs.folder: a new run begins in a folder without anything of the one before."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from nnseq.classification.task import ClassificationTask
from nnseq.language.task import LanguageTask
from nnseq.options import OptionError
from nnseq.runs.folder import RunFolder, read_summary
from nnseq.task import Task
from tests.line_task import options_for

OWN = ["checkpoint.h5", "best.h5", "metrics.jsonl", "curve.png", "summary.json"]
KEPT = ["checkpoint.prev.h5", "best.prev.h5"]
OF_KILLED = [".best.h5.tmp", ".best.h5.link", ".best.prev.h5.link", ".summary.json.tmp"]
OF_KILLED += [".sample.txt.tmp"]


def test_a_new_run_removes_what_the_last_one_and_its_task_left_and_nothing_else(
    tmp_path: Path,
) -> None:
    for name in (*OWN, *KEPT, *OF_KILLED, "sample.txt", "notes.txt"):
        (tmp_path / name).write_text("of the last run")
    (tmp_path / ".made_up_x1").mkdir()
    (tmp_path / ".made_up_x1" / "text8").write_text("of a smoke run")
    with RunFolder(options_for(tmp_path, overwrite=True)) as folder:
        assert (tmp_path / "summary.json").exists(), "held, but not begun"
        folder.start(("sample.txt",))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_whenever_a_start_is_killed_no_summary_is_left_of_weights_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, gone = Path.unlink, []

    def noting(path: Path, **named: Any) -> None:
        gone.append(path.name)
        unlink(path, **named)

    monkeypatch.setattr(Path, "unlink", noting)
    with RunFolder(options_for(tmp_path)) as folder:
        folder.start()
    assert gone[0] == "summary.json"
    assert {*OWN, *KEPT} <= set(gone)


@pytest.mark.parametrize("task", [ClassificationTask, LanguageTask])
def test_a_task_names_every_file_that_it_leaves(task: type[Task]) -> None:
    named = re.findall(r'folder / "([^"]+)"', inspect.getsource(task.leave))
    assert sorted(named) == sorted(task.leaves)


@pytest.mark.parametrize("text", ["", "{", "3", "[1]"])
def test_a_summary_that_is_no_json_object_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "summary.json"
    assert read_summary(path) is None
    path.write_text(text)
    with pytest.raises(OptionError, match=r"summary\.json: it holds no JSON object.*remove it"):
        read_summary(path)
    path.write_text('{"steps": 3}')
    assert read_summary(path) == {"steps": 3}
