"""Whole networks."""

from nnseq.models.body import SequenceBody, detach
from nnseq.models.classifier import SequenceClassifier
from nnseq.models.indrnn import PlainIndRNN
from nnseq.models.indrnn_dense import DenseIndRNNBody
from nnseq.models.indrnn_plain import PlainIndRNNBody
from nnseq.models.indrnn_residual import ResidualIndRNNBody
from nnseq.models.language_model import LanguageModel
from nnseq.models.last_state_rnn import LastStateRNN
from nnseq.models.recurrent_body import RecurrentBody
from nnseq.models.weight_decay import no_decay

__all__ = [
    "DenseIndRNNBody",
    "LanguageModel",
    "LastStateRNN",
    "PlainIndRNN",
    "PlainIndRNNBody",
    "RecurrentBody",
    "ResidualIndRNNBody",
    "SequenceBody",
    "SequenceClassifier",
    "detach",
    "no_decay",
]
