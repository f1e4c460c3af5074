"""nnseq.runs.folder: a new run begins in a folder without anything of the one before."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from nnseq.classification.task import ClassificationTask
from nnseq.language.task import LanguageTask
from nnseq.runs.folder import LEFT, RunFolder
from nnseq.task import Task
from tests.line_task import options_for

OWN = {"checkpoint.h5", "best.h5", "metrics.jsonl", "curve.png", "summary.json"}


def test_a_new_run_removes_what_the_last_one_and_its_task_left_and_nothing_else(
    tmp_path: Path,
) -> None:
    for name in (*OWN, "checkpoint.prev.h5", "best.prev.h5", "sample.txt", "accuracy.png", "notes"):
        (tmp_path / name).write_text("of the last run")
    with RunFolder(options_for(tmp_path, overwrite=True)) as folder:
        assert len(list(tmp_path.iterdir())) == 10  # held, but not begun
        folder.start()
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("task", [ClassificationTask, LanguageTask])
def test_every_file_that_a_task_leaves_is_known(task: type[Task]) -> None:
    named = set(re.findall(r'folder / "([^"]+)"', inspect.getsource(task.leave)))
    assert named
    assert named <= OWN | set(LEFT)
