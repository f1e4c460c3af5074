"""LanguageModel: symbols in, the scores of the next symbol out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nnseq.backend import Array
from nnseq.models.body import SequenceBody, States, check_body, detach, refuse_unused
from nnseq.models.indrnn_body import IndRNNBody
from nnseq.models.indrnn_head import IndRNNHead
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.nn.arguments import check_choice, check_flag, check_size
from nnseq.nn.dropout import Dropout
from nnseq.nn.embedding import SMALL_UNIFORM, Embedding, TiedDecoder, one_hot
from nnseq.nn.initializers import Initializer
from nnseq.nn.linear import Linear
from nnseq.nn.module import Module


class Hidden(NamedTuple):
    """What a body's last layer did at all steps.

    h: (T, B, O) its outputs. c: (T, B, width) its cell states, or None where it has none.
    """

    h: Any
    c: Any


class LanguageModel(Module):
    """Predicts, at every step, the next symbol.

        x_t = E[ids_t]                     or the one-hot vector of ids_t       (1)
        x ← dropout(x)                     p_words, the same mask at every step (2)
        h = body(x)                                                             (3)
        h ← head(h)                        see IndRNNHead                       (4)
        h ← dropout(h)                     p_head, the same mask at every step  (5)
        y_t = h_t W + b                    logits; tied: W = Eᵀ                 (6)

    The states are the body's, and the head's h after them, as one tuple.

    Args:
        V: how many symbols.
        body: a SequenceBody that reads forwards only.
        rng: draws the initial values of all but the body.
        embed_size: e, the body's input_size; None: one-hot vectors, so input_size is V.
        tied: W of (6) is the table of (1), one parameter; what the decoder reads is then e wide.
        head: "indrnn": (4), to the width e, with the options that the body, an IndRNNBody, has now:
            its set_seq_len does not reach the head; or None.
        p_embedding: the chance to drop a row of E, see nnseq.nn.embedding.
        p_words, p_head: of (2) and (5).
        embed_init: of E.
        decoder_init: of W where it is not tied.

    Raises:
        ValueError, TypeError: out of range, widths that do not fit, or an option of a part that is
            left out.
    """

    def __init__(
        self,
        V: int,
        body: SequenceBody,
        *,
        rng: np.random.Generator,
        embed_size: int | None = None,
        tied: bool = False,
        head: str | None = None,
        p_embedding: float = 0.0,
        p_words: float = 0.0,
        p_head: float = 0.0,
        embed_init: Initializer = SMALL_UNIFORM,
        decoder_init: Initializer = SMALL_UNIFORM,
    ) -> None:
        self.V = check_size("LanguageModel", "V", V)
        check_choice("LanguageModel", "head", head, (None, "indrnn"))
        check_body("LanguageModel", body)
        _check_reader(body, V if embed_size is None else embed_size)
        self.body, dtype = body, next(body.parameters()).dtype
        self.embedding: Embedding | None = None
        self.head: IndRNNHead | None = None
        self.decoder: Linear | TiedDecoder
        width = body.output_size
        if embed_size is None:
            because = "embed_size is None: there is no table; give an embed_size"
            refuse_unused("LanguageModel", because, tied=tied, head=head, p_embedding=p_embedding)
        else:
            self.embedding = Embedding(
                V, embed_size, rng=rng, p_drop=p_embedding, W_init=embed_init, dtype=dtype
            )
            if head is not None:
                self.head = IndRNNHead(_options_of(body), width, embed_size, rng)
                width = embed_size
        if check_flag("LanguageModel", "tied", tied) and self.embedding is not None:
            _check_tied(width, self.embedding.size)
            self.decoder = TiedDecoder(self.embedding)
        else:
            self.decoder = Linear(width, V, rng=rng, W_init=decoder_init, dtype=dtype)
        self.drop_words = Dropout(p_words, shared_over_time=True)
        self.drop_head = Dropout(p_head, shared_over_time=True)

    def forward(
        self,
        ids: Any,
        states: States | None = None,
        *,
        rng: np.random.Generator | None = None,
        start: int = 0,
        return_hidden: bool = False,
    ) -> Any:
        """Score the symbol after each.

        Args:
            ids: (T, B) whole numbers in [0, V).
            states: what an earlier call returned as states, such as detach(states); None: zeros.
            rng: draws masks; needed in training where something is random.
            start: steps since the states were zero, for batch norm step by step.
            return_hidden: also return a Hidden of (3), for regularisers.

        Returns:
            y: (T, B, V) logits. states: a tuple, to be carried on.

        Raises:
            ValueError, TypeError: shapes, ids or states that do not fit, or no generator where one
                is needed.
        """
        if getattr(ids, "ndim", None) != 2:
            raise ValueError(
                f"LanguageModel: ids has shape {np.shape(ids)}, expected whole numbers (T, B)"
            )
        of_body, of_head = self._split(states)
        x = self.drop_words(self._vectors(ids, rng), rng)  # (1), (2)
        cells = {"return_cells": True} if return_hidden and self.body.has_cells else {}
        h, final, *c = self.body(x, of_body, rng=rng, start=start, **cells)  # (3)
        hidden = Hidden(h, c[0] if c else None)
        if self.head is not None:
            h, h_T = self.head(h, of_head, start=start)  # (4)
            final = (*final, h_T)
        y = self.decoder(self.drop_head(h, rng))  # (5), (6)
        return (y, final, hidden) if return_hidden else (y, final)

    @staticmethod
    def detach(states: States | None) -> tuple[Array, ...] | None:
        """Return the same states as plain arrays, to be carried to the next batch."""
        return detach(states)

    def _vectors(self, ids: Any, rng: Any) -> Any:
        if self.embedding is not None:
            return self.embedding(ids, rng)
        like: Any = self.decoder.b  # of the model's dtype and device
        return one_hot(ids, self.V, like.data)

    def _split(self, states: States | None) -> tuple[Any, Any]:
        """Return the states of the body and that of the head."""
        if self.head is None or states is None:
            return states, None
        expected = self.body.num_states + 1
        if not isinstance(states, (tuple, list)) or len(states) != expected:
            raise ValueError(
                f"LanguageModel: got {len(states)} states, expected {expected}, as an earlier call "
                f"returned them"
            )
        return tuple(states[:-1]), states[-1]


def _check_reader(body: SequenceBody, width: int) -> None:
    if body.input_size != width:
        raise ValueError(
            f"LanguageModel: the body reads vectors of size {body.input_size}, expected {width}, "
            f"the size of an embedding, or of a one-hot vector where embed_size is None"
        )
    if body.reads_ahead:
        raise ValueError(
            "LanguageModel: the body runs backwards too, so it would see the symbols that it is "
            "to predict; build it in one direction"
        )


def _options_of(body: SequenceBody) -> IndRNNOptions:
    if not isinstance(body, IndRNNBody):
        raise TypeError(
            f"LanguageModel: head='indrnn' takes its options from an IndRNN body, but the body is "
            f"a {type(body).__name__}; leave the head out"
        )
    because = "the last recurrence is the head's, and every step is read"
    refuse_unused("LanguageModel", because, init_last_u=body.options.init_last_u)
    return body.options


def _check_tied(width: int, embed_size: int) -> None:
    if width != embed_size:
        raise ValueError(
            f"LanguageModel: tied shares a table of vectors of size {embed_size}, but the decoder "
            f"would read vectors of size {width}; use head='indrnn', or embed_size={width}"
        )
