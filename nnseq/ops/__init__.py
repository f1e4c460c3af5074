"""Unfused ops by family: functions of Tensors that also take plain arrays."""

from nnseq.operators import matmul
from nnseq.ops.activations import erf, gelu, relu, sigmoid, softplus, tanh
from nnseq.ops.convolution import conv1d, conv2d
from nnseq.ops.dropout import dropout
from nnseq.ops.elementwise import (
    abs,
    clip,
    cos,
    exp,
    log,
    maximum,
    minimum,
    power,
    sin,
    sqrt,
    where,
)
from nnseq.ops.fourier import dft, idft
from nnseq.ops.indexing import embedding, getitem, masked_fill, take_along_axis
from nnseq.ops.joining import concat, split, stack, unbind
from nnseq.ops.linear import linear
from nnseq.ops.losses import binary_cross_entropy, cross_entropy, mse
from nnseq.ops.normalization import batch_norm, batch_norm_eval, layer_norm
from nnseq.ops.reductions import cumsum, logsumexp, max, mean, min, sum, var
from nnseq.ops.shape import (
    broadcast_to,
    expand_dims,
    flip,
    pad,
    reshape,
    roll,
    squeeze,
    swapaxes,
    transpose,
)
from nnseq.ops.softmax import log_softmax, softmax

__all__ = [
    "abs",
    "batch_norm",
    "batch_norm_eval",
    "binary_cross_entropy",
    "broadcast_to",
    "clip",
    "concat",
    "conv1d",
    "conv2d",
    "cos",
    "cross_entropy",
    "cumsum",
    "dft",
    "dropout",
    "embedding",
    "erf",
    "exp",
    "expand_dims",
    "flip",
    "gelu",
    "getitem",
    "idft",
    "layer_norm",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse",
    "pad",
    "power",
    "relu",
    "reshape",
    "roll",
    "sigmoid",
    "sin",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "sum",
    "swapaxes",
    "take_along_axis",
    "tanh",
    "transpose",
    "unbind",
    "var",
    "where",
]
