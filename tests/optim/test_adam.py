"""Adam and AdamW against their algorithms written out, and against PyTorch."""

import numpy as np
import pytest

from nnseq.nn.module import Parameter
from nnseq.optim import Adam, AdamW

OPTIONS = [{}, {"beta1": 0.7, "beta2": 0.95, "eps": 1e-3}, {"beta1": 0.0}]


def algorithm_1(theta, gradients, lr, beta1=0.9, beta2=0.999, eps=1e-8, l2=0.0, decoupled=0.0):
    """Kingma and Ba's Algorithm 1, with either kind of decay; the moments as explicit sums."""
    seen = []
    for t, g in enumerate(gradients, start=1):
        seen.append(g + l2 * theta)
        past = np.arange(t)[::-1].reshape(-1, *[1] * theta.ndim)  # 0 for the newest
        m = (1 - beta1) * sum(beta1 ** float(k.item()) * s for k, s in zip(past, seen, strict=True))
        v = (1 - beta2) * sum(
            beta2 ** float(k.item()) * s**2 for k, s in zip(past, seen, strict=True)
        )
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - lr * decoupled * theta - lr * m_hat / (np.sqrt(v_hat) + eps)
    return theta


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_steps_follow_the_algorithm(kind, decay, options):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 2)), rng.normal(size=(7, 3, 2))
    x = Parameter(start)
    optimizer = kind({"x": x}, 0.01, weight_decay=decay, **options)
    for n, g in enumerate(gradients, start=1):
        x.grad = g
        optimizer.step()
        how = {"l2": decay} if kind is Adam else {"decoupled": decay}
        expected = algorithm_1(start, gradients[:n], 0.01, **options, **how)
        np.testing.assert_allclose(x.data, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_steps_agree_with_torch_while_lr_changes(kind, decay, options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    rng = np.random.default_rng(1)
    start = rng.normal(size=(3, 2))
    x, peer = Parameter(start), torch.nn.Parameter(torch.tensor(start))
    ours = {"Adam": Adam, "AdamW": AdamW}[kind]({"x": x}, 0.1, weight_decay=decay, **options)
    betas = (options.get("beta1", 0.9), options.get("beta2", 0.999))
    theirs = getattr(torch.optim, kind)(
        [peer], 0.1, betas, options.get("eps", 1e-8), weight_decay=decay
    )
    for n in range(8):
        g = rng.normal(size=(3, 2))
        x.grad, peer.grad = g, torch.tensor(g)
        ours.lr = theirs.param_groups[0]["lr"] = 0.1 / (n + 1)
        ours.step()
        theirs.step()
        np.testing.assert_allclose(x.data, peer.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_the_first_step_is_lr_long_whatever_the_gradients_size():
    x = Parameter(np.zeros(4))
    optimizer = Adam({"x": x}, 1e-3)
    x.grad = np.array([1e-4, -1.0, 1e4, 0.0])
    optimizer.step()
    np.testing.assert_allclose(x.data, [-1e-3, 1e-3, -1e-3, 0.0], rtol=2e-4)


def test_adamw_takes_adams_options_and_decays_unless_told_otherwise():
    x = Parameter(np.ones(2))
    optimizer = AdamW({"x": x}, 0.1, beta1=0.5, eps=1e-3, lr_factors={"x": 0.5})
    assert (optimizer.beta1, optimizer.beta2, optimizer.eps) == (0.5, 0.999, 1e-3)
    x.grad = np.zeros(2)
    optimizer.step()
    np.testing.assert_allclose(x.data, 1 - 0.1 * 0.5 * 0.01)
    with pytest.raises(TypeError, match="beta3"):
        AdamW({"x": x}, beta3=0.5)
    with pytest.raises(ValueError, match="AdamW: "):
        AdamW({"x": x}, beta1=1.0)
