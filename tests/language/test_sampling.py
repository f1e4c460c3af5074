"""Sampling: the right distribution, and the state carried step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from nnseq.language.sampling import draw, sample
from nnseq.models import (
    IndRNNOptions,
    LanguageModel,
    PlainIndRNNBody,
    RecurrentBody,
    SequenceBody,
)
from nnseq.nn.dropout import Dropout
from nnseq.nn.initializers import Normal
from nnseq.nn.linear import Linear
from nnseq.nn.lstm import LSTM
from nnseq.nn.module import Module
from nnseq.nn.rnn import RNN
from nnseq.ops.indexing import embedding

A = np.array([0.5, -1.0, 2.0, -np.inf, 1.5, 0.0])


def softmax(a: np.ndarray) -> np.ndarray:
    e = np.exp(a - a.max())
    return e / e.sum()


class Text(Module):
    """A recurrent network over V symbols that notes how it is called."""

    def __init__(self, V: int = 7, H: int = 5) -> None:
        rng = np.random.default_rng(3)
        self.E = Linear(V, H, rng=rng, dtype=np.float64)
        self.rnn = RNN(H, H, rng=rng, dtype=np.float64)
        self.readout = Linear(H, V, rng=rng, dtype=np.float64)
        self.drop = Dropout(0.5)
        for x in self.parameters():
            x.data *= 2
        self.calls: list[tuple[int, int, bool]] = []
        self.logits: list[np.ndarray] = []

    def forward(self, ids: Any, states: Any = None, *, start: int = 0) -> Any:
        self.calls.append((len(ids), start, self.is_training or self.drop.is_training))
        y, h = self.rnn(self.drop(embedding(self.E.W, ids)), states)
        a = self.readout(y)
        assert not a.requires_grad
        self.logits.append(a.data[-1, 0])
        return a, h


# ---- the distribution --------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_softmax_at_a_temperature(temperature: float) -> None:
    rng, n = np.random.default_rng(0), 10_000
    counts = np.bincount([draw(A, temperature, rng) for _ in range(n)], minlength=len(A))
    p = softmax(A / temperature)
    assert counts[3] == 0
    there = p > 0
    assert stats.chisquare(counts[there], n * p[there]).pvalue > 0.01
    for other in (0.8 * temperature, 1.25 * temperature):  # the test can tell
        wrong = softmax(A / other)
        assert stats.chisquare(counts[there], n * wrong[there]).pvalue < 0.01


def test_temperature_0_is_the_first_of_the_likeliest_and_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert draw(np.array([1.0, 3.0, 3.0, 2.0]), 0.0, rng) == 1
    assert rng.bit_generator.state == state
    assert {draw(A, 1e-320, rng) for _ in range(50)} == {2}


def test_a_large_temperature_is_uniform_over_what_can_come() -> None:
    rng, n = np.random.default_rng(1), 10_000
    counts = np.bincount([draw(A.astype(np.float32), 1e6, rng) for _ in range(n)])
    assert stats.chisquare(counts[[0, 1, 2, 4, 5]]).pvalue > 0.01


class Highest:
    """A generator at one end of its range."""

    def __init__(self, u: float) -> None:
        self.u = u

    def random(self) -> float:
        return self.u


@pytest.mark.parametrize(("u", "symbol"), [(0.0, 1), (np.nextafter(1, 0), 4)])
def test_at_the_ends_no_impossible_symbol_is_drawn(u: float, symbol: int) -> None:
    a = np.array([-np.inf, 0.1, 0.3, 0.2, 0.7, -np.inf])
    assert draw(a, 1.0, Highest(u)) == symbol


# ---- the model ---------------------------------------------------------------------------------


def test_step_by_step_the_logits_are_those_of_the_whole_sequence() -> None:
    model, prompt = Text(), np.array([3, 1, 4])
    drawn = sample(model, 9, prompt=prompt, rng=np.random.default_rng(2))
    assert (drawn.shape, drawn.dtype) == ((9,), np.int32)
    stepwise = list(model.logits)
    whole = np.concatenate([prompt, drawn])
    logits = model_logits(model, whole)
    np.testing.assert_allclose(np.array(stepwise), logits[2:-1], rtol=1e-12, atol=1e-14)


def model_logits(model: Text, ids: np.ndarray) -> np.ndarray:
    """Logits of the whole text, as a loop in NumPy."""
    rnn = {name: x.data for name, x in model.rnn.named_parameters()}
    W_ih, W_hh, b = (
        next(v for k, v in rnn.items() if k.endswith(n)) for n in ("W_ih", "W_hh", "b")
    )
    h, rows = np.zeros(W_hh.shape[0]), []
    for k in ids:
        h = np.tanh(model.E.W.data[k] @ W_ih + h @ W_hh + b)
        rows.append(h @ model.readout.W.data + model.readout.b.data)
    return np.array(rows)


class Recording(Module):
    """A model, and the logits of the last step of every window that it was given."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.logits: list[np.ndarray] = []

    def forward(self, ids: Any, states: Any = None, **options: Any) -> Any:
        a, states = self.model(ids, states, **options)
        self.logits.append(a.data[-1, 0])
        return a, states


@pytest.mark.parametrize("kind", ["indrnn", "lstm"])
def test_a_language_model_gives_step_by_step_the_logits_of_the_whole_text(kind: str) -> None:
    rng, V = np.random.default_rng(6), 5
    if kind == "indrnn":  # batch norm has statistics of every step, so start must be right
        options = IndRNNOptions(20, bn="before", bn_steps=9, dtype=np.float64)
        body: SequenceBody = PlainIndRNNBody(4, 6, 2, options, rng=rng, p_drop=0.3)
        tied: dict[str, Any] = {"embed_size": 4, "tied": True, "head": "indrnn"}
        model = LanguageModel(V, body, rng=rng, embed_init=Normal(0.5), **tied)
        for n in range(3):
            model(rng.integers(0, V, (12, 8)), rng=rng, start=2 * n)
    else:
        body = RecurrentBody(LSTM(V, 6, rng=rng, zoneout_h=0.1, zoneout_c=0.4, dtype=np.float64))
        model = LanguageModel(V, body, rng=rng)
    recording, prompt = Recording(model), [1, 4, 2, 0]
    drawn = sample(recording, 15, prompt=prompt, rng=rng)
    assert model.is_training
    model.eval()
    whole, _ = model(np.array([*prompt, *drawn])[:, None])
    np.testing.assert_allclose(recording.logits, whole.data[3:-1, 0], rtol=1e-10, atol=1e-13)
    assert len(set(map(float, whole.data[:, 0, 0]))) == 19


def test_the_prompt_is_one_window_and_start_counts_the_steps_before() -> None:
    model = Text()
    model.drop.eval()
    sample(model, 4, prompt=[1, 2, 3], rng=np.random.default_rng(0))
    assert model.calls == [(3, 0, False), (1, 3, False), (1, 4, False), (1, 5, False)]
    assert (model.is_training, model.readout.is_training, model.drop.is_training) == (
        True,
        True,
        False,
    )


def test_a_seed_repeats_its_text_and_temperature_0_needs_none() -> None:
    model = Text()

    def drawn(seed: int, temperature: float) -> list[int]:
        rng = np.random.default_rng(seed)
        return sample(model, 30, prompt=[0], temperature=temperature, rng=rng).tolist()

    assert drawn(1, 1.0) == drawn(1, 1.0) != drawn(2, 1.0)
    assert drawn(1, 0.0) == drawn(2, 0.0)
    model.logits.clear()
    assert drawn(1, 0.0) == [int(a.argmax()) for a in model.logits]


def test_one_symbol_after_a_prompt_follows_the_softmax_of_the_model() -> None:
    model, rng, n = Text(), np.random.default_rng(4), 1_000
    drawn = [sample(model, 1, prompt=[5, 2], temperature=0.7, rng=rng)[0] for _ in range(n)]
    p = softmax(model_logits(model, np.array([5, 2]))[-1] / 0.7)
    assert stats.chisquare(np.bincount(drawn, minlength=7), n * p).pvalue > 0.01


def test_length_0_is_empty() -> None:
    assert sample(Text(), 0, prompt=[0], rng=np.random.default_rng(0)).shape == (0,)


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"prompt": []}, ValueError, r"prompt has shape \(0,\), expected \(P,\) with P > 0; give"),
        ({"prompt": [[1]]}, ValueError, r"prompt has shape \(1, 1\)"),
        ({"prompt": [1.0]}, TypeError, "prompt has dtype float64, expected integers"),
        ({"prompt": [9]}, ValueError, "9"),
        ({"length": -1}, ValueError, "length is -1, expected at least 0"),
        ({"temperature": -0.1}, ValueError, "sample: temperature is -0.1, expected a finite"),
        ({"temperature": np.nan}, ValueError, "temperature is nan"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    model, settings = Text(), {"length": 3, "prompt": [1], "temperature": 1.0}
    with pytest.raises(error, match=message):
        sample(model, **(settings | changes), rng=np.random.default_rng(0))
    assert model.is_training


@pytest.mark.parametrize("worst", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(worst: float) -> None:
    model = Text()
    model.readout.b.data[2] = worst
    with pytest.raises(
        ValueError, match=r"draw: the largest logit is (nan|inf), expected a finite"
    ):
        sample(model, 3, prompt=[0], rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="the largest logit is -inf"):
        draw(np.full(3, -np.inf), 1.0, np.random.default_rng(0))
