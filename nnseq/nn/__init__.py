"""Layers: parameters, shapes, initial values and masks; never a derivative."""

from nnseq.nn.batchnorm import BatchNorm
from nnseq.nn.description import build, describe
from nnseq.nn.dropout import Dropout
from nnseq.nn.indrnn import (
    IndRNN,
    IndRNNRecurrence,
    recurrent_bound,
    recurrent_init,
    recurrent_low_bound,
)
from nnseq.nn.indrnn_stack import IndRNNBlock, IndRNNStack
from nnseq.nn.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    Identity,
    Initializer,
    KaimingUniform,
    Normal,
    Uniform,
)
from nnseq.nn.linear import Linear
from nnseq.nn.module import Module, ModuleList, Parameter
from nnseq.nn.sequential import Sequential

__all__ = [
    "BatchNorm",
    "Constant",
    "Dropout",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "Identity",
    "IndRNN",
    "IndRNNBlock",
    "IndRNNRecurrence",
    "IndRNNStack",
    "Initializer",
    "KaimingUniform",
    "Linear",
    "Module",
    "ModuleList",
    "Normal",
    "Parameter",
    "Sequential",
    "Uniform",
    "build",
    "describe",
    "recurrent_bound",
    "recurrent_init",
    "recurrent_low_bound",
]
