"""experiments/semantic_consistency.py: the equations, the two ways of W, and the command."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import plots, sweep
from nnseq.gradcheck import gradcheck
from nnseq.tensor import Tensor
from tests.child import ROOT

SPACE = runpy.run_path(str(ROOT / "experiments" / "semantic_consistency.py"))
SMALL = ["--threads", "1", "--log_every", "5", "--batch_size", "4"]


def task(**changes: Any) -> Any:
    options = {"dim": 3, "seq_len": 4, "batch_size": 5, "device": "cpu", "dtype": "float64"}
    return SPACE["Consistency"](SPACE["ConsistencyOptions"](**(options | changes)))


def test_a_unit_keeps_its_state_where_the_mask_is_1_and_the_batch_shares_it() -> None:
    made, rng = task(noise_level=0.5), np.random.default_rng(1)
    W, x = made.model.W_hh.data, rng.normal(size=(5, 3))
    z = (rng.random((4, 1, 3)) < 0.5).astype(float)
    h = x
    for t in range(4):
        moved = np.einsum("bi,ij->bj", h, W)
        h = np.array([[old if z[t, 0, j] else moved[b, j] for j, old in enumerate(row)]
                      for b, row in enumerate(h)])  # fmt: skip
    np.testing.assert_allclose(made.model(x, z).data, h, rtol=1e-12)


def test_the_loss_is_summed_and_its_gradient_is_true() -> None:
    made, rng = task(noise_level=0.5), np.random.default_rng(1)
    x, z = rng.normal(size=(5, 3)), (rng.random((4, 1, 3)) < 0.3).astype(float)
    expected = sum(float(e) ** 2 for e in (made.model(x, z).data - x).ravel())
    assert made._loss(x, z).item() == pytest.approx(expected, rel=1e-12)

    def f(W: Tensor) -> Tensor:
        made.model.W_hh = W
        return made._loss(x, z)

    gradcheck(f, np.array(made.model.W_hh.data), rng=rng)


def test_masks_are_fresh_and_have_the_probability_of_the_option() -> None:
    made = task(zoneout_prob=0.25, dim=50, seq_len=40)
    seen: list[np.ndarray] = []
    made._loss = lambda x, z: seen.append(z)
    for _ in range(2):
        made.loss()
    assert seen[0].shape == (40, 1, 50)
    assert (seen[0] != seen[1]).any()
    assert np.mean(seen) == pytest.approx(0.25, abs=0.03)


def test_w_starts_near_minus_one_and_is_as_far_from_one_as_that_is() -> None:
    away = task(noise_level=0.0).observe(1, 0.0)
    assert away == {"to_identity": pytest.approx(np.sqrt(12)), "to_minus_identity": 0.0}
    noisy = task(noise_level=0.01, dim=60).observe(1, 0.0)
    assert noisy["to_minus_identity"] == pytest.approx(0.6, rel=0.05)


def test_the_test_error_uses_the_expectation_of_zoneout() -> None:
    made = task(noise_level=0.0, zoneout_prob=0.25)
    made.model.W_hh.data[...] = 0.5 * np.eye(3)
    factor = (0.25 + 0.75 * 0.5) ** 4
    x = np.random.default_rng(SPACE["TEST_SEED"]).normal(size=(1000, 3))
    expected = (1 - factor) ** 2 * np.square(x).mean()
    assert made.evaluate()["test_mse"] == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a tiny run, and is tested elsewhere."""
    for module in (plots, sweep):
        monkeypatch.setattr(module, "draw", lambda *_: None)


def run(out: Path, steps: int, *more: str) -> dict[str, Any]:
    argv = [*SMALL, "--out", str(out), "--max_steps", str(steps), *more]
    assert SPACE["main"](argv) == 0
    summary = json.loads((out / "summary.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds")
    return {"metrics": summary["metrics"], "rows": rows}


@pytest.mark.usefixtures("without_pictures")
def test_with_zoneout_w_leaves_minus_one_for_one_and_without_it_stays(tmp_path: Path) -> None:
    # Two steps and one unit, where the way is short: 400 optimiser steps.
    argv = ["--seq_len", "2", "--dim", "1", "--lr", "0.02", "--log_every", "100"]
    metrics = run(tmp_path, 400, *argv)["metrics"]
    assert metrics["zoneout_to_identity"] < 1e-3
    assert metrics["none_to_minus_identity"] < 1e-3
    assert max(metrics["zoneout_test_mse"], metrics["none_test_mse"]) < 1e-6


@pytest.mark.usefixtures("without_pictures")
def test_a_continued_command_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 12)
    run(tmp_path / "parts", 5)
    assert run(tmp_path / "parts", 12, "--resume") == whole
    assert {row["run"] for row in whole["rows"]} == {"zoneout", "none"}
    first = {row["run"]: row["to_minus_identity"] for row in whole["rows"] if row["step"] == 1}
    assert first["zoneout"] != first["none"]


def test_the_preset_holds_the_options_of_the_original_toy(tmp_path: Path) -> None:
    run(tmp_path, 0, "--preset", "seed", "--batch_size", "32")
    options = json.loads((tmp_path / "summary.json").read_text())["options"]
    expected = {"dim": 2, "seq_len": 10, "noise_level": 0.01, "zoneout_prob": 0.1, "lr": 1e-4}
    assert {name: options[name] for name in expected} == expected
    assert SPACE["SEED"]["max_steps"] == 100_000


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, said in (
        (["--zoneout_prob", "2"], "--zoneout_prob: 2.0 came"),
        (["--dim", "0"], "--dim: 0 came"),
    ):
        with pytest.raises(SystemExit) as left:
            SPACE["main"](argv)
        assert left.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
