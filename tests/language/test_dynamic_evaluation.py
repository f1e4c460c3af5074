"""Dynamic evaluation against its formula in NumPy, and what it counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nnseq.data.batches import TextBatch
from nnseq.data.streams import windows
from nnseq.language.dynamic_evaluation import (
    dynamic_evaluation,
    gradient_rms,
)
from nnseq.models import IndRNNOptions, LanguageModel, PlainIndRNNBody, RecurrentBody
from nnseq.nn.initializers import Normal
from nnseq.nn.lstm import LSTM
from nnseq.ops.losses import cross_entropy
from nnseq.tensor import no_grad
from tests.language.dynamic_models import Bigram, H, Recurrent, V, snapshot, text

# ---- the formula -------------------------------------------------------------------------------


def softmax_gradients(
    W: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, clip: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum of nats, and the gradients of their mean, position by position."""
    nats, dW, db = 0.0, np.zeros_like(W), np.zeros_like(b)
    for i, k in zip(x.ravel(), y.ravel(), strict=True):
        p = np.exp(W[i] + b)
        p /= p.sum()
        nats -= math.log(p[k])
        p[k] -= 1
        dW[i] += p / x.size
        db += p / x.size
    return nats, np.clip(dW, -clip, clip), np.clip(db, -clip, clip)


def by_formula(
    model: Bigram,
    train: list[TextBatch],
    test: list[TextBatch],
    *,
    lr: float,
    decay: float,
    eps: float,
    clip: float,
) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Mean nats, R of W and of b, and the share of λ R / R̄ above 1."""
    W0, b0 = model.W.data.copy(), model.b.data.copy()
    squares = [softmax_gradients(W0, b0, x, y, clip)[1:] for x, y, _ in train]
    R_W = np.sqrt(np.mean([dW**2 for dW, _ in squares], axis=0))
    R_b = np.sqrt(np.mean([db**2 for _, db in squares], axis=0))
    mean = (R_W.mean() + R_b.mean()) / 2
    W, b, total, count = W0.copy(), b0.copy(), 0.0, 0
    back_W, back_b = (np.minimum(decay * R / mean, 1.0) for R in (R_W, R_b))
    for x, y, _ in test:
        nats, dW, db = softmax_gradients(W, b, x, y, clip)
        total, count = total + nats, count + y.size
        W = W - lr * dW / (R_W + eps) + back_W * (W0 - W)
        b = b - lr * db / (R_b + eps) + back_b * (b0 - b)
    return total / count, R_W, R_b, float((decay * R_W / mean > 1).mean())


@pytest.mark.parametrize(
    ("lr", "decay", "clip", "share"),
    [
        (0.02, 0.0, np.inf, 0),
        (0.0, 0.1, np.inf, 0),
        (0.05, 0.1, np.inf, 0),
        (0.05, 1.2, np.inf, 0.24),  # some ways back are cut at 1/λ
        (0.05, 0.1, 0.02, 0),
    ],
)
@pytest.mark.parametrize("B", [1, 2])
def test_is_the_formula_in_numpy(
    lr: float, decay: float, clip: float, share: float, B: int
) -> None:
    model = Bigram()
    train, test = list(windows(text(83), 3, 4)), list(windows(text(60, 1), B, 7))
    assert len({y.size for _, y, _ in test}) > 1, "a shorter last window"
    expected, R_W, R_b, clipped = by_formula(
        model, train, test, lr=lr, decay=decay, eps=0.003, clip=clip
    )
    assert clipped == share
    clip_value = 0.0 if clip == np.inf else clip
    rms = gradient_rms(model, iter(train), clip_value=clip_value)
    np.testing.assert_allclose(rms["W"], R_W, rtol=1e-12)
    np.testing.assert_allclose(rms["b"], R_b, rtol=1e-12)
    found = dynamic_evaluation(
        model, iter(test), rms, lr=lr, decay=decay, eps=0.003, clip_value=clip_value
    )
    assert found == pytest.approx(expected, rel=1e-12)
    if clip_value:
        assert max(np.abs(R_W).max(), np.abs(R_b).max()) == pytest.approx(clip)


def test_float32_stays_float32_and_agrees_with_float64() -> None:
    found = {}
    for dtype in (np.float32, np.float64):
        model = Bigram(dtype)
        rms = gradient_rms(model, windows(text(83), 3, 4))
        assert {x.dtype for x in rms.values()} == {np.dtype(dtype)}
        found[dtype] = dynamic_evaluation(model, windows(text(60), 1, 7), rms, lr=0.05, decay=0.1)
    assert found[np.float32] == pytest.approx(found[np.float64], rel=1e-5)


# ---- what is counted ---------------------------------------------------------------------------


def static(model: Recurrent, ids: np.ndarray) -> float:
    """Mean nats of the whole text in one pass, in NumPy."""
    h, nats = np.zeros(H), 0.0
    for x, y in pairwise(ids):
        h = model.u.data * h + model.E.data[x]
        a = h @ model.W.data
        nats += math.log(np.exp(a).sum()) - a[y]
    return nats / (len(ids) - 1)


@pytest.mark.parametrize("T", [1, 3, 4, 50])
def test_without_lr_and_decay_it_is_static_evaluation_whatever_the_window(T: int) -> None:
    model, ids = Recurrent(), text(51, 3)
    rms = gradient_rms(model, windows(text(50), 2, 4))
    model.starts.clear()
    found = dynamic_evaluation(model, windows(ids, 1, T), rms, lr=0.0, decay=0.0)
    assert found == pytest.approx(static(model, ids), rel=1e-12)
    assert model.starts == list(range(0, 50, T)), "steps since the state was zero"


def test_the_state_starts_anew_where_a_window_says_so() -> None:
    model, ids = Recurrent(), text(41, 3)
    rms = gradient_rms(model, windows(text(50), 2, 4))
    both = [*windows(ids[:21], 1, 6), *windows(ids[20:], 1, 6)]
    model.starts.clear()
    found = dynamic_evaluation(model, both, rms, lr=0.0, decay=0.0)
    assert found == pytest.approx((static(model, ids[:21]) + static(model, ids[20:])) / 2)
    assert model.starts == [0, 6, 12, 18] * 2


def test_a_text_with_a_habit_of_its_own_is_predicted_better() -> None:
    model, ids = Bigram(), np.resize(np.array([0, 3, 1, 4, 4], np.int32), 400)
    rms = gradient_rms(model, windows(text(300), 3, 5))
    settings = {"decay": 0.01, "eps": 1e-3}
    before = dynamic_evaluation(model, windows(ids, 1, 5), rms, lr=0.0, **settings)
    assert dynamic_evaluation(model, windows(ids, 1, 5), rms, lr=0.05, **settings) < 0.8 * before


def test_two_runs_give_the_same_bits_and_no_grad_around_them_changes_nothing() -> None:
    found = []
    for around in (False, False, True):
        model = Recurrent()
        with no_grad() if around else np.errstate():
            rms = gradient_rms(model, windows(text(83), 3, 4))
            found.append(
                dynamic_evaluation(model, windows(text(60), 1, 7), rms, lr=0.01, decay=0.02)
            )
    assert found[0] == found[1] == found[2]


# ---- with the models of this project -----------------------------------------------------------


def indrnn_model() -> LanguageModel:
    """Every part that counts or draws: tying, batch norm step by step, all dropouts, a bound."""
    rng = np.random.default_rng(6)
    options = IndRNNOptions(20, bn="before", bn_steps=9, dtype=np.float64)
    body = PlainIndRNNBody(4, 6, 2, options, rng=rng, p_drop=0.3)
    parts: dict[str, Any] = {"embed_size": 4, "tied": True, "head": "indrnn", "p_embedding": 0.1}
    parts |= {"p_words": 0.2, "p_head": 0.3, "embed_init": Normal(0.5)}
    model = LanguageModel(V, body, rng=rng, **parts)
    for n in range(3):  # running statistics that differ from step to step
        model(rng.integers(0, V, (12, 8)), rng=rng, start=2 * n)
    return model


def lstm_model() -> LanguageModel:
    rng = np.random.default_rng(7)
    body = RecurrentBody(LSTM(V, 6, rng=rng, zoneout_h=0.1, zoneout_c=0.4, dtype=np.float64))
    return LanguageModel(V, body, rng=rng)


@pytest.mark.parametrize("build", [indrnn_model, lstm_model])
def test_language_models_adapt_and_come_back(build: Callable[[], LanguageModel]) -> None:
    model, ids = build(), text(46, 3)
    before = snapshot(model)
    rms = gradient_rms(model, windows(text(83), 3, 4), clip_value=10.0)
    assert set(rms) == {name for name, _ in model.named_parameters()}
    model.eval()
    a, _ = model(ids[:-1, None])
    expected = cross_entropy(a, ids[1:, None]).item()
    model.train()
    for T in (1, 7, 45):
        found = dynamic_evaluation(model, windows(ids, 1, T), rms, lr=0.0, decay=0.0)
        assert found == pytest.approx(expected, rel=1e-10)
    habit = np.resize(np.array([0, 3, 1, 4, 4], np.int32), 200)
    settings = {"decay": 0.01, "eps": 1e-3, "clip_value": 10.0}
    still = dynamic_evaluation(model, windows(habit, 1, 5), rms, lr=0.0, **settings)
    moved = dynamic_evaluation(model, windows(habit, 1, 5), rms, lr=0.005, **settings)
    assert moved < 0.95 * still
    assert snapshot(model) == before
    assert all(module.is_training for _, module in model.named_modules())


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": -0.1}, "lr is -0.1"),
        ({"decay": math.nan}, "decay is nan"),
        ({"eps": 0.0}, "eps is 0.0, expected a number above 0"),
        ({"clip_value": -1.0}, "clip_value is -1.0"),
        ({"windows": []}, "no window came"),
        ({"rms": {"W": np.ones((V, V))}}, "rms has W, expected one array for each of W, b"),
        ({"rms": {"W": np.zeros((V, V)), "b": np.zeros(V)}}, "the mean of rms is 0.0"),
    ],
)
def test_what_cannot_be_honoured_is_refused(changes: dict[str, Any], message: str) -> None:
    model = Bigram()
    settings = {"windows": windows(text(60), 1, 5), "lr": 0.1, "decay": 0.1}
    settings["rms"] = {"W": np.ones((V, V)), "b": np.ones(V)}
    with pytest.raises(ValueError, match=message):
        dynamic_evaluation(model, **(settings | changes))
    with pytest.raises(ValueError, match="no window came, expected at least one of training text"):
        gradient_rms(model, [])
    with pytest.raises(ValueError, match=r"gradient_rms: clip_value is -0.5, expected a number"):
        gradient_rms(model, windows(text(60), 1, 5), clip_value=-0.5)
