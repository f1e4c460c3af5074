"""experiments/gradient_propagation.py: the measured gradients are true, and the command works."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import plots, sweep
from nnseq.models import IndRNNOptions, LastStepReadout, PlainIndRNNBody, RecurrentBody, detach
from nnseq.nn import LSTM, RNN, Normal
from tests.child import ROOT

SCRIPT = ROOT / "experiments" / "gradient_propagation.py"
T, B, D, H = 5, 3, 2, 4
EPS = 1e-6
SMALL = ["--seq_len", "6", "--hidden_size", "3", "--batch_size", "4", "--threads", "1"]
SPACE = runpy.run_path(str(SCRIPT))


def models() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    last: dict[str, Any] = {"rng": rng, "output": "last", "dtype": np.float64}
    options = IndRNNOptions(T, act="tanh", W_init=Normal(1.0), dtype=np.float64)
    bodies = {
        "rnn": RecurrentBody(RNN(D, H, **last)),
        "lstm": RecurrentBody(LSTM(D, H, num_layers=2, **last)),
        "zoneout": RecurrentBody(LSTM(D, H, zoneout_h=0.3, zoneout_c=0.5, **last)),
        "indrnn": PlainIndRNNBody(D, H, 2, options, rng=rng),
    }
    return {name: LastStepReadout(body, 1, rng=rng) for name, body in bodies.items()}


def loss_from(model: Any, calls: Any, y: np.ndarray, states: Any, rng: Any) -> float:
    """L as a function of the states before the first of calls, pieces of x; rng draws the masks."""
    for piece in calls:
        h, states = model.body(piece, states, rng=rng, only_last=True)
    return float(np.square(model.readout(h).data - y).sum())


def states_after(model: Any, x: np.ndarray, rng: Any) -> Any:
    """The states behind the last of x, as arrays."""
    states = None
    for x_t in x:
        _, states = model.body(x_t[None], states, rng=rng, only_last=True)
    return detach(states)


@pytest.mark.parametrize("name", ["rnn", "lstm", "zoneout", "indrnn"])
def test_the_gradients_are_those_that_perturbing_the_state_inside_the_run_measures(
    name: str,
) -> None:
    model, rng = models()[name], np.random.default_rng(1)
    x, y = rng.normal(size=(T, B, D)), rng.normal(size=(B, 1))
    claimed = SPACE["state_gradients"](model, x, y, np.random.default_rng(5))
    assert set(claimed) == ({"h"} if name in ("rnn", "indrnn") else {"h", "c"})
    for t in range(1, T):
        masks = np.random.default_rng(5)
        arrays = states_after(model, x[:t], masks)
        # The rest in one call, unlike the claim; but masks are drawn call by call.
        calls = np.split(x[t:], T - t) if name == "zoneout" else [x[t:]]
        position = masks.bit_generator.state
        measured = [np.empty_like(s) for s in arrays]
        for k, state in enumerate(arrays):
            for index in np.ndindex(state.shape):
                losses = []
                for sign in (1, -1):
                    moved = [s.copy() for s in arrays]
                    moved[k][index] += sign * EPS
                    masks.bit_generator.state = position  # the same masks in the rest of the run
                    losses.append(loss_from(model, calls, y, tuple(moved), masks))
                measured[k][index] = (losses[0] - losses[1]) / (2 * EPS)
        # An LSTM's h and c are arrays of all layers; an IndRNN's states are one array for each.
        parts = {"h": np.array(measured)} if name == "indrnn" else {}
        parts = parts or dict(zip(claimed, measured, strict=True))
        for letter, d in parts.items():
            np.testing.assert_allclose(claimed[letter][t - 1], d, rtol=1e-6, atol=1e-9)


def test_the_last_step_has_the_derivative_of_the_readout_and_c_none() -> None:
    model, rng = models()["lstm"], np.random.default_rng(1)
    x, y = rng.normal(size=(T, B, D)), rng.normal(size=(B, 1))
    claimed = SPACE["state_gradients"](model, x, y, None)
    error = model(x).data - y
    np.testing.assert_allclose(claimed["h"][-1, 1], 2 * error @ model.readout.W.data.T, rtol=1e-9)
    assert not claimed["h"][-1, 0].any(), "layer 1 reaches the loss through later steps alone"
    assert not claimed["c"][-1].any()
    assert all(p.grad is None for p in model.parameters())


def test_zoneout_of_everything_passes_the_gradient_on_unchanged() -> None:
    """With P(old) = 1 no step changes the state: the gradient is the same at all steps."""
    rng = np.random.default_rng(0)
    rnn = LSTM(D, H, rng=rng, output="last", zoneout_h=1.0, zoneout_c=1.0, dtype=np.float64)
    model = LastStepReadout(RecurrentBody(rnn), 1, rng=rng)
    x, y = rng.normal(size=(T, B, D)), rng.normal(size=(B, 1))
    dh = SPACE["state_gradients"](model, x, y, rng)["h"]
    assert np.abs(dh).min() > 0
    for t in range(T):
        np.testing.assert_array_equal(dh[t], dh[-1])


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a tiny run, and is tested elsewhere."""
    for module in (plots, sweep):
        monkeypatch.setattr(module, "draw", lambda *_: None)


# ---- the command -------------------------------------------------------------------------------


def run(out: Path, steps: int, *more: str) -> list[dict[str, Any]]:
    argv = [*SMALL, "--out", str(out), "--max_steps", str(steps), *more]
    assert SPACE["main"](argv) == 0
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("without_pictures")
def test_a_continued_command_measures_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 4)
    at_first = run(tmp_path / "parts", 2)
    assert run(tmp_path / "parts", 4, "--resume") == whole
    moments = {(row["run"], row["step"]) for row in whole}
    names = ("rnn", "lstm", "lstm_zoneout", "indrnn")
    assert moments == {(name, step) for name in names for step in (0, 4)}
    assert [row for row in whole if row["step"] == 0] == [r for r in at_first if r["step"] == 0]
    assert {row["t"] for row in whole} == set(range(1, 7))
    summaries = [
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "parts")
    ]
    assert summaries[0]["metrics"] == summaries[1]["metrics"]
    metrics = summaries[0]["metrics"]
    first, *_, last = (r["dh"] for r in whole if (r["run"], r["step"]) == ("lstm_zoneout", 4))
    assert metrics["lstm_zoneout_end_dh_ratio"] == pytest.approx(first / last, rel=1e-5)


def test_the_four_runs_have_the_options_given() -> None:
    options = SPACE["PropagationOptions"](zoneout_h=0.25, zoneout_c=0.75, lr=0.5, seed=3)
    parts = {part.name: part.options for part in SPACE["parts"](options)}
    assert list(parts) == ["rnn", "lstm", "lstm_zoneout", "indrnn"]
    assert {(o.lr, o.seed, o.seq_len, o.max_steps) for o in parts.values()} == {(0.5, 3, 200, 1000)}
    zoned = {name: (o.zoneout_h, o.zoneout_c) for name, o in parts.items()}
    assert zoned["lstm_zoneout"] == (0.25, 0.75)
    assert zoned["lstm"] == (0.0, 0.0)
    assert not parts["indrnn"].curriculum


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--zoneout_h", "1.5"], "--zoneout_h: 1.5 came, expected a finite number <= 1"),
        (["--eval", "--load_weight", "x.h5"], "this command trains several models"),
        (["--model", "lstm"], "--model lstm: no such flag"),
    ],
)
def test_bad_input_is_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        SPACE["main"](argv)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_a_panel_stands_for_a_state_and_a_moment_and_a_curve_for_a_model() -> None:
    options = SPACE["PropagationOptions"](seq_len=4, hidden_size=2, device="cpu", out="unused")
    parts = [p for p in SPACE["parts"](options) if p.name in ("rnn", "lstm")]
    report = SPACE["report"](
        [sweep.Result(part, {"steps": 0, "metrics": {}}, []) for part in parts]
    )
    assert [list(panel.curves) for panel in report.panels] == [["rnn", "lstm"], ["lstm"]]
    assert [len(panel.curves["lstm"][1]) for panel in report.panels] == [4, 3]
    assert len(report.rows) == 8
