"""What every penalty on sequences owes to padded steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq.tensor import Tensor, grad

T, B, D = 4, 3, 2
LENGTHS = np.array([4, 2, 1])
MASK = np.arange(T)[:, None] < LENGTHS


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def check_padding(penalty: Callable[..., Any]) -> None:
    """Whatever stands at padded steps, NaN too, changes neither penalty(h, mask) nor a gradient."""
    found = []
    for garbage in (0.0, 5.0, np.inf, np.nan):
        x = draw(0, T, B, D)
        x[~MASK] = garbage
        h = Tensor(x, requires_grad=True)
        y = penalty(h, mask=MASK)
        (dh,) = grad(y, h)
        assert y.item() > 0
        assert np.abs(dh[0]).max() > 0
        assert (dh[~MASK] == 0).all()
        found.append((y.item(), dh))
        for kind in (int, np.float32):
            assert penalty(h, mask=3 * MASK.astype(kind)).item() == y.item()
    for y, dh in found[1:]:
        assert y == found[0][0]
        np.testing.assert_array_equal(dh, found[0][1])
    h = Tensor(draw(0, T, B, D))
    everything = penalty(h, mask=np.ones((T, B), bool)).item()
    assert everything == penalty(h).item()
    assert everything != found[0][0]
