"""LanguageModel: every part, tying, states, dropout, gradients, files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import interop
from nnseq.backend import device_of, to_device, use_kernels
from nnseq.gradcheck import gradcheck
from nnseq.models import LanguageModel, RecurrentBody, detach
from nnseq.nn import GRU, LSTM, RNN, norm_stabilizer
from nnseq.ops import concat, cross_entropy
from nnseq.optim import Adam
from tests.nn.functional import as_function

from .networks import KINDS, Formulas, H, draw, make, stir

T, B, V, e = 4, 3, 7, 2
IDS = np.random.default_rng(1).integers(0, V, (T, B))
STEPS = {"bn": "before", "bn_steps": 6}
HEAD = {"embed_size": e, "head": "indrnn"}
LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def indrnn(kind="plain", body=None, seed=0, **options):
    """A language model over a small IndRNN body; a head and tying unless options say otherwise."""
    options = HEAD | {"tied": True} | options
    rng = np.random.default_rng(seed)
    return stir(LanguageModel(V, make(kind, **STEPS | (body or {})), rng=rng, **options), seed)


def recurrent(layer="lstm", hidden_size=H, rnn=None, **options):
    rng, D = np.random.default_rng(0), options.get("embed_size") or V
    layers = LAYERS[layer](D, hidden_size, rng=rng, dtype=np.float64, **(rnn or {}))
    return LanguageModel(V, RecurrentBody(layers), rng=rng, **options)


def states_of(model, seed=5):
    is_training = model.is_training
    _, states = model.eval()(IDS)
    model.train(is_training)
    return tuple(draw(seed + k, *state.shape) for k, state in enumerate(detach(states)))


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("bn", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_states_are_those_of_the_formulas(kind, bn, is_training):
    model = indrnn(kind, {"bn": bn})
    states, arrays = states_of(model), model.state_dict()
    body, head = (
        {k.removeprefix(part): a for k, a in arrays.items() if k.startswith(part)}
        for part in ("body.", "head.")
    )
    how = {"is_training": is_training, "start": 4}
    below, above = (
        Formulas(body, bn, states=states[:-1], **how),
        Formulas(head, bn, states=states[-1:], **how),
    )
    W, b = arrays["embedding.W"], arrays["decoder.b"]
    h = above.block(below.run(kind, W[IDS]), "block")
    h = above.batch_norm(h, "bn") if bn == "before" else h
    y, final = model.train(is_training)(IDS, states, start=4)
    assert y.shape == (T, B, V)
    np.testing.assert_allclose(y.data, h @ W.T + b, rtol=1e-9, atol=1e-11)
    for state, right in zip(detach(final), below.final + above.final, strict=True):
        np.testing.assert_allclose(state, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("embed_size", [None, e])
def test_other_layers_read_one_hot_vectors_or_embeddings(layer, embed_size):
    model = recurrent(layer, embed_size=embed_size)
    x = np.eye(V)[IDS] if embed_size is None else model.embedding.W.data[IDS]
    h, states = model.body.rnn(x)
    W, b = model.decoder.W.data, model.decoder.b.data
    assert (W.shape, model.embedding is None) == ((H, V), embed_size is None)
    y, final = model(IDS)
    np.testing.assert_allclose(y.data, h.data @ W + b, rtol=1e-12)
    theirs = states if isinstance(states, tuple) else (states,)
    for state, right in zip(final, theirs, strict=True):
        np.testing.assert_array_equal(state.data, right.data)


def test_a_tied_decoder_is_the_table_itself():
    tied, own = indrnn(), indrnn(tied=False)
    assert tied.decoder.table is tied.embedding
    names = dict(tied.named_parameters())
    assert "embedding.W" in names
    assert "decoder.b" in names
    assert "decoder.W" not in names
    assert own.num_parameters() - tied.num_parameters() == V * e
    tied.embedding.W.data[...] = draw(2, V, e)
    h = draw(3, T, B, e)
    expected = np.einsum("tbe,ve->tbv", h, draw(2, V, e)) + tied.decoder.b.data
    np.testing.assert_allclose(tied.decoder(h).data, expected, rtol=1e-12)


def test_the_gradient_of_a_tied_table_is_the_sum_of_both_uses():
    """Against the same network with two tables that happen to be equal."""
    tied, own = indrnn(), indrnn(tied=False)
    state = tied.state_dict()
    own.load_state_dict(state | {"decoder.W": state["embedding.W"].T.copy()})
    dy = draw(3, T, B, V)
    for model in (tied, own):
        model(IDS)[0].backward(dy)
    both = own.embedding.W.grad + own.decoder.W.grad.T
    np.testing.assert_allclose(tied.embedding.W.grad, both, rtol=1e-9, atol=1e-12)
    assert np.abs(own.embedding.W.grad).max() > 1e-4
    assert np.abs(own.decoder.W.grad).max() > 1e-4


DROPS = {"p_embedding": 0.3, "p_words": 0.2, "p_head": 0.4}
MODELS = {
    "plain, tied": lambda: indrnn("plain", {"p_drop": 0.2}, **DROPS),
    "residual, tied": lambda: indrnn("residual", **DROPS),
    "dense, tied": lambda: indrnn("dense without ends", {"blocks": (1, 1)}, **DROPS),
    "plain, after": lambda: indrnn("plain", {"bn": "after"}, tied=False, **DROPS),
    "no head": lambda: indrnn("plain", head=None, tied=False),
    "lstm": lambda: recurrent("lstm", 3, {"zoneout_h": 0.3, "zoneout_c": 0.4}, p_head=0.3),
    "gru": lambda: recurrent("gru", 3, embed_size=e, **DROPS),
    "rnn, tied": lambda: recurrent("rnn", e, embed_size=e, tied=True, **DROPS),
}


@pytest.mark.parametrize(
    ("name", "is_training"),
    [(name, True) for name in MODELS] + [("plain, tied", False), ("lstm", False)],
)
def test_gradients_of_every_parameter_and_state(name, is_training):
    model = MODELS[name]()
    if model.embedding is not None:
        model.embedding.W.data *= 5
    states = states_of(model.train(is_training))
    ids = IDS[:3]

    def call(model, *states):
        y, final = model(ids, states, rng=np.random.default_rng(3), start=1)
        return concat([z.reshape(-1) for z in (y, *final)], 0)

    f, parameters = as_function(model, call)
    gradcheck(f, *parameters, *states, rng=np.random.default_rng(7))


@pytest.mark.parametrize("name", MODELS)
def test_two_calls_with_the_states_carried_are_one_call(name):
    model = MODELS[name]().eval()
    ids = np.random.default_rng(2).integers(0, V, (2 * T, B))
    whole, last = model(ids)
    first, states = model(ids[:3])
    second, final = model(ids[3:], model.detach(states), start=3)
    together = np.concatenate([first.data, second.data])
    np.testing.assert_allclose(together, whole.data, rtol=1e-11)
    for state, right in zip(detach(final), detach(last), strict=True):
        np.testing.assert_allclose(state, right, rtol=1e-11)


def test_two_calls_are_one_call_in_training_with_statistics_of_each_step():
    whole, halves = (indrnn(body={"bn_steps": 2 * T}) for _ in range(2))
    ids = np.random.default_rng(2).integers(0, V, (2 * T, B))
    y, _ = whole(ids)
    first, states = halves(ids[:3])
    second, _ = halves(ids[3:], states, start=3)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), y.data, rtol=1e-8)
    theirs = halves.state_dict()
    for name, array in whole.state_dict().items():
        np.testing.assert_allclose(theirs[name], array, rtol=1e-8, atol=1e-12, err_msg=name)


def test_the_heads_statistics_follow_start_and_clamp_too():
    model = indrnn().eval()
    assert model.head.block.bn.running_mean.shape == (6, e)
    assert model.head.bn.running_mean.shape == (6, e)
    hidden = draw(4, T, B, H)
    outputs = [model.head(hidden, start=start)[0].data for start in (0, 3, 6, 99)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    np.testing.assert_array_equal(outputs[2], outputs[3])


def test_detached_states_have_no_history():
    model = recurrent("lstm")
    _, states = model(IDS)
    plain = model.detach(states)
    assert all(type(state) is np.ndarray for state in plain)
    assert model.detach(plain) is not None
    assert model.detach(None) is None
    for carried, reaches in ((states, True), (plain, False)):
        model.zero_grad()
        y, _ = model(IDS[:1], carried)
        y.backward(np.ones_like(y.data))
        used = np.unique(IDS[:1])  # rows of one-hot symbols that the second call read
        others = np.setdiff1d(np.arange(V), used)
        W = model.body.rnn.directions[0].W_ih
        assert W.grad[others].any() == reaches
        _, states = model(IDS)


def test_the_head_has_a_second_batch_norm_only_where_the_first_stands_before():
    before, after = indrnn(), indrnn(body={"bn": "after"})
    assert before.head.bn is not None
    assert after.head.bn is None
    rng = np.random.default_rng(0)
    fresh = LanguageModel(V, make("plain", **STEPS), rng=rng, **HEAD)  # small_norm_init
    np.testing.assert_allclose(fresh.head.block.bn.gamma.data, 0.1)
    np.testing.assert_allclose(fresh.head.bn.gamma.data, 1.0)


def test_initial_values():
    rng = np.random.default_rng(0)
    body = make("plain", D=300, u_bound=0.9, dtype=np.float32)
    model = LanguageModel(200, body, rng=rng, embed_size=300, head="indrnn")
    for x in (model.embedding.W, model.decoder.W):
        assert np.abs(x.data).max() <= 0.01
        assert x.data.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.02)
    u = model.head.block.rnn.u.data
    assert 0 <= u.min() < 0.05
    assert 0.85 < u.max() <= 0.9
    assert not model.decoder.b.data.any()
    assert {x.dtype for x in model.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", DROPS)
def test_each_dropout_changes_training_alone(name):
    model, rng = indrnn(**{name: 0.5}), np.random.default_rng(2)
    assert (model(IDS, rng=rng)[0].data != model(IDS, rng=rng)[0].data).any()
    with pytest.raises(TypeError, match="rng is None"):
        model(IDS)
    expected = indrnn().eval()(IDS)[0].data
    fresh = indrnn(**{name: 0.5}).eval()
    np.testing.assert_array_equal(fresh(IDS, rng=rng)[0].data, expected)


def test_words_and_the_heads_outputs_are_dropped_with_one_mask_for_all_steps(monkeypatch):
    seen = []

    def forward(self, x, *states, **options):
        seen.append(x.data)
        return run(self, x, *states, **options)

    run = RecurrentBody.forward
    monkeypatch.setattr(RecurrentBody, "forward", forward)
    recurrent("gru", embed_size=5, p_words=0.5)(IDS, rng=np.random.default_rng(0))
    dropped = seen[0] == 0
    assert (dropped == dropped[0]).all()
    assert 0 < dropped[0].sum() < dropped[0].size
    model = recurrent("gru", p_head=0.5)
    y, _, hidden = model(IDS, rng=np.random.default_rng(1), return_hidden=True)
    kept = np.random.default_rng(1).random((1, B, H), dtype=np.float32) >= 0.5
    h = hidden.h.data * kept / 0.5
    np.testing.assert_allclose(y.data, h @ model.decoder.W.data + model.decoder.b.data, rtol=1e-9)


def test_hidden_states_come_out_for_regularisers():
    model = recurrent("lstm")
    y, states, hidden = model(IDS, return_hidden=True)
    np.testing.assert_array_equal(hidden.h.data[-1], states[0].data[-1])
    np.testing.assert_array_equal(hidden.c.data[-1], states[1].data[-1])
    loss = cross_entropy(y.reshape(-1, V), IDS.reshape(-1)) + norm_stabilizer(hidden.c, 50.0)
    loss.backward()
    assert all(x.grad is not None for x in model.parameters())
    assert recurrent("gru")(IDS, return_hidden=True)[2].c is None
    *_, hidden = indrnn()(IDS, return_hidden=True)
    assert hidden.h.shape == (T, B, H)
    assert hidden.c is None


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_comes_back_bit_for_bit(name, tmp_path):
    model = MODELS[name]()
    model(IDS, rng=np.random.default_rng(1))
    interop.save(model, tmp_path / "model.h5")
    again = interop.load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again(IDS, start=2)[0].data, model.eval()(IDS, start=2)[0].data)
    assert again.num_parameters() == model.num_parameters()
    y, z = (m.train()(IDS, rng=np.random.default_rng(4))[0].data for m in (model, again))
    np.testing.assert_array_equal(y, z)
    if "tied" in name:
        assert again.decoder.table is again.embedding


@given(
    sizes=st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 6)),
    kind=st.sampled_from(["gru", "plain"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    integer=st.sampled_from([np.int32, np.int64, np.uint8]),
    seed=st.integers(0, 99),
)
def test_any_sizes_and_dtypes(sizes, kind, dtype, integer, seed):
    T, B, V = sizes
    rng = np.random.default_rng(seed)
    if kind == "gru":
        body = RecurrentBody(GRU(V, H, rng=rng, dtype=dtype))
        model = LanguageModel(V, body, rng=rng)
    else:
        model = LanguageModel(V, make("plain", dtype=dtype, **STEPS), rng=rng, tied=True, **HEAD)
    ids = rng.integers(0, V, (T, B)).astype(integer)
    y, states = model.eval()(ids)
    assert (y.shape, y.dtype) == ((T, B, V), dtype)
    assert {state.dtype for state in detach(states)} == {np.dtype(dtype)}
    expected, _ = model.astype(np.float64)(ids)
    np.testing.assert_allclose(y.data, expected.data, atol=1e-4 if dtype == np.float32 else 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: indrnn(embed_size=3), ValueError, "the body reads vectors of size 2, expected 3"),
        (
            lambda: indrnn(embed_size=None, head=None, tied=False),
            ValueError,
            "the body reads vectors of size 2, expected 7",
        ),
        (
            lambda: indrnn(head=None),
            ValueError,
            r"tied shares a table of vectors of size 2, .* size 5; use head='indrnn', or embed",
        ),
        (lambda: recurrent(tied=True), ValueError, "tied is True, but embed_size is None"),
        (lambda: recurrent(p_embedding=0.1), ValueError, "p_embedding is 0.1, but embed_size is"),
        (lambda: recurrent(head="indrnn"), ValueError, "head is 'indrnn', but embed_size is None"),
        (lambda: recurrent(**HEAD), TypeError, "options from an IndRNN body, but the body is a Re"),
        (lambda: indrnn(head="lstm"), ValueError, "head is 'lstm', expected one of None, 'indrnn'"),
        (lambda: indrnn(tied=1), TypeError, "LanguageModel: tied is 1"),
        (lambda: indrnn(p_words=1.0), ValueError, "p_drop is 1.0"),
        (
            lambda: indrnn(body={"init_last_u": True}),
            ValueError,
            "init_last_u is True, but the last recurrence is the head's",
        ),
        (
            lambda: recurrent(rnn={"bidirectional": True}),
            ValueError,
            "the body runs backwards too, so it would see the symbols",
        ),
        (lambda: recurrent(rnn={"output": "last"})(IDS), ValueError, "LSTM has output='last'"),
        (
            lambda: LanguageModel(V, GRU(V, H, rng=np.random.default_rng(0)), rng=None),
            TypeError,
            "LanguageModel: body is a GRU, expected a SequenceBody",
        ),
        (lambda: recurrent()(IDS[0]), ValueError, r"ids has shape \(3,\), expected whole numbers"),
        (lambda: recurrent()(IDS + V), ValueError, "ids has entries from 7"),
        (lambda: indrnn()(IDS * 1.0), TypeError, "ids has dtype float64"),
        (
            lambda: indrnn()(IDS, states_of(indrnn())[:-1]),
            ValueError,
            "LanguageModel: got 3 states, expected 4",
        ),
        (
            lambda: indrnn()(IDS, tuple(s[:2] for s in states_of(indrnn()))),
            ValueError,
            r"h0 has shape \(2, 5\), expected \(B, H\) = \(3, 5\)",
        ),
        (
            lambda: recurrent()(IDS, (np.zeros((1, B, H)),)),
            ValueError,
            "RecurrentBody: got 1 states, expected 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_training_on_a_gpu_agrees_with_the_cpu(name):
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    after = {}
    for device in ("cpu", "cuda"):
        model = MODELS[name]().to(device)
        optimizer, rng = Adam(model.named_parameters(), 0.01), np.random.default_rng(3)
        states, start = None, 0
        with use_kernels("auto"):
            for _ in range(3):
                optimizer.zero_grad()
                ids = to_device(IDS, device)
                y, states = model(ids, states, rng=rng, start=start)
                cross_entropy(y.reshape(-1, V), ids.reshape(-1)).backward()
                optimizer.step()
                model.constrain()
                states, start = model.detach(states), start + T
        assert {device_of(state) for state in states} == {device}
        after[device] = model.state_dict()
    for key, array in after["cpu"].items():
        np.testing.assert_allclose(after["cuda"][key], array, rtol=1e-7, atol=1e-9, err_msg=key)
