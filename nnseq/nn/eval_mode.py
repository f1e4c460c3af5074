"""eval_mode: a model in evaluation for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nnseq.nn.module import Module


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """Inside the block the model is in eval mode; after it, every module is as it was.

    That holds after an error too, and where parts of the model were in different modes.
    """
    modes = [(module, module.is_training) for _, module in model.named_modules()]
    model.eval()
    try:
        yield
    finally:
        for module, is_training in modes:
            module.is_training = is_training
