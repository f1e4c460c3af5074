"""Whole networks."""

from nnseq.models.indrnn import PlainIndRNN
from nnseq.models.last_state_rnn import LastStateRNN

__all__ = ["LastStateRNN", "PlainIndRNN"]
