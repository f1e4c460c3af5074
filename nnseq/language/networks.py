"""From the options of a language model to the model.

`o` is a LanguageOptions: what its model has is not None there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq.indrnn_networks import DENSE, INDRNN, indrnn_body
from nnseq.models import LanguageModel, RecurrentBody, SequenceBody
from nnseq.nn import GRU, LSTM, RNN, Module, Recurrent
from nnseq.nn.initializers import GLOROT, Initializer, Orthogonal, Uniform


def build_model(o: Any, V: int, rng: np.random.Generator) -> Module:
    """The language model of the options, for V kinds of tokens."""
    is_indrnn, D = o.model in INDRNN, o.embed_size or V
    starts = {} if is_indrnn else dict.fromkeys(("embed_init", "decoder_init"), weight_init(o))
    return LanguageModel(
        V,
        body_of_indrnn(o, D, rng) if is_indrnn else RecurrentBody(recurrent(o, D, rng)),
        rng=rng,
        embed_size=o.embed_size or None,
        tied=bool(o.tied),
        head="indrnn" if is_indrnn else None,
        p_embedding=o.p_embedding or 0.0,
        p_words=o.p_words,
        p_head=o.p_head,
        **starts,
    )


def body_of_indrnn(o: Any, D: int, rng: np.random.Generator) -> SequenceBody:
    """Plain, residual or dense; batch norm keeps statistics of 2 · seq_len steps.

    The authors keep 4 · seq_len + 1: a window that begins later than step 2 · seq_len has the rows
    from there on, where here the last row serves, and learns from, every later step.
    """
    own = {"first": None, "last_layer": False} if o.model == DENSE else {}
    return indrnn_body(o, D, o.seq_len, rng, bn_steps=2 * o.seq_len, **own)


def recurrent(o: Any, D: int, rng: np.random.Generator) -> Recurrent:
    """The LSTM, the GRU (reset before the product) or the simple RNN with relu."""
    own: dict[str, Any] = {"zoneout_h": o.zoneout_h}
    if o.zoneout_masks is not None:
        own["zoneout_masks"] = o.zoneout_masks
        if o.zoneout_masks == "static":
            own["seq_len"] = o.seq_len + 10 * bool(o.variable_len)
    if o.model == "lstm":
        own |= {"zoneout_c": o.zoneout_c, "forget_bias": o.forget_bias}
        own |= {"p_drop_igate": o.p_drop_igate, "ogate_zoneout": bool(o.ogate_zoneout)}
    elif o.model == "gru":
        own |= {"reset_after": False, "p_drop_igate": o.p_drop_igate}
    else:
        own["act"] = "relu"
    kind: Callable[..., Recurrent] = {"lstm": LSTM, "gru": GRU, "srnn": RNN}[o.model]
    return kind(
        D,
        o.hidden_size,
        rng=rng,
        num_layers=o.num_layers,
        learn_states=bool(o.learn_states),
        p_drop=o.p_drop or 0.0,
        W_init=weight_init(o),
        W_hh_init=Orthogonal() if o.init == "orthogonal" else weight_init(o),
        dtype=np.dtype(o.dtype),
        **own,
    )


def weight_init(o: Any) -> Initializer:
    """Of all weights but, under "orthogonal", W_hh."""
    if o.init != "uniform":
        return GLOROT
    return Uniform(-o.init_width / 2, o.init_width / 2)
