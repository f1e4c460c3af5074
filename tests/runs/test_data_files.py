"""nnseq.runs.data_files: files that were named, made-up ones, none, or where to get them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nnseq.data.files import DataError
from nnseq.data.mnist import mnist
from nnseq.data.text8 import text8
from nnseq.options import OptionError, Options, data_option
from nnseq.runs.data_files import read_files
from nnseq.task import DataNote


@dataclass(frozen=True)
class SomeOptions(Options):
    data: str | None = data_option()


def read(reader: Any = text8, **given: Any) -> tuple[Any, DataNote]:
    options = SomeOptions(**given)
    return read_files(options, "text8", reader, name="Text 8", files="the file text8")


def test_the_reader_gets_the_folder_of_data_even_in_a_smoke_run(tmp_path: Path) -> None:
    for smoke in (False, True):
        found = read(lambda folder: folder, data=str(tmp_path), smoke=smoke)
        assert found == (tmp_path, DataNote())
    with pytest.raises(DataError, match="nowhere"):
        read(lambda folder: mnist(folder, "train"), data=str(tmp_path / "nowhere"))


def test_a_smoke_run_reads_the_same_made_up_files_each_time_and_leaves_none(tmp_path: Path) -> None:
    (first, note), (second, same) = (read(smoke=True, out=str(tmp_path)) for _ in range(2))
    assert note.text == "made-up files in the format of Text 8"
    assert note == same
    assert len(first.train) > 100
    assert (first.train == second.train).all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", [{"resume": True}, {"eval": True, "load_weight": "best.h5"}, {}])
def test_only_a_model_that_is_built_and_no_more_needs_no_files(extra: dict[str, Any]) -> None:
    assert read(max_steps=0) == (None, DataNote())
    with pytest.raises(OptionError) as refused:
        read(max_steps=0 if extra else None, **extra)
    assert str(refused.value) == (
        "--data: nothing came, expected the folder with the file text8; get them by "
        "`python -m nnseq.data fetch text8` and name their folder, or try --smoke"
    )


def test_the_fingerprint_is_of_the_content_wherever_the_files_are(tmp_path: Path) -> None:
    notes = []
    for name, text in {"first": "some words ", "again": "some words ", "other": "same "}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "text8").write_text(50 * text)
        notes.append(read(data=str(tmp_path / name))[1])
    assert notes[0] == notes[1] != notes[2]
    assert notes[0].fingerprint
