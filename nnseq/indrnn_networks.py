"""IndRNN networks as options name them: which there are, and from the options to one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.model_options import BELOW_1, ModelOptions, by_model, parse_sizes
from nnseq.models import (
    DenseIndRNNBody,
    IndRNNOptions,
    PlainIndRNNBody,
    ResidualIndRNNBody,
    SequenceBody,
)
from nnseq.options import OptionError

PLAIN, RESIDUAL, DENSE = "indrnn_plain", "indrnn_residual", "indrnn_dense"
INDRNN = (PLAIN, RESIDUAL, DENSE)

# Options that are arguments of the same name; one that is None leaves the default there.
OF_RECURRENCES = ("MAG", "act", "bn", "bn_eval", "constrain_u", "init_last_u", "small_norm_init")
OF_BODIES = (
    "time_diff", "p_drop", "p_drop_first", "p_drop_inner", "p_drop_transition", "p_drop_last",
)  # fmt: skip


def indrnn_body(
    options: ModelOptions,
    input_size: int,
    seq_len: int,
    rng: np.random.Generator,
    *,
    bn_steps: int | None = None,
    **own: Any,
) -> SequenceBody:
    """The IndRNN network of the options, without its readout.

    Args:
        options: a model of INDRNN, its sizes, U_bound, dtype, and any of those above.
        input_size: D.
        seq_len: T, for the bounds on u.
        rng: draws the initial values.
        bn_steps: as NormalizedIndRNN.
        own: arguments of the body that no option is for.

    Raises:
        OptionError: a bound on u that leaves nothing to draw from.
    """
    o: Any = options  # what its model has is not None
    values = {name: x for name, x in options.as_dict().items() if x is not None}
    shared: dict[str, Any] = {name: values[name] for name in OF_RECURRENCES if name in values}
    shared |= {"u_bound": o.U_bound or None, "bn_steps": bn_steps, "dtype": np.dtype(o.dtype)}
    given: dict[str, Any] = {name: values[name] for name in OF_BODIES if name in values}
    given |= {"first": values["num_first"]} if "num_first" in values else {}
    given |= {"rng": rng, **own}
    try:
        of_all = IndRNNOptions(seq_len, **shared)
    except ValueError as error:  # all else that it checks was checked as an option
        raise OptionError(f"--MAG or --U_bound: {error}") from None
    if o.model == PLAIN:
        return PlainIndRNNBody(input_size, o.hidden_size, o.num_layers, of_all, **given)
    if o.model == RESIDUAL:
        return ResidualIndRNNBody(input_size, o.hidden_size, o.num_blocks, of_all, **given)
    blocks = parse_sizes(o.block_config)
    return DenseIndRNNBody(input_size, o.growth_rate, blocks, of_all, **given)


def dense_drop(help: str, default: float) -> Any:
    """The field of a chance to drop that only dense networks have."""
    return by_model(f"P(drop) {help}", {DENSE: default}, low=0, high=BELOW_1, trains_only=True)
