"""What every experiment that trains on files owes; the checks of their tests have it in common."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.backend import use_kernels
from nnseq.data.prefetch import Prefetch, _Worker
from nnseq.machine import limited_threads, most_threads
from nnseq.options import Options
from nnseq.task import Task
from nnseq.tensor import no_grad
from tests.language_runs import bits, remains, run_main

Main = Callable[[list[str]], int]
LEFT = {"best.h5", "checkpoint.h5", "curve.png", "metrics.jsonl", "summary.json"}


def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a run of a few steps."""
    for place in ("nnseq.classification.task.draw", "nnseq.plots.draw"):
        monkeypatch.setattr(place, lambda path, panels, columns=1: path.touch())


# ---- presets and options -----------------------------------------------------------------------


def recipe(options: Options, expected: Mapping[str, Any]) -> None:
    assert {name: getattr(options, name) for name in expected} == expected


def help_lines(main: Main, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    return capsys.readouterr().out.splitlines()


def untried(own: type[Options], shared: type[Options], tried: Iterable[Sequence[object]]) -> set:
    """The options of one experiment alone, but for those that some flags were tried for."""
    fields = [{field.name for field in dataclasses.fields(kind)} for kind in (own, shared)]
    flags = {str(flags[0]).removeprefix("--").removeprefix("no_") for flags in tried}
    return fields[0] - fields[1] - flags


def refusal(
    main: Main, argv: Sequence[object], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> str:
    """The command line is refused in one line, returned here, that begins with whose it is."""
    capsys.readouterr()
    try:
        left: Any = main([str(x) for x in argv])
    except SystemExit as error:
        left = error.code
    error = capsys.readouterr().err
    assert left == code, error
    assert error.startswith(f"{Path(main.__code__.co_filename).stem}: ")
    assert error.count("\n") == 1
    assert said in error
    return error


# ---- runs --------------------------------------------------------------------------------------


def outcome(main: Main, out: Path, *argv: object) -> Any:
    """What a run computed, not what it says of its options."""
    metrics = run_main(main, out, *argv)["metrics"]
    tree, _ = checkpoint.read(out / "checkpoint.h5")
    return metrics, bits(tree["params"]), tree["state"]["task"]["validations"]


def first_steps(
    main: Main, out: Path, preset: Mapping[str, Any], argv: Sequence[object], build: Any
) -> dict[str, Any]:
    """The first steps of a preset, and its test set, are those of the loop written out here.

    That one has the reference kernels and a thread, main() what there is; both have float64,
    because Adam turns a gradient that is 0 but for rounding into a step as long as any.

    Args:
        preset: its values.
        argv: --preset and its name, then flags with values.
        build: build(**options) -> Task.

    Returns:
        The summary.
    """
    auto = ["--kernels", "auto", "--threads", most_threads(), "--log_every", 1, "--max_steps", 3]
    summary = run_main(main, out, *argv, *auto, "--dtype", "float64")
    names = [str(flag).removeprefix("--") for flag in argv[2::2]]
    options = {**preset, **dict(zip(names, argv[3::2], strict=True))}
    kept = options.keys() - {"kernels", "threads"}
    assert {name: summary["options"][name] for name in kept} == {x: options[x] for x in kept}
    task = build(**options, device="cpu", dtype="float64")
    with limited_threads(1), use_kernels("reference"):
        losses = [step_by_hand(task, step) for step in (1, 2, 3)]
        task.model.eval()
        with no_grad():
            metrics = task.evaluate()
    task.close()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert [line["loss"] for line in lines] == pytest.approx(losses, rel=1e-8)
    assert len(set(losses)) == 3, "each step changes the loss"
    assert summary["metrics"] == pytest.approx(metrics, rel=1e-8)
    return summary


def step_by_hand(task: Task, step: int) -> float:
    o: Any = task.options
    task.optimizer.zero_grad()
    loss = task.loss()
    loss.backward()
    dps = [p.grad for p in task.model.parameters() if p.grad is not None]
    for dp in dps:
        if o.clip_value:
            dp[...] = np.sign(dp) * np.minimum(np.abs(dp), o.clip_value)
    norm = math.sqrt(sum((dp.astype(np.float64) ** 2).sum() for dp in dps))
    for dp in dps:
        if o.clip_norm and norm > o.clip_norm:
            dp *= o.clip_norm / norm
    task.optimizer.step()
    task.model.constrain()
    value = float(loss.item())
    task.observe(step, value)
    return value


def resumed(main: Main, place: Path, argv: Sequence[object], stop: int, end: int) -> Any:
    """A run that stops in its first epoch, and goes on, ends with the bits of one that does not.

    Returns:
        What the runs left.
    """
    run_main(main, place / "whole", *argv, "--max_steps", end)
    run_main(main, place / "parts", *argv, "--max_steps", stop)
    assert checkpoint.read(place / "parts" / "checkpoint.h5")[1]["epoch"] == 0
    run_main(main, place / "parts", *argv, "--max_steps", end, "--resume")
    whole = remains(place / "whole")
    assert remains(place / "parts") == whole
    best = [checkpoint.read(place / name / "best.h5") for name in ("parts", "whole")]
    assert bits(best[0][0]) == bits(best[1][0])
    assert best[0][1]["metric"] == best[1][1]["metric"]
    return whole


def evaluation(main: Main, run: Path, argv: Sequence[object], trained: Mapping[str, float]) -> None:
    """The best weights of a run give the metrics of its test set again, whatever the seed."""
    file = ["--eval", "--load_weight", run / "best.h5"]
    for seed in (0, 5):
        metrics = run_main(main, run / f"eval{seed}", *argv, *file, "--seed", seed)["metrics"]
        assert metrics == {name: trained[name] for name in metrics}
        assert {name for name in trained if name.startswith("test_")} <= metrics.keys()


def smoke(
    main: Main,
    place: Path,
    argv: Sequence[object],
    left: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[list[str], Path, dict[str, Any]]:
    """--smoke is a whole run, twice, in a folder of its own, with these files beside LEFT.

    Returns:
        What it printed, its folder and its summary.
    """
    monkeypatch.chdir(place)
    for _ in range(2):  # its folder may be used again
        assert main(["--smoke", "--threads", "1", *map(str, argv)]) == 0
    (out,) = (place / "runs").glob("*/smoke")
    assert out.parent.name == Path(main.__code__.co_filename).stem
    assert {path.name for path in out.iterdir() if "prev" not in path.name} == LEFT | left
    summary = json.loads((out / "summary.json").read_text())
    return capsys.readouterr().out.splitlines(), out, summary


def data_wait(
    main: Main, place: Path, argv: Sequence[object], source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """data_wait is 0 where batches are always there, and most of the time with a slow reader."""
    draw_of_source, draw = source.draw, Prefetch.draw

    def slow(self: Any) -> Any:
        time.sleep(0.1)
        return draw_of_source(self)

    def is_there(self: Any) -> Any:
        self._worker = self._worker or _Worker(self, self.batches, self.depth)
        while self._worker.filled.empty():
            time.sleep(0.001)
        return draw(self)

    with monkeypatch.context() as patch:
        patch.setattr(Prefetch, "draw", is_there)
        assert run_main(main, place / "fast", *argv, "--max_steps", 3)["data_wait"] == 0
    with monkeypatch.context() as patch:
        patch.setattr(source, "draw", slow)
        summary = run_main(main, place / "slow", *argv, "--max_steps", 3)
    position = checkpoint.read(place / "slow" / "checkpoint.h5")[0]["state"]["position"]
    assert 0.05 < position["waited"] < position["seconds"]
    share = position["waited"] / position["seconds"]
    assert summary["data_wait"] == pytest.approx(share, abs=1e-5)
