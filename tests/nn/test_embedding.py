"""Embedding with row dropout, the tied decoder, one-hot vectors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import Embedding, Module, TiedDecoder, build, describe, one_hot
from tests.strategies import integers

from .functional import as_function

T, B, V, e = 4, 3, 7, 5
IDS = np.random.default_rng(1).integers(0, V, (T, B))


def make(V=V, size=e, dtype=np.float64, **options):
    return Embedding(V, size, rng=np.random.default_rng(0), dtype=dtype, **options)


class Tied(Module):
    """Symbols to scores through one table."""

    def __init__(self, p_drop=0.0):
        self.table = make(p_drop=p_drop)
        self.decoder = TiedDecoder(self.table)

    def forward(self, ids, rng=None):
        return self.decoder(self.table(ids, rng))


def test_rows_are_looked_up_and_start_small():
    layer = make(V=50, size=400, dtype=np.float32)
    ids = np.array([[3, 49], [3, 0]], np.int32)
    np.testing.assert_array_equal(layer(ids).data, layer.W.data[ids])
    W = layer.W.data.astype(np.float64)
    assert np.abs(W).max() <= 0.01
    assert W.std() == pytest.approx(0.01 / math.sqrt(3), rel=0.02)
    assert abs(W.mean()) < 1e-4


def test_whole_rows_are_dropped_wherever_they_stand_and_the_others_scaled():
    layer, ids = make(V=300, size=4, p_drop=0.3), np.arange(600).reshape(2, 300) % 300
    y, rng = layer(ids, np.random.default_rng(2)).data, np.random.default_rng(2)
    dropped = (y == 0).all(axis=-1)
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert ((y == 0).any(axis=-1) == dropped).all()
    assert abs(dropped[0].mean() - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 300)
    kept = ~dropped[0]
    np.testing.assert_allclose(y[0][kept], layer.W.data[kept] / 0.7, rtol=1e-12)
    assert (layer(ids, rng).data == y).all()  # the same generator, the same rows
    assert (layer(ids, rng).data != y).any()  # the next call, others


def test_evaluation_and_p_0_draw_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    layer = make(p_drop=0.5)
    np.testing.assert_array_equal(layer.eval()(IDS, rng).data, layer.W.data[IDS])
    np.testing.assert_array_equal(make()(IDS, rng).data, make().W.data[IDS])
    assert rng.bit_generator.state == before
    with pytest.raises(TypeError, match=r"Embedding in training .* rng is None"):
        layer.train()(IDS)


@pytest.mark.parametrize("p_drop", [0.0, 0.4])
def test_gradient_of_the_table(p_drop):
    layer = make(p_drop=p_drop)
    call = lambda layer: layer(IDS, np.random.default_rng(5))  # noqa: E731
    f, parameters = as_function(layer, call)
    gradcheck(f, *parameters, rng=np.random.default_rng(6))


def test_the_tied_decoder_multiplies_with_the_table():
    model, x = Tied(), np.random.default_rng(3).normal(size=(T, B, e))
    model.decoder.b.data[...] = np.arange(V)
    y = model.decoder(x).data
    W = model.table.W.data
    expected = np.einsum("tbe,ve->tbv", x, W) + np.arange(V)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    assert [name for name, _ in model.named_parameters()] == ["table.W", "decoder.b"]
    assert model.num_parameters() == V * e + V


@pytest.mark.parametrize("p_drop", [0.0, 0.4])
def test_the_gradient_of_the_shared_table_is_the_sum_of_both_uses(p_drop):
    model, dy = Tied(p_drop), np.random.default_rng(4).normal(size=(T, B, V))
    model(IDS, np.random.default_rng(5)).backward(dy)
    W = model.table.W.data
    rows = make(p_drop=p_drop)(IDS, np.random.default_rng(5)).data  # what the decoder read
    scale = np.divide(rows, W[IDS])
    of_decoder = np.einsum("tbv,tbe->ve", dy, rows)
    of_table = np.zeros_like(W)
    np.add.at(of_table, IDS, (dy @ W) * scale)
    np.testing.assert_allclose(model.table.W.grad, of_decoder + of_table, rtol=1e-9, atol=1e-14)
    assert np.abs(of_decoder).max() > 1e-3
    assert np.abs(of_table).max() > 1e-3
    f, parameters = as_function(model, lambda model: model(IDS, np.random.default_rng(5)))
    gradcheck(f, *parameters, rng=np.random.default_rng(6))


@given(
    sizes=st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 6), st.integers(1, 4)),
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from([np.int32, np.int64, np.uint8]),
    data=st.data(),
)
def test_any_sizes_and_dtypes(sizes, dtype, kind, data):
    T, B, V, size = sizes
    ids = data.draw(integers((T, B), 0, V)).astype(kind)
    layer = make(V, size, dtype)
    y = layer(ids)
    assert (y.shape, y.dtype) == ((T, B, size), dtype)
    np.testing.assert_array_equal(y.data, np.take(layer.W.data, ids, axis=0))
    vectors = one_hot(ids, V, layer.W.data)
    assert (vectors.shape, vectors.dtype) == ((T, B, V), dtype)
    np.testing.assert_array_equal(vectors, np.eye(V)[ids.astype(int)])
    np.testing.assert_array_equal(vectors @ layer.W.data, y.data)


def test_it_is_rebuilt_from_its_description():
    layer = make(p_drop=0.25)
    again = build(describe(layer))
    again.load_state_dict(layer.state_dict())
    y, z = (m(IDS, np.random.default_rng(1)).data for m in (layer, again))
    np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make(V=0), ValueError, "Embedding: V is 0"),
        (lambda: make(size=0), ValueError, "Embedding: size is 0"),
        (lambda: make(p_drop=1.0), ValueError, "Embedding: p_drop is 1.0"),
        (lambda: make()(IDS + V), ValueError, "Embedding: ids has entries from 7"),
        (lambda: make()(IDS * 1.0), TypeError, "Embedding: ids has dtype float64, expected int"),
        (lambda: one_hot(IDS - 9, V, np.zeros(1)), ValueError, "one_hot: ids has entries from -"),
        (lambda: TiedDecoder(np.zeros((V, e))), TypeError, "TiedDecoder: table is a ndarray"),
        (
            lambda: Tied().decoder(np.zeros((T, B, e + 1))),
            ValueError,
            r"TiedDecoder: x has shape \(4, 3, 6\), expected \(T, B, e\) with e = 5",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
