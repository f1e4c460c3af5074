"""RMSProp against its equations written out, and against PyTorch."""

import itertools

import numpy as np
import pytest

from nnseq.nn.module import Parameter
from nnseq.optim import RMSProp

CASES = [
    {"momentum": momentum, "centered": centered, "weight_decay": decay}
    for momentum, centered, decay in itertools.product((0.0, 0.8), (False, True), (0.0, 0.02))
]


@pytest.mark.parametrize("options", CASES)
def test_steps_follow_the_equations(options):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 2)), rng.normal(size=(7, 3, 2))
    x = Parameter(start)
    optimizer = RMSProp({"x": x}, 0.01, rho=0.6, eps=1e-4, **options)
    theta, mean, square, velocity = start, 0.0, 0.0, 0.0
    for g in gradients:
        x.grad = g
        optimizer.step()
        g = g + options["weight_decay"] * theta
        square = 0.6 * square + 0.4 * g**2
        mean = 0.6 * mean + 0.4 * g
        variance = square - mean**2 if options["centered"] else square
        velocity = options["momentum"] * velocity + g / (np.sqrt(variance) + 1e-4)
        theta = theta - 0.01 * velocity
        np.testing.assert_allclose(x.data, theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", CASES)
def test_steps_agree_with_torch(options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    rng = np.random.default_rng(1)
    start = rng.normal(size=(3, 2))
    x, peer = Parameter(start), torch.nn.Parameter(torch.tensor(start))
    ours = RMSProp({"x": x}, 0.1, rho=0.9, **options)
    theirs = torch.optim.RMSprop([peer], 0.1, alpha=0.9, **options)
    for _ in range(8):
        g = rng.normal(size=(3, 2))
        x.grad, peer.grad = g, torch.tensor(g)
        ours.step()
        theirs.step()
        np.testing.assert_allclose(x.data, peer.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_a_constant_gradient_never_makes_the_centred_variance_negative():
    """v - ḡ² tends to 0, and rounding puts it on either side."""
    x = Parameter(np.linspace(0.1, 3.0, 50).astype(np.float32))
    optimizer = RMSProp({"x": x}, 1e-9, rho=0.5, centered=True)
    x.grad = x.data.copy()
    for _ in range(60):
        optimizer.step()
    assert np.isfinite(x.data).all()
