"""nnseq.language.task: losses and recipe against formulas written out here."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.backend import use_kernels
from nnseq.data.corpus import EOS
from nnseq.data.files import DataError
from nnseq.language.options import LanguageOptions
from nnseq.language.task import LanguageTask, Text
from nnseq.options import OptionError
from nnseq.plots import Panel
from nnseq.task import DataNote
from nnseq.tensor import Tensor
from tests.language.tasks import CHARACTERS, MODELS, SMALL, WORDS, build, log_p, steps
from tests.language_runs import write_texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with use_kernels("reference"):  # nothing to compile
        yield write_texts(tmp_path_factory.mktemp("texts"))


# ---- the loss ------------------------------------------------------------------------------------


def test_the_state_is_carried_from_window_to_window(folder: Path) -> None:
    """Two windows of 7 are one of 14, whose second half the second loss is of."""
    same = {"batching": "streams", "dtype": "float64", "reset_every": 0}
    task, twice = build(folder, **same), build(folder, seq_len=14, **same)
    first, second = task.loss().item(), task.loss().item()
    batch = twice.batches.draw()
    a, _ = twice.model(batch.x)
    p = np.take_along_axis(log_p(a), batch.y[..., None], -1)
    assert first == pytest.approx(-p[:7].mean(), rel=1e-12)
    assert second == pytest.approx(-p[7:].mean(), rel=1e-12)
    task.close()
    twice.close()


def test_the_state_is_zero_in_every_chunk_and_after_a_reset(folder: Path) -> None:
    for values in ({"batching": "chunks"}, {"batching": "streams", "reset_every": 1}):
        task = build(folder, dtype="float64", **values)
        task.loss()
        state = task.batches.state_dict()
        loss = task.loss().item()
        task.batches.load_state_dict(state)
        batch = task.batches.draw()
        a, _ = task.model(batch.x)
        expected = -np.take_along_axis(log_p(a), batch.y[..., None], -1).mean()
        assert loss == pytest.approx(expected, rel=1e-12)
        task.close()


def test_the_steps_since_zero_are_told_to_batch_norm(folder: Path) -> None:
    """A window's statistics are kept at its own steps: 0 to 6, then 7 to 13, of 14."""
    task = build(folder, model="indrnn_plain", variable_len=False, reset_every=0, random_start=0)
    name = next(name for name, _ in task.model.named_buffers() if "mean" in name)
    seen = []
    for _ in range(2):
        task.loss()
        seen.append(np.abs(dict(task.model.named_buffers())[name]).max(axis=-1) > 0)
    assert seen[0].tolist() == [True] * 7 + [False] * 7
    assert seen[1].all()
    task.close()


@pytest.mark.parametrize("divisor", ["states", "differences"])
@pytest.mark.parametrize("of", ["h", "c"])
def test_the_norm_stabiliser_is_added(folder: Path, divisor: str, of: str) -> None:
    task = build(folder, dtype="float64", norm_coef=50.0, norm_divisor=divisor, norm_of=of)
    start = task.batches.state_dict()
    batch = task.batches.draw()
    task.batches.load_state_dict(start)
    a, _, hidden = task.model(batch.x, return_hidden=True)
    nats = -np.take_along_axis(log_p(a), batch.y[..., None], -1).mean()
    norms = np.sqrt((getattr(hidden, of).data ** 2).sum(axis=-1))  # (6, 3)
    number = {"states": 6, "differences": 5}[divisor]
    penalty = 50 * (np.diff(norms, axis=0) ** 2).sum(axis=0).mean() / number
    assert penalty > 1e-3
    assert task.loss().item() == pytest.approx(nats + penalty, rel=1e-12)
    task.close()


def test_weight_noise_moves_the_gradient_and_not_the_weights(folder: Path) -> None:
    """backward comes after the weights are put back, and yet is that at W + noise."""
    task = build(folder, dtype="float64", weight_noise=0.3)
    rng = np.random.default_rng()
    rng.bit_generator.state = task.rngs["masks"].bit_generator.state
    before = {name: x.data.copy() for name, x in task.model.named_parameters()}
    task.loss().backward()
    parameters = dict(task.model.named_parameters())
    assert all((x.data == before[name]).all() for name, x in parameters.items())
    found = {name: x.grad.copy() for name, x in parameters.items()}

    twin = build(folder, dtype="float64")
    for name, x in twin.model.named_parameters():
        if "W" in name:
            x.data += 0.3 * rng.standard_normal(x.shape)
    twin.loss().backward()
    for name, x in twin.model.named_parameters():
        assert np.abs(x.grad).max() > 0
        np.testing.assert_allclose(found[name], x.grad, rtol=0, atol=1e-12)
    task.close()
    twin.close()


# ---- the recipe ----------------------------------------------------------------------------------


def test_validation_is_at_the_end_of_epochs_and_every_so_many_steps(folder: Path) -> None:
    task = build(folder, batching="streams", seq_len=60, eval_every=4)
    ends = [k * task.steps_per_epoch for k in (1, 2)]
    columns = {}
    for step in range(1, ends[1] + 1):
        steps(task, 1, step)
        columns[step] = task.observe(step + 10**6, 0.0)  # asks, and evaluates no more
    seen = [step for step, _ in task.validations if step < 10**6]
    assert seen == sorted({*range(4, ends[1] + 1, 4), *ends})
    assert "valid_bpc" not in columns[1]
    assert columns[ends[1]]["epoch"] == 2
    assert columns[ends[1]]["valid_bpc"] == task.validations[-1][1] / math.log(2)
    assert task.epochs_done(ends[1]) == 2
    task.close()


def test_the_best_weights_are_kept_and_a_cut_goes_back_to_them(folder: Path) -> None:
    task = build(
        folder, batching="streams", lr=3.0, patience=1, lr_factor=0.5, min_lr=1.0, eval_every=1,
        optimizer="sgd", clip_norm=0.0,
    )  # fmt: skip
    nats = iter([2.0, 1.0, 1.5, 1.5, 1.5, 9.0, 9.0, 9.0, 9.0])
    task.evaluation.nats = lambda ids, B: next(nats)
    weights = []
    for step in range(1, 6):
        steps(task, 1, step)
        weights.append(task.model.state_dict())
    best = task.best_weights()
    assert (best.step, best.metric) == (2, 1.0)
    for name, x in best.state.items():
        assert (x == weights[1][name]).all()
        assert (x == weights[4][name]).all(), "after the cut"
        assert name.endswith("b") or (x != weights[3][name]).any()
    assert task.optimizer.lr == 1.5
    assert (task.states, task.start) == (None, 0)
    for step in range(6, 9):
        assert not task.is_finished
        steps(task, 1, step)
    assert task.is_finished, "0.75 would be below min_lr"
    task.close()


def test_lr_decay_divides_after_every_epoch_that_decay_after_leaves(folder: Path) -> None:
    task = build(folder, seq_len=100, lr_decay=2.0, decay_after=1, lr=0.08)
    lrs = []
    for epoch in range(3):
        steps(task, task.steps_per_epoch, 1 + epoch * task.steps_per_epoch)
        lrs.append(task.optimizer.lr)
    assert lrs == [0.08, 0.04, 0.02]
    task.close()


def test_batches_come_from_a_thread_that_close_ends(folder: Path) -> None:
    before = threading.active_count()
    task = build(folder)
    assert threading.active_count() == before, "no thread where nothing is trained"
    steps(task, 2)
    assert threading.active_count() == before + 1
    task.batches.waited = 100.0
    steps(task, 1)
    assert 100 <= task.waited == task.batches.waited
    task.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "the state is begun anew in every chunk, in evaluation too"),
        (
            {"dynamic_eval": True},
            "the state is begun anew in every chunk, in evaluation too, but carried through the "
            "whole text in dynamic evaluation",
        ),
        (
            {"dynamic_eval": True, "batching": "streams"},
            "the state is carried through every stream, in evaluation too",
        ),
    ],
)
def test_it_says_where_the_state_is_carried(
    folder: Path, values: dict[str, Any], said: str
) -> None:
    (line,) = build(folder, **values).describe()
    assert line.partition("; ")[2] == said


def test_a_sample_is_written_in_utf_8(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnseq.language.task.text_of", lambda corpus, ids: "naïve €")
    monkeypatch.setattr("io.text_encoding", lambda encoding, level=2: encoding or "ascii")
    build(folder, sample=3).leave(tmp_path)
    assert (tmp_path / "sample.txt").read_bytes() == "naïve €\n".encode()


def test_an_evaluation_needs_no_text_as_long_as_a_batch(folder: Path) -> None:
    task = build(folder, batch_size=10**6, eval=True, load_weight="x.h5")
    assert task.batches is None
    assert task.evaluate()["test_bpc"] > 0
    task.close()


# ---- built without text, and refused -------------------------------------------------------------


def test_without_text_the_model_has_the_size_of_the_real_vocabulary(folder: Path) -> None:
    options = LanguageOptions(max_steps=0, hidden_size=3, device="cpu")
    task = LanguageTask(options, CHARACTERS)
    assert task.model.num_parameters() == 4 * 3 * (50 + 3 + 1) + 2 * 3 + 50 * (3 + 1)
    assert (task.corpus, task.batches, task.data_note) == (None, None, DataNote())
    assert task.epochs_done(0) is None
    task.load_state_dict(task.state_dict())
    task.close()
    options = dataclasses.replace(options, data=str(folder))
    task = LanguageTask(dataclasses.replace(options, seq_len=9, batch_size=2), CHARACTERS)
    V = len(task.corpus.vocabulary)
    assert EOS in task.corpus.vocabulary.index
    assert task.model.num_parameters() == 4 * 3 * (V + 3 + 1) + 2 * 3 + V * (3 + 1)


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ({"data": None}, OptionError, "--data: nothing came, expected the folder with ptb.char."),
        ({"data": "/nowhere"}, DataError, "/nowhere"),
        ({"batch_size": 10**6}, OptionError, "lower B or T, or give a longer text"),
        ({"eval_batch_size": 10**6}, OptionError, "--seq_len or --eval_batch_size: windows: ids"),
        ({"test_batch_size": 10**6}, OptionError, "--seq_len or --test_batch_size: windows: ids"),
        (
            {"dynamic_eval": True, "dynamic_len": 10**4},
            OptionError,
            "--dynamic_len 10000 or --batch_size: windows: ids has N = ",
        ),
        (
            {"dynamic_eval": True, "dynamic_len": 700, "batch_size": 1},
            OptionError,
            "--dynamic_len 700: windows: ids has N = ",
        ),
    ],
)
def test_text_that_is_missing_or_too_short_is_refused(
    folder: Path, values: dict[str, Any], kind: type[Exception], said: str
) -> None:
    given = {"data": str(folder), "hidden_size": 3, **SMALL, **values}
    with pytest.raises(kind, match=r"\A[^\n]*\Z") as refused:
        LanguageTask(LanguageOptions(**given), CHARACTERS)
    assert said in str(refused.value)


def test_a_loss_is_a_tensor_of_one_number(folder: Path) -> None:
    for model in MODELS:
        task = build(folder, model=model)
        loss = task.loss()
        assert isinstance(loss, Tensor)
        assert loss.size == 1
        assert loss.item() == pytest.approx(math.log(len(task.corpus.vocabulary)), rel=0.1)
        task.close()


# ---- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "name"), [(CHARACTERS, "bpc"), (WORDS, "ppl")])
def test_the_validations_stand_beside_the_training_loss(
    folder: Path, text: Text, name: str
) -> None:
    loss = Panel("loss", "step", {"training loss": ([1, 2], [4.0, 3.0])})
    task = build(folder, text, eval_every=2)
    assert task.panels(loss) == [loss]
    steps(task, 4)
    first, beside = task.panels(loss)
    assert first == loss._replace(is_log=False)
    nats = [nats for _, nats in task.validations]
    measured = np.exp(nats) if name == "ppl" else np.array(nats) / math.log(2)
    ((label, (x, y)),) = beside.curves.items()
    assert (label, list(x), beside.is_log) == (f"validation {name}", [2, 4], name == "ppl")
    np.testing.assert_allclose(y, measured, rtol=1e-12)
    task.close()
