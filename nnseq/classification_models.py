"""From the options of a classifier to an IndRNN network, an optimiser and a schedule."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.classification_options import (
    PLAIN,
    RESIDUAL,
    ClassificationOptions,
    parse_sizes,
)
from nnseq.models import (
    DenseIndRNNBody,
    PlainIndRNNBody,
    ResidualIndRNNBody,
    SequenceBody,
    no_decay,
)
from nnseq.nn.module import Module
from nnseq.optim import Adam, Optimizer, Plateau, RMSProp
from nnseq.options import OptionError

NEVER = 2**31  # validations: longer than any run


def indrnn_body(
    options: ClassificationOptions,
    input_size: int,
    seq_len: int,
    rng: np.random.Generator,
    *,
    time_diff: bool = False,
) -> SequenceBody:
    """The IndRNN network of the options, without its readout.

    Args:
        options: with a model of INDRNN.
        input_size: D.
        seq_len: T, for the bounds on u.
        rng: draws the initial values.
        time_diff: of a dense network.

    Raises:
        OptionError: a bound on u that leaves nothing to draw from.
    """
    o: Any = options  # what its model has is not None
    shared: dict[str, Any] = {
        "seq_len": seq_len,
        "rng": rng,
        "bn": o.bn,
        "act": o.act,
        "p_drop": o.p_drop,
    }
    shared |= {"u_bound": o.U_bound or None, "constrain_u": o.constrain_u}
    shared |= {"init_last_u": o.init_last_u, "small_norm_init": o.small_norm_init}
    shared |= {"dtype": np.dtype(o.dtype)} | ({} if o.MAG is None else {"MAG": o.MAG})
    try:
        if o.model == PLAIN:
            return PlainIndRNNBody(input_size, o.hidden_size, o.num_layers, **shared)
        if o.model == RESIDUAL:
            return ResidualIndRNNBody(input_size, o.hidden_size, o.num_blocks, **shared)
        drops = ("first", "inner", "transition", "last")
        shared |= {f"p_drop_{part}": getattr(o, f"p_drop_{part}") for part in drops}
        blocks = parse_sizes(o.block_config)
        shared |= {"first": o.num_first, "time_diff": time_diff}
        return DenseIndRNNBody(input_size, o.growth_rate, blocks, **shared)
    except ValueError as error:
        raise OptionError(f"--MAG or --U_bound: {error}") from None


def build_optimizer(o: Any, model: Module) -> Optimizer:
    """--optimizer; weight decay leaves u, biases and, without --bn_decay, γ alone."""
    given: dict[str, Any] = {}
    if o.weight_decay:
        given = {"weight_decay": o.weight_decay, "no_decay": [no_decay(bn_decay=bool(o.bn_decay))]}
    if o.u_lr not in (None, 1.0):
        given["lr_factors"] = {"u": o.u_lr}
    if o.optimizer == "adam":
        return Adam(model.named_parameters(), o.lr, **given)
    # ρ of the zoneout authors' program for MNIST pixel by pixel
    return RMSProp(model.named_parameters(), o.lr, rho=0.5, **given)


def build_plateau(o: Any) -> Plateau:
    """The rule of IndRNN's authors, or, without --patience, one that never cuts."""
    if not o.patience:
        return Plateau(o.lr, NEVER)
    rule = {"min_lr": o.min_lr, "stop": True, "patience_factor": 0.5, "patience_added": 2}
    return Plateau(o.lr, o.patience, o.lr_factor, **rule)
