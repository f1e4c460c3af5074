"""Layers: parameters, shapes, initial values and masks; never a derivative."""

from nnseq.nn.batchnorm import BatchNorm
from nnseq.nn.batchnorm_lstm import BatchNormLSTM
from nnseq.nn.description import build, describe
from nnseq.nn.dropconnect import DropConnect
from nnseq.nn.dropout import Dropout
from nnseq.nn.embedding import Embedding, TiedDecoder, one_hot
from nnseq.nn.grid_lstm import GridLSTM, GridLSTMBlock
from nnseq.nn.gru import GRU
from nnseq.nn.indrnn import (
    IndRNN,
    IndRNNRecurrence,
    recurrent_bound,
    recurrent_init,
    recurrent_low_bound,
)
from nnseq.nn.indrnn_block import IndRNNBlock
from nnseq.nn.initializers import (
    BlockOrthogonal,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    Identity,
    Initializer,
    KaimingUniform,
    Normal,
    Orthogonal,
    Uniform,
    UniformUnitScaling,
)
from nnseq.nn.input_gate_dropout import InputGateDropout
from nnseq.nn.layernorm_gru import LayerNormGRU
from nnseq.nn.layernorm_lstm import LayerNormLSTM
from nnseq.nn.linear import Linear
from nnseq.nn.lstm import LSTM
from nnseq.nn.module import Module, ModuleList, Parameter
from nnseq.nn.mut import MUT
from nnseq.nn.neural_gpu import ConvGRU, ConvGRURecurrence, NeuralGPU
from nnseq.nn.normalized_indrnn import NormalizedIndRNN
from nnseq.nn.permutation import Permutation
from nnseq.nn.projected_lstm import ProjectedLSTM
from nnseq.nn.recurrent import Direction, Recurrent
from nnseq.nn.regularizers import (
    activation_penalty,
    decov,
    l2_penalty,
    norm_stabilizer,
    orthogonality_penalty,
    temporal_activation_penalty,
)
from nnseq.nn.rnn import IRNN, RNN
from nnseq.nn.selection import select_parameters
from nnseq.nn.sequential import Sequential
from nnseq.nn.unitary_rnn import UnitaryMatrix, UnitaryRNN
from nnseq.nn.weight_noise import weight_noise
from nnseq.nn.weight_norm import WeightNorm
from nnseq.nn.zoneout import Zoneout

__all__ = [
    "GRU",
    "IRNN",
    "LSTM",
    "MUT",
    "RNN",
    "BatchNorm",
    "BatchNormLSTM",
    "BlockOrthogonal",
    "Constant",
    "ConvGRU",
    "ConvGRURecurrence",
    "Direction",
    "DropConnect",
    "Dropout",
    "Embedding",
    "GlorotNormal",
    "GlorotUniform",
    "GridLSTM",
    "GridLSTMBlock",
    "HeNormal",
    "Identity",
    "IndRNN",
    "IndRNNBlock",
    "IndRNNRecurrence",
    "Initializer",
    "InputGateDropout",
    "KaimingUniform",
    "LayerNormGRU",
    "LayerNormLSTM",
    "Linear",
    "Module",
    "ModuleList",
    "NeuralGPU",
    "Normal",
    "NormalizedIndRNN",
    "Orthogonal",
    "Parameter",
    "Permutation",
    "ProjectedLSTM",
    "Recurrent",
    "Sequential",
    "TiedDecoder",
    "Uniform",
    "UniformUnitScaling",
    "UnitaryMatrix",
    "UnitaryRNN",
    "WeightNorm",
    "Zoneout",
    "activation_penalty",
    "build",
    "decov",
    "describe",
    "l2_penalty",
    "norm_stabilizer",
    "one_hot",
    "orthogonality_penalty",
    "recurrent_bound",
    "recurrent_init",
    "recurrent_low_bound",
    "select_parameters",
    "temporal_activation_penalty",
    "weight_noise",
]
