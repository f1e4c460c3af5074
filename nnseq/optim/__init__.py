"""Optimisers, schedules and clipping: the update as written in its paper."""

from nnseq.optim.adam import Adam, AdamW
from nnseq.optim.clipping import clip_grad_norm, clip_grad_value
from nnseq.optim.optimizer import Optimizer
from nnseq.optim.rmsprop import RMSProp
from nnseq.optim.schedule import Constant, Cosine, Plateau, Schedule, StepDecay, WarmupLinear
from nnseq.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Optimizer",
    "Plateau",
    "RMSProp",
    "Schedule",
    "StepDecay",
    "WarmupLinear",
    "clip_grad_norm",
    "clip_grad_value",
]
