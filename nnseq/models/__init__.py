"""Whole networks."""

from nnseq.models.body import SequenceBody, detach
from nnseq.models.indrnn_dense import DenseIndRNNBody
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.models.indrnn_plain import PlainIndRNNBody
from nnseq.models.indrnn_residual import ResidualIndRNNBody
from nnseq.models.language_model import LanguageModel
from nnseq.models.last_step_readout import LastStepReadout
from nnseq.models.recurrent_body import RecurrentBody
from nnseq.models.weight_decay import no_decay

__all__ = [
    "DenseIndRNNBody",
    "IndRNNOptions",
    "LanguageModel",
    "LastStepReadout",
    "PlainIndRNNBody",
    "RecurrentBody",
    "ResidualIndRNNBody",
    "SequenceBody",
    "detach",
    "no_decay",
]
