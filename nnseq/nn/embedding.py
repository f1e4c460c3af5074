"""Symbols as vectors: a table of them, the same table as a decoder, and one-hot vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.nn.arguments import check_features, check_float, check_rng, check_size, float_dtype
from nnseq.nn.bernoulli import bernoulli_bool
from nnseq.nn.initializers import Initializer, Uniform
from nnseq.nn.module import Module, Parameter
from nnseq.ops.arguments import integer_array
from nnseq.ops.dropout import dropout
from nnseq.ops.indexing import embedding
from nnseq.ops.linear import linear
from nnseq.ops.shape import transpose

SMALL_UNIFORM = Uniform(-0.01, 0.01)  # of the IndRNN authors' language models


class Embedding(Module):
    """Look up a row for each symbol; in training, drop whole rows.

        x_tb = W[v] m_v / (1 - p_drop)      v = ids_tb                          (1)
        m_v = 0 with probability p_drop, else 1, once per call for every v      (2)

    A symbol is dropped wherever it stands in the batch. Gal and Ghahramani 2016, "A theoretically
    grounded application of dropout in recurrent neural networks", arXiv:1512.05287v5.

    Args:
        V: how many symbols.
        size: e, of the vectors.
        rng: draws the initial values.
        p_drop: the chance to drop a symbol, in [0, 1).
        W_init: of W, (V, e).
        dtype: float32 or float64.

    Attributes:
        W: (V, e).

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        V: int,
        size: int,
        *,
        rng: np.random.Generator,
        p_drop: float = 0.0,
        W_init: Initializer = SMALL_UNIFORM,
        dtype: Any = np.float32,
    ) -> None:
        self.V = check_size("Embedding", "V", V)
        self.size = check_size("Embedding", "size", size)
        self.p_drop = check_float("Embedding", "p_drop", p_drop, 0.0, np.nextafter(1.0, 0.0))
        rng, dtype = check_rng("Embedding", rng), float_dtype("Embedding", dtype)
        self.W = Parameter(W_init(rng, (self.V, self.size), dtype))

    def forward(self, ids: Any, rng: np.random.Generator | None = None) -> Any:
        """Map ids (...), whole numbers in [0, V), to (..., e).

        Args:
            ids: an array; it is moved to the device of W.
            rng: draws (2); needed in training where p_drop > 0.

        Raises:
            ValueError: an id is out of range.
            TypeError: ids are not whole numbers, or no generator came although one is needed.
        """
        ids = integer_array("Embedding", "ids", ids, 0, self.V, self.W.data)
        x = embedding(self.W, ids)
        if not self.is_training or self.p_drop == 0:
            return x
        rng = check_rng("Embedding in training (eval() turns it off)", rng)
        m = to_device(bernoulli_bool(rng, 1 - self.p_drop, (self.V,)), device_of(ids))
        return dropout(x, m[ids][..., None], self.p_drop)  # (1)


class TiedDecoder(Module):
    """Scores of all symbols, with the table of an Embedding as weights.

        y = x Wᵀ + b                                                            (1)

    W is one parameter for both: its gradient is the sum of what either use adds. Rows that the
    Embedding drops are whole here. Inan, Khosravi, Socher 2017, "Tying word vectors and word
    classifiers", arXiv:1611.01462v3; Press and Wolf 2017, arXiv:1608.05859v3.

    Args:
        table: the Embedding whose W this is.

    Attributes:
        b: (V,), zeros at first.
    """

    def __init__(self, table: Embedding) -> None:
        if not isinstance(table, Embedding):
            raise TypeError(
                f"TiedDecoder: table is a {type(table).__name__}, expected an Embedding"
            )
        self.table = table
        self.b = Parameter(np.zeros(table.V, table.W.dtype))

    def forward(self, x: Any) -> Any:
        """Map x (T, B, e) to y (T, B, V).

        Raises:
            TypeError, ValueError: another dtype or shape.
        """
        check_features("TiedDecoder", "x", x, self.table.size, "(T, B, e)")
        return linear(x, transpose(self.table.W), self.b)  # (1)


def one_hot(ids: Any, V: int, like: Array) -> Array:
    """Return (..., V): 1 at the place of each id, 0 elsewhere, of like's dtype and device.

    Dense: the product with W_ih then costs V times a lookup, and ids of shape (T, B) take T·B·V
    numbers. That is right for characters; words need an Embedding.

    Raises:
        ValueError, TypeError: ids are not whole numbers in [0, V).
    """
    ids = integer_array("one_hot", "ids", ids, 0, V, like)
    vectors: Array = (ids[..., None] == array_module(like).arange(V)).astype(like.dtype)
    return vectors
