"""A run that keeps its best weights, killed by SIGKILL 25 times: the same bits in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnseq import checkpoint
from tests.child import ENVIRONMENT, ROOT, run_until_killed
from tests.language_runs import SIZES, SMALL, bits, remains, write_texts

KILLS = 25
# On the way the best weights change often, lr is cut, and the run goes back to them.
RECIPE: list[object] = [*SMALL, *SIZES["lstm"], "--lr", 0.5, "--patience", 3, "--lr_factor", 0.9]
RECIPE += ["--eval_every", 2, "--save_every", 3, "--max_steps", 3000]


@pytest.mark.kills
def test_25_kills_of_a_run_with_best_weights_end_with_the_same_bits(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    script = [sys.executable, ROOT / "experiments" / "char_ptb.py", "--data", write_texts(texts)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def command(out: Path, *more: object) -> list[str]:
        return [str(x) for x in (*script, *RECIPE, "--out", out, *more)]

    subprocess.run(command(whole), check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    summary = json.loads((whole / "summary.json").read_text())
    lrs = {line["lr"] for line in remains(whole)[2]}
    assert len(lrs) > 3, "lr was cut"
    rng, resume = np.random.default_rng(KILLS), []
    for _ in range(KILLS):
        after = rng.uniform(0, 1.5 * summary["seconds"] / KILLS)
        code = run_until_killed(command(parts, *resume), parts, after, signal.SIGKILL)
        assert code == -signal.SIGKILL, "the run was over before it was killed often enough"
        resume = ["--resume"]
    end = command(parts, "--resume")
    subprocess.run(end, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    assert remains(parts) == remains(whole)
    best = [checkpoint.read(out / "best.h5") for out in (parts, whole)]
    assert bits(best[0][0]) == bits(best[1][0])
    assert best[0][1]["step"] == best[1][1]["step"]
