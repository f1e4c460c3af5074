"""nnseq.train: the files of a run, and runs that continue bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.nn.linear import Linear
from nnseq.optim import Adam
from nnseq.runs.folder import RunFolder
from nnseq.task import streams
from nnseq.train import evaluate
from tests.line_task import Line, LineOptions, one_line, options_for, result, rows, train

# ---- the files of a run ------------------------------------------------------------------------


def test_a_run_writes_its_four_files_and_learns(tmp_path: Path) -> None:
    assert train(tmp_path, max_steps=200, lr=0.5) == 0
    present = {p.name for p in tmp_path.iterdir()} - {"checkpoint.prev.h5"}
    assert present == {"metrics.jsonl", "checkpoint.h5", "curve.png", "summary.json"}
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary) == {
        "experiment", "options", "params", "steps", "seconds", "metrics", "device", "kernels",
        "threads", "versions", "commit", "command",
    }  # fmt: skip
    assert (summary["experiment"], summary["params"], summary["steps"]) == ("line", 4, 200)
    assert (summary["device"], summary["threads"]) == ("cpu", 1)
    assert summary["options"]["lr"] == 0.5
    assert summary["metrics"]["test_mse"] < 1.0
    assert summary["versions"]["numpy"] == np.__version__
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_checkpoint_has_the_addresses_that_the_architecture_names(tmp_path: Path) -> None:
    train(tmp_path, epochs=100)
    tree, attributes = checkpoint.read(tmp_path / "checkpoint.h5")
    assert set(tree["params"]) == {"W", "b"}
    assert set(tree["optimizer"]) == {"m", "v", "numbers"}
    assert set(tree["rng"]) == {"data", "masks"}
    assert tree["state"]["task"] == {"steps_seen": 10}
    assert (attributes["step"], attributes["epoch"]) == (10, 2)
    assert attributes["options"]["noise"] == 0.1


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"max_steps": 10, "log_every": 3}, [1, 3, 6, 9, 10]),
        ({"max_steps": 1, "log_every": 3}, [1]),
        ({"max_steps": 6, "log_every": 3}, [1, 3, 6]),
        ({"max_steps": None, "epochs": 2, "log_every": 5}, [1, 5, 8]),
        ({"max_steps": 3, "epochs": 2, "log_every": 5}, [1, 3]),
    ],
)
def test_the_first_and_the_last_step_are_always_logged(
    tmp_path: Path, changes: dict[str, Any], steps: list[int]
) -> None:
    assert train(tmp_path, **changes) == 0
    assert [row["step"] for row in rows(tmp_path)] == steps
    assert set(rows(tmp_path)[0]) == {"step", "loss", "lr"}


def test_a_recipe_may_end_the_run_by_itself(tmp_path: Path) -> None:
    def end(task: Line) -> None:
        task.is_finished = True

    class Ending(Line):
        happens: ClassVar = {4: end}

    assert train(tmp_path, Ending, max_steps=None, epochs=None) == 0
    assert rows(tmp_path)[-1]["step"] == 4
    assert train(tmp_path, Line, max_steps=None, epochs=None, resume=True) == 0
    assert rows(tmp_path)[-1]["step"] == 4


def test_max_steps_0_builds_writes_the_summary_and_trains_nothing(tmp_path: Path) -> None:
    assert train(tmp_path, max_steps=0) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["steps"], summary["params"], summary["metrics"]) == (0, 4, {})


def test_the_first_line_says_what_runs_and_the_baseline_stands_beside_the_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("kernels: ")
    assert "device cpu, 1 threads, float32, 4 parameters" in lines[0]
    assert "step 1 " in lines[1]
    assert "(answering 0 5.2500)" in lines[1]
    assert lines[-1].startswith("test set: test_mse ")


def test_evaluation_is_in_eval_mode_and_training_goes_on_in_train_mode(tmp_path: Path) -> None:
    built: list[Line] = []

    def build(options: LineOptions) -> Line:
        built.append(Line(options))
        return built[-1]

    train(tmp_path, build)
    assert built[0].was_training == [False]
    assert built[0].model.is_training


def test_a_model_is_after_evaluation_and_after_its_failure_in_the_mode_of_before(
    tmp_path: Path,
) -> None:
    class Failing(Line):
        def leave(self, folder: Path) -> None:
            raise KeyError

    options = options_for(tmp_path)
    for is_training in (False, True):
        with RunFolder(options) as folder:
            task, failing = Line(options), Failing(options)
            for model in (task.model, failing.model):
                model.is_training = is_training
            evaluate(task, folder)
            with pytest.raises(KeyError):
                evaluate(failing, folder)
        assert (task.model.is_training, failing.model.is_training) == (is_training, is_training)


# ---- continuing --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", [1, 4, 6, 11])
def test_k_steps_and_the_rest_later_give_the_same_bits(tmp_path: Path, at: int, dtype: str) -> None:
    train(tmp_path / "whole", max_steps=12, dtype=dtype)
    train(tmp_path / "parts", max_steps=at, dtype=dtype)
    assert train(tmp_path / "parts", max_steps=12, dtype=dtype, resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_resume_cuts_metrics_back_to_the_checkpoint(tmp_path: Path) -> None:
    train(tmp_path / "whole", max_steps=12)
    train(tmp_path / "parts", max_steps=7)
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "loss": 1.0, "seconds": 1.0}\n{"step": 12, "lo')
    assert train(tmp_path / "parts", max_steps=12, resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_a_run_that_is_over_keeps_the_commit_and_the_command_that_trained_it(
    tmp_path: Path,
) -> None:
    def said() -> dict[str, Any]:
        summary = json.loads((tmp_path / "summary.json").read_text())
        return {name: summary[name] for name in ("commit", "command", "metrics")}

    train(tmp_path, max_steps=7)
    own = said()
    before = {"commit": "v1-3-gabc", "command": "line.py --max_steps 7", "metrics": {}}
    (tmp_path / "summary.json").write_text(json.dumps(before))
    assert train(tmp_path, max_steps=7, resume=True) == 0
    assert said() == before | {"metrics": own["metrics"]}
    assert train(tmp_path, max_steps=8, resume=True) == 0
    assert said() | {"metrics": own["metrics"]} == own


def test_resume_cuts_metrics_back_even_where_no_step_is_left(tmp_path: Path) -> None:
    train(tmp_path, max_steps=7)
    before = rows(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "loss": 1.0, "seconds": 1.0}\n{"step": 12, "lo')
    assert train(tmp_path, max_steps=5, resume=True) == 0
    assert rows(tmp_path) == before


def test_a_foreign_line_in_metrics_is_refused_and_nothing_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, max_steps=7)
    (tmp_path / "metrics.jsonl").write_text("hello\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert train(tmp_path, max_steps=12, resume=True) == 2
    assert "b'hello\\n' came, expected one JSON object with a step" in one_line(capsys)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resume_of_a_finished_run_rewrites_the_summary_and_nothing_else(tmp_path: Path) -> None:
    train(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name != "curve.png"}
    (tmp_path / "summary.json").unlink()
    assert train(tmp_path, resume=True) == 0
    again = json.loads((tmp_path / "summary.json").read_text())
    was = json.loads(before.pop("summary.json"))
    assert again["options"].pop("resume") is not was["options"].pop("resume")
    assert again == was
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_resume_may_change_what_is_not_mathematics(tmp_path: Path) -> None:
    train(tmp_path, max_steps=4)
    changes: dict[str, Any] = {"log_every": 2, "save_every": "3", "epochs": 50}
    assert train(tmp_path, max_steps=8, resume=True, **changes) == 0
    assert [row["step"] for row in rows(tmp_path)] == [1, 3, 6, 8]


def test_resume_with_other_mathematics_lists_every_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    before = result(tmp_path)
    capsys.readouterr()
    code = train(tmp_path, max_steps=20, resume=True, lr=0.1, batch_size=5, seed=3, dtype="float64")
    assert code == 2
    line = one_line(capsys)
    for name in ("lr", "batch_size", "seed", "dtype"):
        assert f"--{name} is " in line
    assert "--noise" not in line
    assert "max_steps" not in line
    assert result(tmp_path) == before


def test_a_folder_with_a_checkpoint_is_not_touched_without_being_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    before = result(tmp_path)
    capsys.readouterr()
    assert train(tmp_path, seed=1) == 2
    assert "--resume to continue it, --overwrite to discard it" in one_line(capsys)
    assert result(tmp_path) == before
    assert train(tmp_path, seed=1, overwrite=True) == 0
    assert result(tmp_path) != before


def test_overwrite_loses_nothing_when_the_new_run_cannot_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    before = result(tmp_path)
    capsys.readouterr()
    code = train(tmp_path, overwrite=True, load_weight=str(tmp_path / "missing.h5"))
    assert code == 1
    assert "no such file" in one_line(capsys)
    assert result(tmp_path) == before


def test_resume_without_a_checkpoint_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, resume=True) == 2
    assert "no checkpoint.h5 to continue from" in one_line(capsys)
    train(tmp_path, max_steps=10)
    capsys.readouterr()
    (tmp_path / "checkpoint.h5").unlink()
    assert train(tmp_path, resume=True) == 2
    assert "checkpoint.prev.h5" in one_line(capsys)
    assert train(tmp_path) == 2, "what is left of a run is not discarded in silence"


def test_resume_from_a_damaged_checkpoint_points_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "whole", max_steps=12, save_every="4")
    train(tmp_path / "parts", max_steps=8, save_every="4")
    path = tmp_path / "parts" / "checkpoint.h5"
    path.write_bytes(path.read_bytes()[:1000])
    capsys.readouterr()
    assert train(tmp_path / "parts", max_steps=12, save_every="4", resume=True) == 1
    assert "cp '" in one_line(capsys)
    path.write_bytes(checkpoint.previous_path(path).read_bytes())
    assert train(tmp_path / "parts", max_steps=12, save_every="4", resume=True) == 0
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_two_processes_cannot_write_in_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunFolder(options_for(tmp_path)):
        assert train(tmp_path) == 2
        assert "another run is writing there" in one_line(capsys)
    assert train(tmp_path) == 0


# ---- weights of another run ----------------------------------------------------------------------


def test_eval_scores_a_checkpoint_and_touches_nothing_but_the_summary(tmp_path: Path) -> None:
    train(tmp_path / "run")
    expected = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    before = (tmp_path / "run" / "checkpoint.h5").read_bytes()
    file = str(tmp_path / "run" / "checkpoint.h5")
    for out in ("elsewhere", "run"):
        assert train(tmp_path / out, eval=True, load_weight=file, seed=9) == 0
        summary = json.loads((tmp_path / out / "summary.json").read_text())
        assert (summary["metrics"], summary["steps"]) == (expected, 10)
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["summary.json"]
    assert (tmp_path / "run" / "checkpoint.h5").read_bytes() == before


def test_load_weight_starts_from_the_parameters_of_another_run(tmp_path: Path) -> None:
    train(tmp_path / "first")
    file = str(tmp_path / "first" / "checkpoint.h5")
    seen: list[np.ndarray] = []

    class Looking(Line):
        happens: ClassVar = {1: lambda task: seen.append(task.model.W.data.copy())}

    assert train(tmp_path / "second", Looking, load_weight=file, seed=7) == 0
    np.testing.assert_array_equal(seen[0], checkpoint.read(file)[0]["params"]["W"])
    assert rows(tmp_path / "second")[0]["step"] == 1


def test_weights_of_another_model_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wider(Line):
        def __init__(self, options: LineOptions) -> None:
            super().__init__(options)
            self.model = Linear(4, 1, rng=streams(0).init, b_init=None)
            self.optimizer = Adam(self.model.named_parameters(), options.lr)

    train(tmp_path / "run")
    capsys.readouterr()
    file = str(tmp_path / "run" / "checkpoint.h5")
    assert train(tmp_path / "x", Wider, load_weight=file) == 1
    line = one_line(capsys)
    assert "unexpected: b" in line
    assert "W is (3, 1), expected (4, 1)" in line
    assert train(tmp_path / "run", Wider, resume=True, max_steps=20) == 1
    assert "unexpected: b" in one_line(capsys)


def test_a_file_of_another_dtype_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    capsys.readouterr()
    file = str(tmp_path / "run" / "checkpoint.h5")
    assert train(tmp_path / "x", load_weight=file, dtype="float64") == 1
    assert "float32, expected float64" in one_line(capsys)


# ---- streams -------------------------------------------------------------------------------------


def test_streams_of_one_seed_are_independent_and_repeatable() -> None:
    first = [rng.random(4).tolist() for rng in streams(3)]
    assert first == [rng.random(4).tolist() for rng in streams(3)]
    values = [x for stream in first for x in stream] + streams(4).init.random(4).tolist()
    assert len(set(values)) == 16


def test_a_clip_bounds_what_the_optimiser_sees(tmp_path: Path) -> None:
    largest: dict[str, float] = {}

    def watching(name: str) -> type[Line]:
        class Watching(Line):
            def observe(self, step: int, loss: float) -> dict[str, float]:
                grads = np.concatenate([p.grad.ravel() for p in self.model.parameters()])
                measure = np.linalg.norm(grads) if name == "clip_norm" else np.abs(grads).max()
                largest[name] = max(largest.get(name, 0.0), float(measure))
                return super().observe(step, loss)

        return Watching

    for name in ("clip_norm", "clip_value"):
        assert train(tmp_path / name, watching(name), **{name: 1e-3}) == 0
        assert largest[name] == pytest.approx(1e-3, rel=1e-5)
