"""From options to what moves the parameters: an optimiser, and a rule by which lr is cut."""

from __future__ import annotations

from typing import Any

from nnseq.models import no_decay
from nnseq.nn.module import Module
from nnseq.optim import SGD, Adam, Optimizer, Plateau, RMSProp
from nnseq.options import OptionError

EPOCHS = 100  # where nothing else ends a run
NEVER = 2**31  # validations: longer than any run


def build_optimizer(o: Any, model: Module) -> Optimizer:
    """--optimizer; weight decay leaves u, biases and, without --bn_decay, γ alone.

    Args:
        o: optimizer, lr, u_lr, weight_decay, bn_decay; rho and momentum of rmsprop; momentum of
            sgd.
        model: whose parameters it is for.
    """
    given: dict[str, Any] = {}
    if o.weight_decay:
        given = {"weight_decay": o.weight_decay, "no_decay": [no_decay(bn_decay=bool(o.bn_decay))]}
    if o.u_lr not in (None, 1.0):
        given["lr_factors"] = {"u": o.u_lr}
    if o.optimizer == "adam":
        return Adam(model.named_parameters(), o.lr, **given)
    given["momentum"] = o.momentum
    if o.optimizer == "sgd":
        return SGD(model.named_parameters(), o.lr, **given)
    return RMSProp(model.named_parameters(), o.lr, rho=o.rho, **given)


def build_plateau(o: Any) -> Plateau:
    """The rule of IndRNN's authors, or, without --patience, one that never cuts."""
    if not o.patience:
        return Plateau(o.lr, NEVER)
    rule = {"min_lr": o.min_lr, "stop": True, "patience_factor": 0.5, "patience_added": 2}
    return Plateau(o.lr, o.patience, o.lr_factor, **rule)


def check_min_lr(o: Any) -> None:
    """Raises OptionError where the first cut would already end the run: --min_lr above --lr."""
    if o.min_lr is not None and o.min_lr > o.lr:
        raise OptionError(f"--min_lr {o.min_lr:g} came with --lr {o.lr:g}, expected at most that")
