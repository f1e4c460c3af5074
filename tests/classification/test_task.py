"""nnseq.classification.task: losses, evaluation and recipe against formulas written out here."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.classification.files import build_examples
from nnseq.classification.options import ClassificationOptions
from nnseq.classification.task import ClassificationTask
from nnseq.data.examples import Labelled
from nnseq.indrnn_networks import INDRNN
from nnseq.nn.module import Module, Parameter
from nnseq.options import option
from nnseq.task import DataNote, Task, streams
from nnseq.tensor import no_grad
from nnseq.train import run
from tests.language_runs import remains

D, CLASSES, N_TRAIN, N_TEST = 5, 3, 24, 10


@dataclass(frozen=True)
class ToyOptions(ClassificationOptions):
    model: str = option(INDRNN[0], "the network", choices=INDRNN)


class Average(Module):
    """Logits are a linear function of the average step; in training, some of it drops out."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.W = Parameter(rng.normal(size=(D, CLASSES)))

    def forward(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        average = x.mean(axis=0)
        if self.is_training:
            assert rng is not None
            average = average * (rng.random(average.shape) < 0.9)
        return average @ self.W


def labelled(
    N: int, seed: int, T: Callable[[np.random.Generator], int] = lambda rng: 4
) -> Labelled:
    """Examples with a class that can be seen, looked at through noise, in T steps."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, N)
    means = rng.normal(size=(N, D)) + 3 * np.eye(D)[labels]

    def look(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        steps = T(rng)
        return means[indices] + rng.normal(size=(steps, len(indices), D))

    return Labelled(labels, look)


class Toy(ClassificationTask):
    """Average on labelled examples."""

    looks: Mapping[str, Any] = {}
    train_set, test_set = labelled(N_TRAIN, 1), labelled(N_TEST, 2)

    def __init__(self, options: ToyOptions) -> None:
        init, data, masks = streams(options.seed)
        examples = build_examples(options, self.train_set, self.test_set, data, **self.looks)
        super().__init__(options, Average(init), examples, DataNote("toys.bin"), masks)


def options_for(**changes: Any) -> ToyOptions:
    chosen = {"batch_size": 4, "eval_batch_size": 3, "valid_share": 0.25, "lr": 0.01, "threads": 1}
    chosen |= {"dtype": "float64", "device": "cpu", "weight_decay": 0.0}
    return ToyOptions(**{**chosen, **changes})


def toy(kind: type[Toy] = Toy, **changes: Any) -> Toy:
    return kind(options_for(**changes))


def train(out: Path, kind: type[Task] | Callable[[Any], Task] = Toy, **changes: Any) -> int:
    return run("toy", options_for(out=str(out), log_every=2, **changes), kind)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def nats(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-ln p(class) of each row, from the definition of softmax."""
    return -np.log(np.exp(a)[np.arange(len(y)), y] / np.exp(a).sum(axis=-1))


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a run of a few steps."""
    for place in ("nnseq.classification.task.draw", "nnseq.plots.draw"):
        monkeypatch.setattr(place, lambda path, panels, columns=1: path.touch())


# ---- loss and evaluation -----------------------------------------------------------------------


def test_the_loss_is_the_mean_of_the_batch_and_train_acc_its_share_of_right_answers() -> None:
    task, other = toy(), toy()
    for step in (1, 2, 3):
        loss = task.loss()
        columns = task.observe(step, float(loss.item()))
        x, y = other.examples.train.draw()
        with no_grad():
            a = other.model(x, rng=other.rngs["masks"]).data
        assert float(loss.item()) == pytest.approx(nats(a, y).mean(), rel=1e-12)
        assert columns["train_acc"] == (a.argmax(axis=-1) == y).mean()
    task.close()
    other.close()


def scored(task: Toy, batches: list[tuple[np.ndarray, np.ndarray]], looks: int) -> tuple[Any, ...]:
    """Loss, accuracy and accuracy of single looks, sequence by sequence."""
    W = task.model.state_dict()["W"]
    losses, rights, of_looks = [], [], []
    for start in range(0, len(batches), looks):
        group = batches[start : start + looks]
        for b, y in enumerate(group[0][1]):
            a = [sum(x[:, b]) @ W / len(x) for x, _ in group]
            of_looks += [max(range(CLASSES), key=list(one).__getitem__) == y for one in a]
            total = sum(a)
            rights.append(max(range(CLASSES), key=list(total).__getitem__) == y)
            losses.append(nats(total[None] / looks, np.array([y]))[0])
    return math.fsum(losses) / len(losses), sum(rights) / len(rights), np.mean(of_looks)


def test_a_score_is_that_of_every_sequence_once_with_the_logits_of_its_looks_averaged() -> None:
    class Looking(Toy):
        looks: Mapping[str, Any] = {"test_looks": 3}
        test_set = labelled(N_TEST, 2, lambda rng: int(rng.integers(2, 6)))  # any length

    task, other = toy(Looking), toy(Looking)
    part = other.examples.test
    batches = [tuple(part.draw()) for _ in range(part.steps_per_epoch or 0)]
    assert len({len(x) for x, _ in batches}) > 1
    assert [len(y) for _, y in batches] == [3] * 9 + [1] * 3
    loss, accuracy, of_looks = scored(task, batches, 3)
    assert accuracy != of_looks
    found = task.evaluate()
    assert found["test_loss"] == pytest.approx(loss, rel=1e-12)
    assert found["test_acc"] == accuracy
    assert found["test_error"] == pytest.approx(1 - accuracy, rel=1e-12)
    assert found["test_acc_single"] == pytest.approx(of_looks, rel=1e-12)
    assert set(found) == {"test_loss", "test_acc", "test_error", "test_acc_single"}
    task.close()
    other.close()


def test_a_validation_takes_every_look_for_a_sequence_of_its_own() -> None:
    class Looking(Toy):
        looks: Mapping[str, Any] = {"valid_looks": 2}

    task, other = toy(Looking), toy(Looking)
    part = other.examples.valid
    batches = [tuple(part.draw()) for _ in range(part.steps_per_epoch or 0)]
    loss, accuracy, _ = scored(task, batches, 1)
    score = task.score(task.examples.valid)
    assert score.loss == pytest.approx(loss, rel=1e-12)
    assert (score.accuracy, score.of_looks) == (accuracy, accuracy)
    assert "test_acc_single" not in task.evaluate()
    task.close()
    other.close()


def test_evaluation_is_repeatable_draws_no_mask_and_leaves_the_mode_alone() -> None:
    task = toy()
    before = task.rngs["masks"].bit_generator.state
    assert task.evaluate() == task.evaluate()
    assert task.score(task.examples.valid) == task.score(task.examples.valid)
    assert task.rngs["masks"].bit_generator.state == before
    assert task.model.is_training
    task.model.eval()
    task.evaluate()
    assert not task.model.is_training
    task.close()


def test_the_test_crops_are_the_same_whatever_the_seed() -> None:
    class Looking(Toy):
        looks: Mapping[str, Any] = {"test_looks": 2}

    tasks = [toy(Looking, seed=seed) for seed in (0, 1)]
    tasks[1].model.load_state_dict(tasks[0].model.state_dict())
    found = [task.evaluate() for task in tasks]
    assert found[0] == found[1]
    assert tasks[0].score(tasks[0].examples.valid) != tasks[1].score(tasks[1].examples.valid)
    for task in tasks:
        task.close()


# ---- recipe ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pictures")
def test_validation_is_at_the_end_of_an_epoch_and_every_so_many_steps(tmp_path: Path) -> None:
    train(tmp_path / "epochs", max_steps=10)  # 18 to train on, 4 steps an epoch
    tree, _ = checkpoint.read(tmp_path / "epochs" / "checkpoint.h5")
    assert [row[0] for row in tree["state"]["task"]["validations"]] == [4, 8]
    train(tmp_path / "more", max_steps=10, eval_every=3)
    tree, attributes = checkpoint.read(tmp_path / "more" / "checkpoint.h5")
    assert [row[0] for row in tree["state"]["task"]["validations"]] == [3, 4, 6, 8, 9]
    assert attributes["epoch"] == 2
    seen = [row for row in rows(tmp_path / "more") if "valid_acc" in row]
    assert [row["step"] for row in seen] == [4, 6, 8, 10]
    assert [row["epoch"] for row in seen] == [1, 1, 2, 2]


def test_the_test_set_is_classified_with_the_best_weights(tmp_path: Path) -> None:
    assert train(tmp_path / "run", max_steps=30, eval_every=1, lr=3.0, patience=1000) == 0
    tree, _ = checkpoint.read(tmp_path / "run" / "checkpoint.h5")
    validations = tree["state"]["task"]["validations"]
    best = max(accuracy for _, _, accuracy in validations)
    first = next(row for row in validations if row[2] == best)
    assert first[0] < 30, "the last weights are not the best ones"
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert [metrics["valid_loss"], metrics["valid_acc"]] == first[1:]
    weights, attributes = checkpoint.read(tmp_path / "run" / "best.h5")
    assert attributes["step"] == first[0]
    task = toy()
    task.model.load_state_dict(weights["params"])
    expected = task.evaluate()
    task.close()
    assert {name: metrics[name] for name in expected} == expected
    file = str(tmp_path / "run" / "best.h5")
    assert train(tmp_path / "eval", eval=True, load_weight=file) == 0
    assert json.loads((tmp_path / "eval" / "summary.json").read_text())["metrics"] == expected
    left = {path.name for path in (tmp_path / "run").iterdir()} - {"checkpoint.prev.h5"}
    assert left - {"best.prev.h5"} == {
        "accuracy.png", "best.h5", "checkpoint.h5", "curve.png", "metrics.jsonl", "summary.json",
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "eval").iterdir()] == ["summary.json"]


@pytest.mark.usefixtures("no_pictures")
def test_patience_cuts_lr_returns_to_the_best_weights_and_ends_the_run(tmp_path: Path) -> None:
    given: dict[str, Any] = {"lr": 3.0, "patience": 1, "eval_every": 1, "log_every": 1}
    options = options_for(out=str(tmp_path), **given, lr_factor=0.5, min_lr=0.8)
    assert run("toy", options, Toy) == 0
    lrs = [row["lr"] for row in rows(tmp_path)]
    # A cut from 3.0 and one from 1.5; the third would pass 0.8 and ends the run instead. lr stands
    # in the line of the step that it was used in.
    assert list(dict.fromkeys(lrs)) == [3.0, 1.5]
    tree, attributes = checkpoint.read(tmp_path / "checkpoint.h5")
    assert tree["state"]["position"]["is_finished"]
    best, _ = checkpoint.read(tmp_path / "best.h5")
    assert (tree["params"]["W"] == best["params"]["W"]).all()
    assert attributes["step"] == len(lrs)


@pytest.mark.usefixtures("no_pictures")
def test_anneal_lets_lr_fall_in_a_line_and_ends_the_run_with_a_validation(tmp_path: Path) -> None:
    options = options_for(out=str(tmp_path), lr=0.5, anneal=6, log_every=1)
    assert run("toy", options, Toy) == 0
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6]
    expected = [0.5 * k / 6 for k in (6, 5, 4, 3, 2, 1)]
    assert [row["lr"] for row in found] == pytest.approx(expected, rel=1e-12)
    tree, _ = checkpoint.read(tmp_path / "checkpoint.h5")
    assert [row[0] for row in tree["state"]["task"]["validations"]] == [4, 6]


# ---- runs that continue ------------------------------------------------------------------------

RECIPES: dict[str, dict[str, Any]] = {
    "epochs": {},
    "validations": {"eval_every": 3, "lr": 0.5},
    "cuts": {"eval_every": 1, "lr": 3.0, "patience": 1, "lr_factor": 0.7},
    "anneal": {"anneal": 11, "optimizer": "rmsprop"},
}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("at", [1, 6, 8])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    tmp_path: Path, recipe: str, at: int
) -> None:
    class Looking(Toy):
        looks: Mapping[str, Any] = {"valid_looks": 2, "test_looks": 2}

    given = RECIPES[recipe]
    train(tmp_path / "whole", Looking, max_steps=12, **given)
    train(tmp_path / "parts", Looking, max_steps=at, **given)
    train(tmp_path / "parts", Looking, max_steps=12, resume=True, **given)
    assert remains(tmp_path / "parts") == remains(tmp_path / "whole")
    lrs = {row["lr"] for row in rows(tmp_path / "whole")}
    assert len(lrs) > 1 if recipe in ("cuts", "anneal") else len(lrs) == 1


@pytest.mark.usefixtures("no_pictures")
def test_a_finished_run_is_evaluated_again_without_training(tmp_path: Path) -> None:
    train(tmp_path, max_steps=5)
    before = remains(tmp_path)
    assert train(tmp_path, max_steps=5, resume=True) == 0
    assert remains(tmp_path) == before


# ---- examples ----------------------------------------------------------------------------------


def test_waiting_for_validation_batches_counts_too() -> None:
    given = labelled(N_TRAIN, 1)

    def slow(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        time.sleep(0.05)
        return given.look(indices, rng)

    class Slow(Toy):
        train_set = given._replace(look=slow)
        looks: Mapping[str, Any] = {"augmented": given.look}

    task = toy(Slow, eval_every=1)
    task.loss()
    before = task.waited
    task.observe(1, 0.0)
    assert task.waited > before + 0.03
    task.close()


def test_close_ends_every_thread() -> None:
    import threading

    before = set(threading.enumerate())
    task = toy()
    task.loss()
    task.evaluate()
    task.score(task.examples.valid)
    assert len(set(threading.enumerate()) - before) == 3
    task.close()
    assert set(threading.enumerate()) <= before


def test_without_examples_the_model_can_be_counted_and_nothing_else(tmp_path: Path) -> None:
    def build(options: ToyOptions) -> ClassificationTask:
        rng = np.random.default_rng(0)
        return ClassificationTask(options, Average(rng), None, DataNote(), rng)

    assert train(tmp_path, build, max_steps=0) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["params"], summary["steps"], summary["metrics"]) == (D * CLASSES, 0, {})
    assert "data" not in summary
    task = build(options_for(max_steps=0))
    assert task.describe() == ["nothing was read: --max_steps 0 neither trains nor evaluates"]
    with pytest.raises(AssertionError, match="neither trains nor evaluates"):
        task.loss()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"anneal": 1000}, "4 steps an epoch; lr falls from 0.01 to 0 in 1,000 steps"),
        ({"patience": 0}, "4 steps an epoch; lr stays 0.01"),
        ({"patience": 7}, "after 7 validations without progress it is multiplied by 0.1"),
    ],
)
def test_the_recipe_is_described(changes: dict[str, Any], said: str) -> None:
    task = toy(**changes)
    (line,) = task.describe()
    assert said in line
    task.close()


def test_a_state_of_other_examples_is_refused(tmp_path: Path) -> None:
    task, other = toy(), toy(batch_size=3)
    with pytest.raises(ValueError, match="Shuffled: the state is of B = 3, expected 4"):
        task.load_state_dict(other.state_dict())
    task.close()
    other.close()
