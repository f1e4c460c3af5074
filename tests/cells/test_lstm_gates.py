"""The LSTM's gates alone: one step of the LSTM cell, forward and backward."""

import numpy as np
import pytest

from nnseq.cells import lstm
from nnseq.cells.lstm_gates import gates, undo_gates

B, H = 3, 5
OPTIONS = [{}, {"forget_bias": 0.7}, {"cell_clip": 0.4}, {"p": True}]
OPTIONS.append({"p": True, "forget_bias": -0.3, "cell_clip": 0.4})


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("options", OPTIONS)
def test_gates_and_their_gradients_are_those_of_one_step_of_the_lstm(options):
    q, c0 = 2 * draw(0, B, 4 * H), draw(1, B, H)
    p = draw(2, 3, H) if options.get("p") else None
    forget_bias, cell_clip = options.get("forget_bias", 0.0), options.get("cell_clip", 0.0)
    *ifgo, c_new = gates(q, c0, p, forget_bias, cell_clip)
    (h, c, _, _), saved = lstm.forward(
        q[None], np.zeros((H, 4 * H)), np.zeros((B, H)), c0, p, None, None, None, None,
        forget_bias=forget_bias, cell_clip=cell_clip, ogate_zoneout=False,
    )  # fmt: skip
    np.testing.assert_allclose(c_new, c[0], rtol=1e-13)
    np.testing.assert_allclose(ifgo[3] * np.tanh(c_new), h[0], rtol=1e-13)
    dh, dc = draw(3, B, H), draw(4, B, H)
    do, dc_new = dh * np.tanh(c_new), dc + dh * ifgo[3] / np.cosh(c_new) ** 2
    dq, dc_prev = undo_gates(do, dc_new, ifgo, c0, p, cell_clip)
    da, _, _, dc0, *_ = lstm.backward(saved, dh[None], dc[None], None, None)
    np.testing.assert_allclose(dq, da[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(dc_prev, dc0, rtol=1e-11, atol=1e-13)
