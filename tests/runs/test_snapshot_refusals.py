"""nnseq.runs.snapshot: data, vocabulary and looks that are not those of training are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnseq
from nnseq.data.fingerprint import fingerprint
from nnseq.options import option
from nnseq.task import DataNote
from nnseq.train import run
from tests.line_task import Line, LineOptions, Scored, one_line, options_for, train

# ---- data --------------------------------------------------------------------------------------


def reading(*numbers: float) -> type[Line]:
    """A task on data with these numbers."""

    class Reading(Line):
        data_note = DataNote("numbers.bin", fingerprint(np.array(numbers)))

    return Reading


def test_a_run_goes_on_with_the_same_data_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, reading(1, 2), max_steps=3) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    for build in (reading(1, 3), Line):
        assert train(tmp_path, build, max_steps=5, resume=True) == 2
        came = build.data_note.fingerprint or "(none)"
        expected = reading(1, 2).data_note.fingerprint
        assert one_line(capsys) == (
            f"line: --data: data with the fingerprint {came} came, expected {expected}, as "
            f"{tmp_path / 'checkpoint.h5'} was trained on; name the folder with the same files, or "
            "another --out\n"
        )
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert train(tmp_path, reading(1, 2), max_steps=5, resume=True) == 0
    file = str(tmp_path / "checkpoint.h5")
    assert train(tmp_path / "eval", reading(4), eval=True, load_weight=file) == 0


# ---- looks -------------------------------------------------------------------------------------


def test_a_model_goes_on_with_the_vocabulary_of_its_training_and_a_saved_one_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spelled(ids: str) -> type[Line]:
        class Spelled(Scored):
            vocabulary = ids

        return Spelled

    assert train(tmp_path / "run", spelled("aaaa"), max_steps=3) == 0
    given: dict[str, Any] = {"out": tmp_path / "eval", "eval": True}
    for name in ("checkpoint.h5", "best.h5"):
        file = str(tmp_path / "run" / name)
        capsys.readouterr()
        more: dict[str, Any] = {"out": tmp_path / "more", "max_steps": 2, "overwrite": True}
        for flag, came in (("eval", "bbbb"), ("eval", ""), ("load_weight", "bbbb")):
            use = given if flag == "eval" else more
            assert train(**use, build=spelled(came), load_weight=file) == 2
            assert one_line(capsys) == (
                f"line: --{flag}: a vocabulary with the fingerprint {came or '(none)'} came, "
                f"expected aaaa, as {file} was trained on: the ids of --data stand for other "
                "tokens; name the folder with the text of its training\n"
            )
        for use in (given, more):
            assert train(**use, build=spelled("aaaa"), load_weight=file) == 0
        built = more | {"max_steps": 0}
        assert train(**built, build=spelled(""), load_weight=file) == 0, "no text was read"
    nnseq.save(Line(options_for(tmp_path)).model, tmp_path / "saved.h5")
    for use in (given, more):
        assert train(**use, build=spelled("bbbb"), load_weight=str(tmp_path / "saved.h5")) == 0


@dataclass(frozen=True)
class LookOptions(LineOptions):
    scale: float = option(1.0, "of what is shown", same_eval=True)
    upside_down: bool = option(False, "what is shown", same_eval=True)


def test_evaluation_needs_the_looks_of_training_and_nothing_else_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def changed(out: str, **changes: Any) -> int:
        given = {**vars(options_for(tmp_path / out)), **changes}
        return run("line", LookOptions(**given), Line)

    assert changed("run", scale=2.0, max_steps=3) == 0
    file = str(tmp_path / "run" / "checkpoint.h5")
    capsys.readouterr()
    assert changed("eval", eval=True, load_weight=file, upside_down=True) == 2
    assert one_line(capsys) == (
        f"line: --eval: the model of {file} would not be the one that was trained: --scale is 1.0, "
        "it was trained with 2.0; --upside_down is True, it was trained with False; give the "
        "values of its training\n"
    )
    assert changed("eval", eval=True, load_weight=file, scale=2.0, noise=0.5, seed=7) == 0
    assert changed("more", max_steps=1, load_weight=file) == 0
    nnseq.save(Line(options_for(tmp_path)).model, tmp_path / "saved.h5")
    assert changed("saved", eval=True, load_weight=str(tmp_path / "saved.h5"), scale=3.0) == 0
