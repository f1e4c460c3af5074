"""Every option of the language models changes what a short run comes to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nnseq.backend import use_kernels
from nnseq.language.dynamic_evaluation import grid
from nnseq.language.options import LanguageOptions
from nnseq.options import Options
from tests.language.tasks import WORDS, build, steps
from tests.language_runs import write_texts

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
    "eval_batch_size": (STREAMS | {"test_batch_size": 4}, 5),
    "test_batch_size": (STREAMS, 5),
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with use_kernels("reference"):  # nothing to compile
        yield write_texts(tmp_path_factory.mktemp("texts"))


def fingerprint(folder: Path, number: int = 3, **values: Any) -> list[Any]:
    """What a short run comes to: losses, validations, lr, metrics."""
    task = build(folder, WORDS, **{"lr": 0.01, **values})
    found: list[Any] = steps(task, number)
    found += [task.validations, task.optimizer.lr, task.is_finished, task.evaluate()]
    task.close()
    return found


def test_the_table_has_every_own_option() -> None:
    shared = {f.name for f in dataclasses.fields(Options)} - {"lr", "batch_size"}
    own = {f.name for f in dataclasses.fields(LanguageOptions)} - (shared - OUTSIDE)
    assert own == set(CHANGES) | OUTSIDE


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_changes_the_result(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(grid, lrs=(1e-3, 4e-3), decays=(0.001,))
    monkeypatch.setattr("nnseq.language.evaluation.grid", few)
    base, value = CHANGES[name]
    assert fingerprint(folder, **base) != fingerprint(folder, **{**base, name: value})
