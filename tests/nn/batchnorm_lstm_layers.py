"""BatchNormLSTM as its tests make it: float64, every parameter random, D = 2, H = 5."""

from __future__ import annotations

import numpy as np

from nnseq.nn.batchnorm_lstm import BatchNormLSTM

from .layers import D, H, T, draw, randomise

X, W, C = slice(0, 4 * H), slice(4 * H, 8 * H), slice(8 * H, 9 * H)  # columns of the statistics


def make(seed=0, input_size=D, hidden_size=H, num_steps=T, **options):
    rng = np.random.default_rng(seed)
    options = {"dtype": np.float64} | options
    layer = BatchNormLSTM(input_size, hidden_size, num_steps, rng=rng, **options)
    randomise(layer, rng)
    return layer


def trained(layer, calls=3, seed=50, batch=6, steps=T, **options):
    """The layer after some training calls, which leave it running statistics; in evaluation."""
    for k in range(calls):
        layer(
            draw(seed + k, steps, batch, layer.input_size), rng=np.random.default_rng(k), **options
        )
    return layer.eval()


def statistics(layer, k=0):
    d = layer.directions[k]
    return d.running_mean.copy(), d.running_var.copy(), int(d.trained_steps[0])
