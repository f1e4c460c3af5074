"""Where the models of experiments/adding.py start."""

from __future__ import annotations

import math
import runpy
from typing import Any

import numpy as np
import pytest

from tests.child import ROOT

SPACE = runpy.run_path(str(ROOT / "experiments" / "adding.py"))


@pytest.mark.parametrize("curriculum", [True, False])
def test_an_indrnn_starts_with_small_weights_and_a_last_layer_that_remembers(
    curriculum: bool,
) -> None:
    """With the curriculum for sequences of its first length, and a readout that is as small."""
    sizes: dict[str, Any] = {"seq_len": 500, "hidden_size": 400, "num_layers": 3}
    options = SPACE["AddingOptions"](curriculum=curriculum, in2hid_std=0.02, device="cpu", **sizes)
    model, T = SPACE["Adding"](options).model, 50 if curriculum else 500
    first, middle, last = (layer.rnn for layer in model.body.layers)
    bound = 2 ** (1 / T) * (1 + 1e-6)
    for rnn in (first, middle, last):
        assert rnn.W_ih.data.std() == pytest.approx(0.02, rel=0.1)
        assert abs(rnn.W_ih.data.mean()) < 4e-3
        assert not rnn.b.data.any()
        assert bound - 0.02 < np.abs(rnn.u.data).max() <= bound
    assert max(first.u.data.min(), middle.u.data.min()) < 0.02
    assert 1 / bound <= last.u.data.min() < 1 / bound + 0.02
    assert len(np.unique(last.u.data)) > 300
    W, glorot = model.readout.W.data, math.sqrt(6 / 401)
    assert W.std() == pytest.approx(0.02 if curriculum else glorot / math.sqrt(3), rel=0.2)
    assert curriculum or 0.95 * glorot < np.abs(W).max() <= glorot * (1 + 1e-6)
