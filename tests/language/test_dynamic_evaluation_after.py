"""Dynamic evaluation: the model while it adapts and afterwards, and the grid around it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from nnseq.data.batches import TextBatch
from nnseq.data.streams import windows
from nnseq.language.dynamic_evaluation import (
    GRID_DECAYS,
    GRID_LRS,
    GridPoint,
    dynamic_evaluation,
    gradient_rms,
    grid,
)
from nnseq.nn.module import Parameter
from tests.language.dynamic_models import Bigram, Recurrent, prepared, snapshot, text


def test_the_constraint_holds_at_every_window() -> None:
    free, bound = Recurrent(bound=np.inf), Recurrent()
    for model in (free, bound):
        rms = gradient_rms(model, windows(text(83), 3, 4))
        dynamic_evaluation(model, windows(text(60), 1, 5), rms, lr=0.05, decay=0.0)
    assert max(free.largest) > 1.0
    assert max(bound.largest) == 0.9


class BrokenError(Exception):
    pass


def breaking(ids: np.ndarray, at: int) -> Iterator[TextBatch]:
    for n, batch in enumerate(windows(ids, 1, 5)):
        if n == at:
            raise BrokenError
        yield batch


def test_afterwards_every_bit_is_as_it_was() -> None:
    model, rms = prepared()
    before, grads = snapshot(model), [x.grad for x in model.parameters()]
    arrays = [x.data for x in model.parameters()]
    dynamic_evaluation(model, windows(text(60), 1, 5), rms, lr=0.05, decay=0.01)
    gradient_rms(model, windows(text(60), 1, 5))
    with pytest.raises(BrokenError):
        dynamic_evaluation(model, breaking(text(60), 4), rms, lr=0.05, decay=0.01)
    with pytest.raises(BrokenError):
        gradient_rms(model, breaking(text(60), 4))
    assert dynamic_evaluation(model, windows(text(60), 1, 5), rms, lr=1e300, decay=0.0) == math.inf
    assert snapshot(model) == before
    assert all(x.grad is dx for x, dx in zip(model.parameters(), grads, strict=True))
    assert all(x.data is data for x, data in zip(model.parameters(), arrays, strict=True))
    assert (model.is_training, model.drop.is_training) == (True, False)


def test_parameters_that_are_frozen_or_not_reached_stay() -> None:
    model = Bigram()
    model.b.requires_grad = False
    model.unused = Parameter(np.ones(4))
    seen: list[bytes] = []

    def watching() -> Iterator[TextBatch]:
        for batch in windows(text(60), 1, 5):
            seen.append(model.b.data.tobytes() + model.unused.data.tobytes())
            yield batch

    rms = gradient_rms(model, windows(text(83), 3, 4))
    assert set(rms) == {"W", "unused"}
    assert not rms["unused"].any()
    dynamic_evaluation(model, watching(), rms, lr=0.05, decay=0.1)
    assert len(set(seen)) == 1


# ---- the grid ----------------------------------------------------------------------------------


def test_the_grid_tries_every_pair_from_the_trained_model_and_names_the_best() -> None:
    model, rms = prepared()
    before, calls = snapshot(model), []

    def valid() -> Iterator[TextBatch]:
        calls.append(snapshot(model))
        return windows(text(60, 4), 1, 10)

    found = grid(model, valid, rms, T=10, lrs=(0.001, 0.004, 1e300), decays=(0.0, 0.02), eps=1e-3)
    pairs = [(lr, decay) for decay in (0.0, 0.04) for lr in (0.002, 0.008, 2e300)]
    assert [(point.lr, point.decay) for point in found.table] == pairs  # × 10 / 5
    assert calls == [before] * 6
    assert snapshot(model) == before
    nats = [
        dynamic_evaluation(model, valid(), rms, lr=lr, decay=decay, eps=1e-3) for lr, decay in pairs
    ]
    assert [point.nats for point in found.table] == nats
    assert nats[2] == nats[5] == math.inf
    assert found.best == min(found.table, key=lambda point: point.nats)
    assert isinstance(found.best, GridPoint)


def test_the_grid_of_the_authors_is_the_default() -> None:
    model = Bigram()
    rms = gradient_rms(model, windows(text(60), 2, 5))
    found = grid(model, lambda: windows(text(12), 1, 5), rms, T=5)
    assert len(found.table) == len(GRID_LRS) * len(GRID_DECAYS) == 90
    assert (found.table[0].lr, found.table[0].decay) == (3e-7, 0.0005)
    assert (found.table[-1].lr, found.table[-1].decay) == (4e-6, 0.008)


def test_a_grid_that_diverges_everywhere_says_so() -> None:
    model, rms = prepared()
    with pytest.raises(
        ValueError, match=r"diverged at all of 1 points, the smallest lr was 1e\+30"
    ):
        grid(model, lambda: windows(text(60), 1, 5), rms, T=5, lrs=(1e300,), decays=(0.0,))
