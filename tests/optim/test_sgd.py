"""SGD against its equations written out, and against PyTorch."""

import numpy as np
import pytest

from nnseq.nn.module import Parameter
from nnseq.optim import SGD

CASES = [
    {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    for momentum, nesterov in [(0.0, False), (0.9, False), (0.9, True)]
    for decay in (0.0, 0.02)
]


@pytest.mark.parametrize("options", CASES)
def test_ten_steps_follow_the_papers_recurrence(options):
    """Sutskever et al.: v' = μ v - lr ∇f at the look-ahead point, θ' = θ + v'; ψ = θ + μ v."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 4))
    A, start = A @ A.T / 4, rng.normal(size=4)
    lr, mu, decay = 0.03, options["momentum"], options["weight_decay"]

    def gradient(point):
        return A @ point + decay * point

    x = Parameter(start)
    optimizer = SGD({"x": x}, lr, **options)
    theta, v = start.copy(), np.zeros(4)
    for _ in range(10):
        x.grad = A @ x.data
        optimizer.step()
        ahead = theta + mu * v if options["nesterov"] else theta
        v = mu * v - lr * gradient(ahead)
        theta = theta + v
        expected = theta + mu * v if options["nesterov"] else theta
        np.testing.assert_allclose(x.data, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", CASES)
def test_steps_agree_with_torch_while_lr_changes(options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    rng = np.random.default_rng(1)
    start = rng.normal(size=(3, 2))
    x, peer = Parameter(start), torch.nn.Parameter(torch.tensor(start))
    ours, theirs = SGD({"x": x}, 0.1, **options), torch.optim.SGD([peer], 0.1, **options)
    for n in range(8):
        g = rng.normal(size=(3, 2))
        x.grad, peer.grad = g, torch.tensor(g)
        ours.lr = theirs.param_groups[0]["lr"] = 0.1 / (n + 1)
        ours.step()
        theirs.step()
        np.testing.assert_allclose(x.data, peer.detach().numpy(), rtol=1e-12, atol=1e-12)
