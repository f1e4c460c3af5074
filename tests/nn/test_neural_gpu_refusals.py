"""What the layers of a Neural GPU refuse, by name."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq.nn.neural_gpu import ConvGRU

from .test_neural_gpu import B, M, N, V, W, draw, make, model, rng, symbols


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ConvGRU(0, rng=rng()), ValueError, "ConvGRU: channels is 0"),
        (lambda: ConvGRU(2, rng=rng(), cutoff=0.9), ValueError, "ConvGRU: cutoff is 0.9"),
        (lambda: ConvGRU(2, rng=rng(), kernel_size=(2, 3)), ValueError, "expected odd numbers"),
        (lambda: ConvGRU(2, rng=rng(), kernel_size=3), TypeError, "kernel_size is 3, expected a"),
        (
            lambda: ConvGRU(2, rng=rng())(draw(0, B, W, N, 3)),
            ValueError,
            r"s has shape \(2, 3, 5, 3\), expected \(B, w, n, m\) with m = 2",
        ),
        (lambda: make(num_copies=0), ValueError, "ConvGRURecurrence: num_copies is 0"),
        (lambda: make()(draw(0, B, W, N, M), -1), ValueError, "num_steps is -1"),
        (
            lambda: make()(draw(0, B, W, N, M), mask=[[1, 1], [0, 1], [1, 0], [0, 0], [0, 0]]),
            ValueError,
            "ConvGRURecurrence: the mask has gaps, expected the first steps",
        ),
        (lambda: make()(draw(0, B, W, N, M), lengths=[6, 1]), ValueError, "lengths are"),
        (
            lambda: make()(draw(0, B, W, N, M).astype(np.float32)),
            TypeError,
            "ConvGRURecurrence: s has dtype float32, expected float64 as the parameters have",
        ),
        (
            lambda: ConvGRU(2, rng=rng())(draw(0, B, W, N, 2)),
            TypeError,
            "ConvGRU: s has dtype float64, expected float32 as the parameters have",
        ),
        (lambda: ConvGRU(2, rng=rng(), W_init=0.1), TypeError, "ConvGRU: W_init is 0.1, expected"),
        (
            lambda: make(b_rz_init=None),
            TypeError,
            "ConvGRURecurrence: b_rz_init is None, expected an initializer such as Normal",
        ),
        (lambda: model(E_init="glorot"), TypeError, "NeuralGPU: E_init is 'glorot', expected an"),
        (lambda: model(W_init=None), TypeError, "NeuralGPU: W_init is None, expected an init"),
        (lambda: make().relaxation_penalty(-1.0), ValueError, "weight is -1.0"),
        (lambda: model(width=0), ValueError, "NeuralGPU: width is 0"),
        (lambda: model(dtype=np.int64), TypeError, "NeuralGPU: dtype is int64"),
        (lambda: model()([[1, 2]]), TypeError, "x is a list, expected an array of integers"),
        (lambda: model()(symbols(0, N)), ValueError, r"x has shape \(5,\), expected \(T, B\)"),
        (lambda: model()(symbols(0, N, B) + V), ValueError, "entries from"),
        (
            lambda: model()(draw(0, N, B)),
            TypeError,
            r"NeuralGPU: x has dtype float64, expected integers in \[0, V\)",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
