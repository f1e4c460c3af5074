"""nnseq.runs.snapshot: what stands in which file, and kills between two files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnseq
from nnseq import checkpoint
from nnseq.checkpoint import previous_path
from tests.line_task import Line, Scored, one_line, result, rows, train

GIVEN: dict[str, Any] = {"max_steps": 11, "save_every": "2"}


def best_of(out: Path) -> Any:
    """All of best.h5 but the options, which say where it is and how the run was begun."""
    tree, attributes = checkpoint.read(out / "best.h5")
    attributes.pop("options")
    with np.printoptions(floatmode="unique", threshold=10**6):
        return repr((tree, attributes))


def assert_same_run(first: Path, second: Path) -> None:
    assert result(first) == result(second)
    assert best_of(first) == best_of(second)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a run of a few steps."""
    monkeypatch.setattr("nnseq.plots.draw", lambda path, panels, columns=1: path.touch())


@pytest.fixture
def whole(tmp_path: Path, no_pictures: None) -> Path:
    """A run that nobody disturbed."""
    assert train(tmp_path / "whole", Scored, **GIVEN) == 0
    return tmp_path / "whole"


# ---- what stands where -------------------------------------------------------------------------


def sizes(tree: Any) -> list[int]:
    """The number of entries of each array of a tree."""
    if isinstance(tree, dict):
        return [size for leaf in tree.values() for size in sizes(leaf)]
    return [tree.size] if isinstance(tree, np.ndarray) else []


def test_the_arrays_of_the_best_weights_are_in_best_h5_and_nowhere_else(whole: Path) -> None:
    tree, _ = checkpoint.read(whole / "checkpoint.h5")
    assert sizes(tree) == 3 * [3, 1], "parameters, and Adam's two moments of each"
    assert set(tree["state"]["best"]) == {"step", "metric", "plateau"}
    assert sizes(tree["state"]) == []
    best, attributes = checkpoint.read(whole / "best.h5")
    assert set(best) == {"params", "optimizer", "state"}
    assert sizes(best) == sizes(tree)
    named = tree["state"]["best"]
    assert (named["step"], named["metric"]) == (attributes["step"], attributes["metric"])
    assert best["optimizer"]["numbers"]["step"] == attributes["step"] == 6
    assert set(attributes) == {"options", "vocabulary", "step", "metric"}


@pytest.mark.parametrize(("first", "second"), [(Line, Scored), (Scored, Line)])
def test_best_weights_are_kept_in_a_whole_run_or_not_at_all(
    tmp_path: Path, first: type[Line], second: type[Line], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, first, max_steps=3) == 0
    capsys.readouterr()
    assert train(tmp_path, second, max_steps=5, resume=True) == 1
    has = "best weights" if first is Scored else "no best weights"
    assert one_line(capsys) == (
        f"line: {tmp_path / 'checkpoint.h5'}: does not fit this run: it is of a task that keeps "
        f"{has}, unlike this one; expected a checkpoint of the same experiment; name another "
        "--out\n"
    )


def test_best_h5_is_written_when_it_changed_and_otherwise_left(
    tmp_path: Path, no_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def counting(path: Path, tree: Any, attributes: Any) -> None:
        written.append((path.name, attributes["step"]))
        checkpoint.write(path, tree, attributes)

    monkeypatch.setattr("nnseq.runs.snapshot.write", counting)
    assert train(tmp_path, Scored, max_steps=8, save_every="1") == 0
    assert train(tmp_path, Scored, max_steps=9, save_every="1", resume=True) == 0
    assert [step for name, step in written if name == "best.h5"] == [2, 4, 6]
    assert [step for name, step in written if name == "checkpoint.h5"] == list(range(10))
    assert written.index(("best.h5", 4)) == written.index(("checkpoint.h5", 4)) - 1


# ---- kills -------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing of ours may handle it, as nothing handles SIGKILL."""


@dataclass
class Killer:
    """Kills before the so-and-so-many-th change of a file; 0: never."""

    at: int = 0
    seen: int = 0

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **named: Any) -> Any:
            self.seen += 1
            if self.seen == self.at:
                raise Killed
            return call(*args, **named)

        return change

    def run(self, out: Path, at: int, **changes: Any) -> bool:
        """Trains until it is killed; returns whether it was."""
        self.at, self.seen = at, 0
        begun = (out / "checkpoint.h5").exists()
        try:
            assert train(out, Scored, **GIVEN, resume=begun, **changes) == 0
        except Killed:
            return True
        return False


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    killer = Killer()
    for place, name in ((os, "link"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(place, name, killer.wrapped(getattr(place, name)))
    return killer


@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.kills)])
def test_a_run_killed_at_any_moment_any_number_of_times_ends_with_the_same_bits(
    tmp_path: Path, whole: Path, killer: Killer, every: int
) -> None:
    rng = np.random.default_rng(every)
    killer.run(tmp_path / "counted", 0)
    for at in range(5, killer.seen + 1, every):
        out = tmp_path / str(at)
        assert killer.run(out, at)
        while killer.run(out, int(rng.integers(1, 40))):
            pass
        assert_same_run(out, whole)


def test_a_run_killed_again_and_again_between_its_two_files_loses_neither(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time, best.h5 is of step 6 already, and checkpoint.h5 of step 4 still."""

    def killing(path: Path, tree: Any, attributes: Any) -> None:
        if path.name == "checkpoint.h5" and attributes["step"] == 6:
            raise Killed
        checkpoint.write(path, tree, attributes)

    out = tmp_path / "parts"
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("nnseq.runs.snapshot.write", killing)
            with pytest.raises(Killed):
                train(out, Scored, **GIVEN, resume=out.exists())
        assert checkpoint.read(out / "best.h5")[1]["step"] == 6
        assert checkpoint.read(out / "best.prev.h5")[1]["step"] == 4
        assert checkpoint.read(out / "checkpoint.h5")[0]["state"]["best"]["step"] == 4
    assert train(out, Scored, **GIVEN, resume=True) == 0
    assert_same_run(out, whole)


def test_best_h5_of_a_step_that_the_checkpoint_has_not_reached_is_no_result(
    tmp_path: Path, whole: Path
) -> None:
    for step in (1, 3):
        out = tmp_path / str(step)
        best = out / "best.h5"
        assert train(out, Scored, max_steps=step) == 0
        expected = best_of(out) if step == 3 else None
        if expected:
            shutil.copy(best, previous_path(best))
        shutil.copy(whole / "best.h5", best)
        assert train(out, Scored, max_steps=step, resume=True) == 0
        assert (best_of(out) if best.exists() else None) == expected


@pytest.mark.parametrize("steps", range(2, 12))
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    tmp_path: Path, whole: Path, steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "parts"
    assert train(out, Scored, max_steps=steps, save_every="2") == 0
    path = out / "checkpoint.h5"
    path.write_bytes(path.read_bytes()[:1000])
    capsys.readouterr()
    assert train(out, Scored, **GIVEN, resume=True) == 1
    assert f"cp '{previous_path(path)}' '{path}'" in one_line(capsys)
    shutil.copy(previous_path(path), path)
    assert train(out, Scored, **GIVEN, resume=True) == 0
    assert_same_run(out, whole)


@pytest.mark.parametrize("present", ["neither", "damaged", "of other steps", "without a part"])
def test_best_weights_that_are_gone_are_asked_for_and_nothing_is_touched(
    tmp_path: Path, whole: Path, present: str, capsys: pytest.CaptureFixture[str]
) -> None:
    best, previous = whole / "best.h5", whole / "best.prev.h5"
    shutil.move(best, tmp_path / "kept.h5")
    said = "best.h5 is not there and best.prev.h5 is of step 4"
    if present == "neither":
        previous.unlink()
        said = "best.h5 is not there and best.prev.h5 is not there"
    elif present == "damaged":
        best.write_bytes((tmp_path / "kept.h5").read_bytes()[:1000])
        said = "best.h5 cannot be read and best.prev.h5 is of step 4"
    elif present == "without a part":
        tree, attributes = checkpoint.read(tmp_path / "kept.h5")
        checkpoint.write(best, {"params": tree["params"], "state": tree["state"]}, attributes)
        said = "best.h5 has no 'optimizer' and best.prev.h5 is of step 4"
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    capsys.readouterr()
    assert train(whole, Scored, max_steps=13, resume=True) == 1
    assert one_line(capsys) == (
        f"line: {whole / 'checkpoint.h5'}: {said}, expected the best weights of step 6 in one of "
        "them; put that best.h5 back, or train anew with --overwrite\n"
    )
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before
    shutil.copy(tmp_path / "kept.h5", best)
    assert train(whole, Scored, max_steps=13, resume=True) == 0


def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert train(tmp_path / "parts", Scored, max_steps=5, save_every="2") == 0
    best = tmp_path / "parts" / "best.h5"
    shutil.copy(best, previous_path(best))
    shutil.copy(whole / "best.h5", best)
    assert train(tmp_path / "parts", Scored, **GIVEN, resume=True) == 0
    assert_same_run(tmp_path / "parts", whole)


def test_best_h5_is_a_file_of_weights_like_any_other(whole: Path, tmp_path: Path) -> None:
    file = str(whole / "best.h5")
    assert train(tmp_path / "eval", Scored, eval=True, load_weight=file) == 0
    assert train(tmp_path / "more", Scored, max_steps=1, load_weight=file) == 0
    assert rows(tmp_path / "more")[0]["step"] == 1
    with pytest.raises(checkpoint.CheckpointError, match="holds no description of a model"):
        nnseq.load(file)
