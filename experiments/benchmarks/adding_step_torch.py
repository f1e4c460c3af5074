"""The training step of the adding problem in PyTorch, eager, with torch.optim.Adam."""

from __future__ import annotations

from benchmarks.case import Arrays, Results, Step
from benchmarks.indrnn_torch import states

LR, CLIP = 2e-4, 10.0


def step_of(arrays: Arrays, device: str) -> Step:
    """One step of training, from the same parameters."""
    import torch

    bound = float(arrays["u_bound"])
    x, y = (torch.from_numpy(arrays[name]).to(device) for name in ("x", "y"))
    p = {
        name: torch.from_numpy(value.copy()).to(device).requires_grad_()
        for name, value in arrays.items()
        if name not in ("x", "y", "u_bound")
    }
    layers = [name.removesuffix(".u") for name in p if name.endswith(".u")]
    h0 = torch.zeros(x.shape[1], p["readout.W"].shape[0], device=device)
    optimizer = torch.optim.Adam(p.values(), lr=LR)

    def step() -> Results:
        optimizer.zero_grad()
        h = x
        for k, layer in enumerate(layers):
            a = h @ p[f"{layer}.W_ih"] + p[f"{layer}.b"]
            hs = states(a, p[f"{layer}.u"], h0)
            h = hs[-1] if k == len(layers) - 1 else torch.stack(hs)
        answer = h @ p["readout.W"] + p["readout.b"]
        loss = torch.nn.functional.mse_loss(answer, y)
        loss.backward()
        torch.nn.utils.clip_grad_value_(p.values(), CLIP)
        optimizer.step()
        with torch.no_grad():
            for layer in layers:
                p[f"{layer}.u"].clamp_(-bound, bound)
        return {"loss": loss.detach(), **{f"d{name}": q.grad for name, q in p.items()}}

    return step
