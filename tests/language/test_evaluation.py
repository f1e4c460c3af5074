"""nnseq.language.evaluation: nats of a text against formulas written out here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.backend import use_kernels
from nnseq.language.dynamic_evaluation import grid
from nnseq.language.task import Text
from nnseq.options import OptionError
from nnseq.tensor import no_grad
from tests.language.tasks import CHARACTERS, WORDS, build, log_p, steps
from tests.language_runs import write_texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with use_kernels("reference"):  # nothing to compile
        yield write_texts(tmp_path_factory.mktemp("texts"))


def test_streams_are_evaluated_with_the_state_carried_to_their_end(folder: Path) -> None:
    """Here every stream goes through the model in one piece, and alone."""
    task = build(folder, batching="streams", dtype="float64", zoneout_c=0.5)
    ids = task.corpus.valid[:242]  # 241 targets: 4 streams of 60, and one that remains
    task.model.eval()
    total = 0.0
    with no_grad():
        for first, last in ((0, 60), (60, 120), (120, 180), (180, 240), (240, 241)):
            a, _ = task.model(ids[first:last, None])
            total -= log_p(a)[np.arange(last - first), 0, ids[first + 1 : last + 1]].sum()
    task.model.train()
    assert task.evaluation.nats(ids, 4) == pytest.approx(total / 241, rel=1e-12)
    assert task.model.is_training


def test_chunks_are_evaluated_from_the_state_that_they_begin_with(folder: Path) -> None:
    task = build(folder, dtype="float64", lr=0.1)
    steps(task, 2)  # the learned state is no longer zero
    ids = task.corpus.valid[:242]
    task.model.eval()
    total, chunks = 0.0, 0
    with no_grad():
        for stream in (0, 60, 120, 180, 240):
            for first in range(stream, min(stream + 60, 241), 6):  # as in training, 7 - 1 steps
                last = min(first + 6, stream + 60, 241)
                a, _ = task.model(ids[first:last, None])
                total -= log_p(a)[np.arange(last - first), 0, ids[first + 1 : last + 1]].sum()
                chunks += 1
    task.close()
    assert chunks == 41
    assert task.evaluation.nats(ids, 4) == pytest.approx(total / 241, rel=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        {"model": "indrnn_plain", "U_bound": 0.99},
        {"model": "lstm", "batching": "streams", "test_batch_size": 1},
    ],
)
def test_the_test_set_may_be_one_column_which_is_the_default_of_indrnn(
    folder: Path, values: dict[str, Any]
) -> None:
    """In one column no token stands alone: all of the text goes through the model in one piece."""
    task = build(folder, dtype="float64", **values)
    ids = task.corpus.test
    metrics = task.evaluate()
    task.model.eval()
    with no_grad():
        a, _ = task.model(ids[:-1, None])
    expected = -log_p(a)[np.arange(len(ids) - 1), 0, ids[1:]].mean()
    assert metrics["test_loss"] == pytest.approx(expected, rel=1e-12)
    assert metrics["test_loss"] != pytest.approx(task.evaluation.nats(ids, 4), rel=1e-10)
    valid = task.evaluation.nats(task.corpus.valid, 4)
    assert metrics["valid_bpc"] == pytest.approx(valid / math.log(2))


@pytest.mark.parametrize("text", [CHARACTERS, WORDS])
def test_bits_and_perplexity_are_of_the_mean_over_all_targets(folder: Path, text: Text) -> None:
    task = build(folder, text)
    metrics = task.evaluate()
    nats = task.evaluation.nats(task.corpus.test, 4)
    if text.is_of_words:
        assert set(metrics) == {"valid_ppl", "test_ppl", "test_loss"}
        assert metrics["test_ppl"] == pytest.approx(math.e**nats)
    else:
        assert set(metrics) == {"valid_bpc", "test_bpc", "test_loss"}
        assert metrics["test_bpc"] == pytest.approx(nats / 0.6931471805599453)
    assert metrics["test_loss"] == nats
    assert nats == pytest.approx(math.log(len(task.corpus.vocabulary)), rel=0.05)


def test_an_evaluation_draws_no_masks_and_leaves_the_carried_state(folder: Path) -> None:
    random = {"zoneout_c": 0.5, "zoneout_h": 0.5, "p_head": 0.5}
    task = build(folder, batching="streams", reset_every=0, **random)
    steps(task, 2)
    rng, states = task.rngs["masks"].bit_generator.state, task.states
    assert task.evaluate() == task.evaluate()
    assert task.rngs["masks"].bit_generator.state == rng
    assert task.states is states
    assert task.start == 14
    task.close()


def test_the_model_trains_on_after_an_evaluation_that_failed(folder: Path) -> None:
    task = build(folder)
    task.evaluation.windows = lambda ids, B: iter([None])
    with pytest.raises(AttributeError):
        task.evaluate()
    assert all(module.is_training for _, module in task.model.named_modules())


def test_dynamic_evaluation_is_reported_beside_the_static_one(folder: Path) -> None:
    task = build(folder, WORDS, batching="streams", lr=0.01, dynamic_eval=True, dynamic_lr=5e-3)
    steps(task, 20)
    before = task.model.state_dict()
    metrics = task.evaluate()
    assert {"valid_ppl_dynamic", "test_ppl_dynamic"} < set(metrics)
    assert metrics["test_ppl_dynamic"] < metrics["test_ppl"]
    after = task.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    task.close()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dynamic_lr": 1e38}, "--dynamic_lr 1e+38: the parameters diverged on valid; lower it"),
        (
            {"dynamic_grid": True},
            "--dynamic_grid: grid: the parameters diverged at all of 2 points",
        ),
    ],
)
def test_a_dynamic_evaluation_that_diverges_is_told_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], said: str
) -> None:
    few = partial(grid, lrs=(1e37, 1e38), decays=(0.001,))
    monkeypatch.setattr("nnseq.language.evaluation.grid", few)
    task = build(folder, WORDS, batching="streams", dynamic_eval=True, **values)
    with pytest.raises(OptionError, match=r"\A[^\n]*\Z") as refused:
        task.evaluate()
    assert said in str(refused.value)
    task.close()
