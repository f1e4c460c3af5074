"""IndRNN networks as options name them: which there are, and from the options to one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.model_options import BELOW_1, ModelOptions, by_model, parse_sizes
from nnseq.models import DenseIndRNNBody, PlainIndRNNBody, ResidualIndRNNBody, SequenceBody
from nnseq.options import OptionError

PLAIN, RESIDUAL, DENSE = "indrnn_plain", "indrnn_residual", "indrnn_dense"
INDRNN = (PLAIN, RESIDUAL, DENSE)

# Options that are arguments of the bodies; one that is None leaves the body its own default.
SAME_NAME = (
    "MAG", "act", "bn", "constrain_u", "init_last_u", "small_norm_init", "time_diff",
    "p_drop", "p_drop_first", "p_drop_inner", "p_drop_transition", "p_drop_last",
)  # fmt: skip
HANDED_ON = {"num_first": "first"} | {name: name for name in SAME_NAME}


def indrnn_body(
    options: ModelOptions, input_size: int, seq_len: int, rng: np.random.Generator, **own: Any
) -> SequenceBody:
    """The IndRNN network of the options, without its readout.

    Args:
        options: a model of INDRNN, its sizes, U_bound, dtype, and any of HANDED_ON.
        input_size: D.
        seq_len: T, for the bounds on u.
        rng: draws the initial values.
        own: arguments of the body that no option is for.

    Raises:
        OptionError: a bound on u that leaves nothing to draw from.
    """
    o: Any = options  # what its model has is not None
    values = {name: x for name, x in options.as_dict().items() if x is not None}
    given: dict[str, Any] = {HANDED_ON[name]: values[name] for name in HANDED_ON.keys() & values}
    given |= {"seq_len": seq_len, "rng": rng, "u_bound": o.U_bound or None}
    given |= {"dtype": np.dtype(o.dtype), **own}
    try:
        if o.model == PLAIN:
            return PlainIndRNNBody(input_size, o.hidden_size, o.num_layers, **given)
        if o.model == RESIDUAL:
            return ResidualIndRNNBody(input_size, o.hidden_size, o.num_blocks, **given)
        blocks = parse_sizes(o.block_config)
        return DenseIndRNNBody(input_size, o.growth_rate, blocks, **given)
    except ValueError as error:
        raise OptionError(f"--MAG or --U_bound: {error}") from None


def dense_drop(help: str, default: float) -> Any:
    """The field of a chance to drop that only dense networks have."""
    return by_model(f"P(drop) {help}", {DENSE: default}, low=0, high=BELOW_1)
