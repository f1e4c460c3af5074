"""torch.nn.LSTM, GRU and RNN, differentiated by autograd; on a GPU these are cuDNN's.

PyTorch has two biases, of which only the n gate of a GRU needs the second: elsewhere it is 0.
"""

from __future__ import annotations

from benchmarks.case import Arrays, Results, Step
from benchmarks.steps import named


def layer(kind: str, arrays: Arrays, device: str) -> Step:
    """One forward and backward of torch.nn.<kind> in training."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # else cuDNN rounds the factors of float32 products
    p = {name: torch.from_numpy(array) for name, array in arrays.items()}
    I, H = p["x"].shape[2], p["dh"].shape[2]
    module = getattr(torch.nn, kind)(I, H)
    with torch.no_grad():
        module.weight_ih_l0.copy_(p["W_ih"].T)
        module.weight_hh_l0.copy_(p["W_hh"].T)
        module.bias_ih_l0.copy_(p["b"])
        module.bias_hh_l0.zero_()
        if "b_hn" in p:
            module.bias_hh_l0[2 * H :] = p["b_hn"]
    module.to(device)
    starts = [name for name in ("h0", "c0") if name in p]
    x, *states = (p[name].to(device).requires_grad_() for name in ("x", *starts))
    dh = p["dh"].to(device)
    inputs = [x, *module.parameters(), *states]
    given = tuple(states) if len(states) > 1 else states[0]

    def step() -> Results:
        h, finals = module(x, given)
        dx, dW_ih, dW_hh, db_ih, db_hh, *dstates = torch.autograd.grad(h, inputs, dh)
        names = ["x", "W_ih", "W_hh", "b", *starts]
        results = named(h.detach(), names, [dx, dW_ih.T, dW_hh.T, db_ih, *dstates])
        if "b_hn" in p:
            results["db_hn"] = db_hh[2 * H :]
        finals = finals if len(states) > 1 else (finals,)
        ends = {f"{name[0]}_T": y.detach() for name, y in zip(starts, finals, strict=True)}
        return {**results, **ends}

    return step
