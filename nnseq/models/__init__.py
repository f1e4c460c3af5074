"""Whole networks."""

from nnseq.models.indrnn import PlainIndRNN

__all__ = ["PlainIndRNN"]
