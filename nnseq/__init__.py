"""nnseq: sequence models from scratch, with every backward pass written out by hand.

    import nnseq
    from nnseq import nn, ops, optim

    x = nnseq.Tensor(array, requires_grad=True)
    ops.tanh(x @ W).sum().backward()            # x.grad
    nnseq.grad(y, x, dy)                        # the same, without touching .grad
    nnseq.gradcheck(f, x, rng=rng)              # is a backward right?

Importing this touches neither Numba nor CUDA; they are loaded when a fused op first runs.
"""

from nnseq import models, nn, ops, optim
from nnseq.backend import DeviceError, report, to_device, use_kernels
from nnseq.fused import fused_op
from nnseq.gradcheck import GradcheckError, gradcheck, gradcheck_directional, gradgradcheck
from nnseq.interop import load, save
from nnseq.tape import Op
from nnseq.tensor import Tensor, enable_grad, grad, no_grad

__all__ = [
    "DeviceError",
    "GradcheckError",
    "Op",
    "Tensor",
    "enable_grad",
    "fused_op",
    "grad",
    "gradcheck",
    "gradcheck_directional",
    "gradgradcheck",
    "load",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "report",
    "save",
    "to_device",
    "use_kernels",
]
