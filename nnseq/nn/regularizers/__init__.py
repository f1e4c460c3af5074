"""Penalties that are added to a loss: functions of states, activations or weights.

Each returns one number, a Tensor that carries gradients where its input does, made of ops, so
second derivatives too. Padded steps are left out through mask=(T, B), whatever stands in them.
"""

from nnseq.nn.regularizers.activation import activation_penalty, temporal_activation_penalty
from nnseq.nn.regularizers.decov import decov
from nnseq.nn.regularizers.l2 import l2_penalty
from nnseq.nn.regularizers.norm_stabilizer import norm_stabilizer
from nnseq.nn.regularizers.orthogonality import orthogonality_penalty

__all__ = [
    "activation_penalty",
    "decov",
    "l2_penalty",
    "norm_stabilizer",
    "orthogonality_penalty",
    "temporal_activation_penalty",
]
