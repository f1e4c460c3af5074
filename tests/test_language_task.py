"""nnseq.language_task: losses, evaluation and recipe against formulas written out here."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.backend import use_kernels
from nnseq.data.corpus import EOS
from nnseq.data.files import DataError
from nnseq.data.penn_treebank import ptb_chars, ptb_words
from nnseq.dynamic_evaluation import grid
from nnseq.language_options import LanguageOptions
from nnseq.language_task import LanguageTask, Text
from nnseq.options import OptionError, Options
from nnseq.tensor import Tensor, no_grad
from tests.language_runs import write_texts

CHARACTERS = Text("made-up characters", "ptb", "ptb.char.train.txt", 50, ptb_chars)
WORDS = Text("made-up words", "ptb", "ptb.train.txt", 10_000, ptb_words, is_of_words=True)
SMALL: dict[str, Any] = {"seq_len": 7, "batch_size": 3, "eval_batch_size": 4, "device": "cpu"}
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"hidden_size": 8},
    "gru": {"hidden_size": 8},
    "srnn": {"hidden_size": 8},
    "indrnn_plain": {"hidden_size": 8, "num_layers": 2, "embed_size": 6},
    "indrnn_residual": {"hidden_size": 8, "num_blocks": 1, "embed_size": 6},
    "indrnn_dense": {"growth_rate": 3, "block_config": "2,1", "embed_size": 6},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(autouse=True)
def slow_but_ready() -> Iterator[None]:
    with use_kernels("reference"):  # nothing to compile
        yield


def build(folder: Path, text: Text = CHARACTERS, **values: Any) -> LanguageTask:
    model = values.setdefault("model", "lstm")
    return LanguageTask(
        LanguageOptions(data=str(folder), **{**SMALL, **MODELS[model], **values}), text
    )


def steps(task: LanguageTask, number: int, first: int = 1) -> list[float]:
    """So many steps as nnseq.train does them; returns the losses."""
    losses = []
    for step in range(first, first + number):
        task.optimizer.zero_grad()
        loss = task.loss()
        loss.backward()
        task.optimizer.step()
        task.model.constrain()
        losses.append(loss.item())
        task.observe(step, losses[-1])
    return losses


def log_p(a: Any) -> np.ndarray:
    a = a.data.astype(np.float64)
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


# ---- evaluation ----------------------------------------------------------------------------------


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
    assert task.nats(ids) == pytest.approx(total / 241, rel=1e-12)
    assert task.model.is_training


def test_chunks_are_evaluated_from_the_zero_state(folder: Path) -> None:
    task = build(folder, dtype="float64")
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
    assert chunks == 41
    assert task.nats(ids) == pytest.approx(total / 241, rel=1e-12)


@pytest.mark.parametrize("text", [CHARACTERS, WORDS])
def test_bits_and_perplexity_are_of_the_mean_over_all_targets(folder: Path, text: Text) -> None:
    task = build(folder, text)
    metrics = task.evaluate()
    nats = task.nats(task.corpus.test)
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
    monkeypatch.setattr("nnseq.language_task.grid", few)
    task = build(folder, WORDS, batching="streams", dynamic_eval=True, **values)
    with pytest.raises(OptionError, match=r"\A[^\n]*\Z") as refused:
        task.evaluate()
    assert said in str(refused.value)
    task.close()


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
    task.nats = iter([2.0, 1.0, 1.5, 1.5, 1.5, 9.0, 9.0, 9.0, 9.0]).__next__
    task.nats = lambda ids, nats=task.nats: nats()
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
    assert task.waited > 0
    assert task.waited == task.batches.waited
    task.close()
    assert threading.active_count() == before


# ---- every option of its own ---------------------------------------------------------------------

STREAMS: dict[str, Any] = {"batching": "streams"}
STATIC: dict[str, Any] = {"zoneout_c": 0.5, "zoneout_h": 0.3}
CUTS: dict[str, Any] = {"patience": 1, "eval_every": 1, "lr": 0.5, "number": 6}
PLAIN: dict[str, Any] = {"model": "indrnn_plain"}
DENSE: dict[str, Any] = {"model": "indrnn_dense"}
EMBEDDED: dict[str, Any] = {"embed_size": 8}
DYNAMIC: dict[str, Any] = {"dynamic_eval": True, "dynamic_lr": 0.01}
CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "model": ({}, "gru"),
    "hidden_size": ({}, 9),
    "num_layers": ({}, 2),
    "num_blocks": ({"model": "indrnn_residual"}, 2),
    "growth_rate": (DENSE, 4),
    "block_config": (DENSE, "1,1"),
    "embed_size": ({}, 5),
    "tied": (EMBEDDED, True),
    "p_embedding": (EMBEDDED, 0.5),
    "p_words": (EMBEDDED, 0.5),
    "p_head": ({}, 0.5),
    "p_drop": ({"num_layers": 2}, 0.5),
    "p_drop_last": (PLAIN, 0.5),
    "p_drop_inner": (DENSE, 0.5),
    "p_drop_transition": (DENSE, 0.1),
    "bn": (PLAIN, "after"),
    "MAG": (PLAIN, 1.1),
    "act": (PLAIN, "tanh"),
    "U_bound": (PLAIN, 0.5),
    "u_lr": (PLAIN, 0.1),
    "small_norm_init": (PLAIN, True),
    "zoneout_h": ({}, 0.5),
    "zoneout_c": ({}, 0.5),
    "zoneout_masks": (STATIC, "static"),
    "p_drop_igate": ({}, 0.5),
    "ogate_zoneout": ({"p_drop_igate": 0.5}, True),
    "weight_noise": ({}, 0.1),
    "norm_coef": ({}, 50.0),
    "norm_divisor": ({"norm_coef": 50.0}, "differences"),
    "norm_of": ({"norm_coef": 50.0}, "c"),
    "init": ({}, "glorot"),
    "init_width": ({"init": "uniform"}, 0.5),
    "forget_bias": ({}, 0.0),
    "learn_states": ({}, False),
    "batching": ({}, "streams"),
    "seq_len": ({}, 8),
    "batch_size": ({}, 4),
    "variable_len": (STREAMS, True),
    "reset_every": (STREAMS, 1),
    "random_start": (STREAMS, 3),
    "augment": ({}, False),
    "eval_batch_size": (STREAMS, 5),
    "optimizer": ({}, "rmsprop"),
    "momentum": ({"optimizer": "sgd"}, 0.9),
    "lr": ({}, 0.1),
    "weight_decay": ({}, 0.1),
    "bn_decay": (PLAIN | {"weight_decay": 0.1}, True),
    "patience": (CUTS, 2),
    "lr_factor": (CUTS, 0.5),
    "min_lr": (CUTS, 0.3),
    "lr_decay": ({"seq_len": 30, "number": 12}, 2.0),
    "decay_after": ({"seq_len": 30, "number": 12, "lr_decay": 2.0}, 1),
    "eval_every": ({}, 2),
    "dynamic_eval": (STREAMS, True),
    "dynamic_grid": (STREAMS | {"dynamic_eval": True}, True),
    "dynamic_len": (DYNAMIC, 5),
    "dynamic_lr": (DYNAMIC, 0.02),
    "dynamic_decay": (DYNAMIC, 0.5),
}
# In train.py, or of files alone; test_char_ptb.py changes them.
OUTSIDE = {"data", "epochs", "clip_norm", "clip_value", "sample", "temperature"}


def fingerprint(folder: Path, number: int = 3, **values: Any) -> list[Any]:
    """What a short run comes to: losses, validations, lr, metrics."""
    task = build(folder, WORDS, **{"lr": 0.01, **values})
    found: list[Any] = steps(task, number)
    found += [task.validations, task.optimizer.lr, task.is_finished, task.evaluate()]
    task.close()
    return found


def test_the_table_below_has_every_own_option() -> None:
    shared = {f.name for f in dataclasses.fields(Options)} - {"lr", "batch_size"}
    own = {f.name for f in dataclasses.fields(LanguageOptions)} - (shared - OUTSIDE)
    assert own == set(CHANGES) | OUTSIDE


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_changes_the_result(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(grid, lrs=(1e-3, 4e-3), decays=(0.001,))
    monkeypatch.setattr("nnseq.language_task.grid", few)
    base, value = CHANGES[name]
    assert fingerprint(folder, **base) != fingerprint(folder, **{**base, name: value})


# ---- built without text, and refused -------------------------------------------------------------


def test_without_text_the_model_has_the_size_of_the_real_vocabulary(folder: Path) -> None:
    options = LanguageOptions(max_steps=0, hidden_size=3, device="cpu")
    task = LanguageTask(options, CHARACTERS)
    assert task.model.num_parameters() == 4 * 3 * (50 + 3 + 1) + 2 * 3 + 50 * (3 + 1)
    assert (task.corpus, task.batches, task.data_note) == (None, None, "")
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
        ({"eval_batch_size": 10**6}, OptionError, "--eval_batch_size: windows: ids has N = "),
        (
            {"dynamic_eval": True, "dynamic_len": 10**4},
            OptionError,
            "--dynamic_len 10000 or --batch_size: windows: ids has N = ",
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
