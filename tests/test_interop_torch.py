"""PyTorch's recurrent weights in our layers and back: names, biases, files, refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import interop, nn
from nnseq.interop_torch import load_torch_state, save_torch_state, torch_state
from tests.child import ENVIRONMENT

T, B, D, H = 4, 3, 2, 5
KINDS = {"RNN": (nn.RNN, 1), "LSTM": (nn.LSTM, 4), "GRU": (nn.GRU, 3)}
kinds = pytest.mark.parametrize("kind", KINDS)


def make(kind: str, seed: int = 0, **options: Any) -> Any:
    """A layer with random parameters, biases too."""
    rng = np.random.default_rng(seed)
    layer = KINDS[kind][0](D, H, rng=rng, **{"dtype": np.float64} | options)
    for parameter in layer.parameters():
        parameter.data[:] = rng.normal(size=parameter.shape)
    return layer


def arrays(
    kind: str, seed: int = 1, num_layers: int = 1, bidirectional: bool = False, bias: bool = True
) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch layer, from its documented names and shapes."""
    rng, G = np.random.default_rng(seed), KINDS[kind][1]
    state = {}
    for k in range(num_layers):
        width = D if k == 0 else H * (1 + bidirectional)
        for end in ("", "_reverse") if bidirectional else ("",):
            state[f"weight_ih_l{k}{end}"] = rng.normal(size=(G * H, width))
            state[f"weight_hh_l{k}{end}"] = rng.normal(size=(G * H, H))
            if bias:
                state[f"bias_ih_l{k}{end}"] = rng.normal(size=G * H)
                state[f"bias_hh_l{k}{end}"] = rng.normal(size=G * H)
    return state


def result(layer: Any, lengths: Any = None) -> list[np.ndarray]:
    y, states = layer(np.random.default_rng(2).normal(size=(T, B, D)), lengths=lengths)
    return [y.data, *(s.data for s in (states if isinstance(states, tuple) else (states,)))]


# ---- what goes where ---------------------------------------------------------------------------


@kinds
def test_weights_are_transposed_and_biases_added(kind: str) -> None:
    layer, state = make(kind, num_layers=2, bidirectional=True), arrays(kind, 1, 2, True)
    load_torch_state(layer, state)
    for k, suffix in enumerate(("_l0", "_l0_reverse", "_l1", "_l1_reverse")):
        direction = layer.directions[k]
        np.testing.assert_array_equal(direction.W_ih.data, state[f"weight_ih{suffix}"].T)
        np.testing.assert_array_equal(direction.W_hh.data, state[f"weight_hh{suffix}"].T)
        b_ih, b_hh = state[f"bias_ih{suffix}"], state[f"bias_hh{suffix}"]
        expected = b_ih + b_hh
        if kind == "LSTM":
            expected[H : 2 * H] -= 1.0  # the default forget_bias
        if kind == "GRU":
            expected[2 * H :] = b_ih[2 * H :]
            np.testing.assert_array_equal(direction.b_hn.data, b_hh[2 * H :])
        np.testing.assert_array_equal(direction.b.data, expected)


@kinds
def test_written_weights_have_all_bias_on_the_input_side(kind: str) -> None:
    layer = make(kind)
    state, direction = torch_state(layer), layer.directions[0]
    assert list(state) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    np.testing.assert_array_equal(state["weight_ih_l0"], direction.W_ih.data.T)
    np.testing.assert_array_equal(state["weight_hh_l0"], direction.W_hh.data.T)
    b, b_hh = direction.b.data.copy(), np.zeros(KINDS[kind][1] * H)
    if kind == "LSTM":
        b[H : 2 * H] += 1.0
    if kind == "GRU":
        b_hh[2 * H :] = direction.b_hn.data
    np.testing.assert_array_equal(state["bias_ih_l0"], b)
    np.testing.assert_array_equal(state["bias_hh_l0"], b_hh)
    assert all(x.flags.c_contiguous and x.dtype == np.float64 for x in state.values())
    state["weight_hh_l0"][:] = 0
    state["bias_ih_l0"][:] = 0
    assert (direction.W_hh.data != 0).all()
    assert (direction.b.data != 0).all()


@given(
    kind=st.sampled_from(list(KINDS)), num_layers=st.integers(1, 3), bidirectional=st.booleans(),
    bias=st.booleans(), forget_bias=st.sampled_from([0.0, 1.0, -0.3]),
    dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_a_round_trip_leaves_outputs_equal(
    kind, num_layers, bidirectional, bias, forget_bias, dtype, seed
):
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    if kind == "LSTM":
        options["forget_bias"] = forget_bias if bias else 0.0
    first, second = make(kind, seed, **options), make(kind, seed + 1, **options)
    first.astype(dtype), second.astype(dtype)
    state = torch_state(first)
    load_torch_state(second, state)
    first.astype(np.float64), second.astype(np.float64)
    for a, b in zip(result(first, [4, 1, 2]), result(second, [4, 1, 2]), strict=True):
        # forget_bias is added to b and taken away again, with one rounding of dtype each.
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-13)
    again = torch_state(second.astype(dtype))
    assert list(again) == list(state)
    assert all(again[name].dtype == dtype for name in state)


@kinds
def test_pytorch_computes_the_same_before_and_after_the_round_trip(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    options = {"num_layers": 2, "bidirectional": True}
    theirs = getattr(torch.nn, kind)(D, H, dtype=torch.float64, **options)
    layer = make(kind, **options)
    load_torch_state(layer, {name: p.detach().numpy() for name, p in theirs.named_parameters()})
    x = torch.tensor(np.random.default_rng(2).normal(size=(T, B, D)))
    with torch.no_grad():
        before, last = theirs(x)
        back = {name: torch.tensor(array) for name, array in torch_state(layer).items()}
        theirs.load_state_dict(back)
        after, _ = theirs(x)
    ours, *states = result(layer)
    np.testing.assert_allclose(ours, before.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=0, atol=1e-12)
    for mine, other in zip(states, last if isinstance(last, tuple) else [last], strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=0, atol=1e-12)


def test_an_irnn_is_pytorchs_relu_rnn() -> None:
    layer = nn.IRNN(D, H, rng=np.random.default_rng(0), dtype=np.float64)
    load_torch_state(layer, arrays("RNN"))
    twin = make("RNN", act="relu")
    load_torch_state(twin, arrays("RNN"))
    np.testing.assert_array_equal(result(layer)[0], result(twin)[0])


# ---- files and prefixes ------------------------------------------------------------------------


@kinds
def test_a_safetensors_file_is_read_and_written(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed (extra: interop)")
    first, second = make(kind, bidirectional=True), make(kind, 7, bidirectional=True)
    path = tmp_path / "layer.safetensors"
    save_torch_state(first, path, prefix="encoder.rnn.")
    interop.load_torch_state(second, str(path), prefix="encoder.rnn.")
    np.testing.assert_allclose(result(second)[0], result(first)[0], rtol=0, atol=1e-13)


def test_a_file_that_pytorchs_users_wrote_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    writer = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    theirs = torch.nn.GRU(D, H, dtype=torch.float64)
    writer.save_file(theirs.state_dict(), tmp_path / "gru.safetensors")
    layer = make("GRU")
    load_torch_state(layer, tmp_path / "gru.safetensors")
    np.testing.assert_array_equal(
        layer.directions[0].W_ih.data, theirs.weight_ih_l0.detach().numpy().T
    )


def test_a_prefix_chooses_one_layer_of_a_model() -> None:
    state = {f"decoder.{name}": x for name, x in arrays("GRU", 3).items()}
    state |= {f"encoder.{name}": x for name, x in arrays("GRU", 4).items()}
    state["readout.weight"] = np.zeros((3, 3), np.float32)
    layer, twin = make("GRU"), make("GRU")
    load_torch_state(layer, state, prefix="encoder.")
    load_torch_state(twin, arrays("GRU", 4))
    np.testing.assert_array_equal(result(layer)[0], result(twin)[0])


def test_without_safetensors_the_error_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (load_torch_state, save_torch_state):
        with pytest.raises(ImportError, match=r"needs the safetensors library.*nnseq\[interop\]"):
            call(make("GRU"), "x.safetensors")


def test_a_file_that_is_not_there_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed (extra: interop)")
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
        load_torch_state(make("GRU"), tmp_path / "absent.safetensors")


def test_torch_is_never_imported() -> None:
    code = (
        "import sys, numpy as np; from nnseq import nn; from nnseq.interop import *;"
        "layer = nn.LSTM(2, 3, rng=np.random.default_rng(0));"
        "load_torch_state(layer, torch_state(layer)); print('torch' in sys.modules)"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


# ---- refusals ----------------------------------------------------------------------------------


@kinds
def test_every_name_that_does_not_fit_is_listed_and_nothing_is_changed(kind: str) -> None:
    layer, state = make(kind, num_layers=2), arrays(kind, 1, 2)
    before, G = layer.state_dict(), KINDS[kind][1]
    del state["bias_hh_l0"], state["weight_ih_l1"]
    state["weight_ih_l0_reverse"] = np.zeros((3, 3))
    state["weight_hh_l0"] = state["weight_hh_l0"][:, :-1]
    state["bias_ih_l1"] = state["bias_ih_l1"].astype(np.float32)
    with pytest.raises(ValueError, match=f"belong to another layer than this {kind}") as refusal:
        load_torch_state(layer, state)
    for part in (
        "missing: bias_hh_l0, weight_ih_l1;",
        "unexpected: weight_ih_l0_reverse;",
        f"misshapen: weight_hh_l0 is ({G * H}, 4), expected ({G * H}, 5);",
        "of another dtype: bias_ih_l1 is float32, expected float64",
    ):
        assert part in str(refusal.value)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@kinds
def test_another_dtype_is_refused_with_a_cure_that_works(kind: str) -> None:
    layer, state = make(kind), arrays(kind)
    small = {name: x.astype(np.float32) for name, x in state.items()}
    cure = r"convert, layer\.astype\('float32'\), load, and then layer\.astype\('float64'\)"
    with pytest.raises(ValueError, match=f"of another dtype: .* is float32.*; to {cure}$"):
        load_torch_state(layer, small)
    load_torch_state(layer.astype("float32"), small)
    for name, x in torch_state(layer.astype("float64")).items():
        if name.startswith("weight"):
            np.testing.assert_array_equal(x, small[name])
    state["bias_ih_l0"] = small["bias_ih_l0"]  # dtypes that no conversion of the layer fits
    with pytest.raises(ValueError, match=r"bias_ih_l0 is float32, expected float64$"):
        load_torch_state(layer, state)


@pytest.mark.parametrize("wrong", [None, [1.0], 3])
def test_a_state_that_is_neither_a_dict_nor_a_path_is_refused(wrong: Any) -> None:
    words = rf"load_torch_state: state is a {type(wrong).__name__}, expected a state dict \(name"
    with pytest.raises(TypeError, match=words):
        load_torch_state(make("GRU"), wrong)


@kinds
def test_biases_on_one_side_only_are_refused(kind: str) -> None:
    forget = {"forget_bias": 0.0} if kind == "LSTM" else {}
    with pytest.raises(ValueError, match="unexpected: bias_hh_l0, bias_ih_l0"):
        load_torch_state(make(kind, bias=False, **forget), arrays(kind))
    with pytest.raises(ValueError, match="missing: bias_hh_l0, bias_ih_l0"):
        load_torch_state(make(kind), arrays(kind, bias=False))
    layer = make(kind, bias=False, **forget)
    load_torch_state(layer, arrays(kind, bias=False))
    assert "bias_ih_l0" not in torch_state(layer)


@pytest.mark.parametrize("wrong", [[[1.0]], 1.0, None])
def test_what_is_no_array_is_refused(wrong: Any) -> None:
    state: dict[str, Any] = arrays("GRU")
    state["weight_hh_l0"] = wrong
    with pytest.raises(TypeError, match=r"weight_hh_l0 is a .*, expected a NumPy array"):
        load_torch_state(make("GRU"), state)


def test_a_torch_tensor_is_refused_with_the_cure() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    with pytest.raises(TypeError, match=r"weight_ih_l0 is a torch\.Tensor, .* take \.numpy\(\)"):
        load_torch_state(make("GRU"), torch.nn.GRU(D, H).state_dict())


LACKING = [
    ("RNN", {"act": "identity"}, "act='identity'"),
    ("RNN", {"zoneout_h": 0.1}, "zoneout"),
    ("RNN", {"reverse": True}, "reverse"),
    ("RNN", {"residual": True, "num_layers": 2}, "residual"),
    ("RNN", {"learn_states": True}, "learn_states"),
    ("RNN", {"weight_norm": True}, "weight_norm"),
    ("RNN", {"p_dropconnect": 0.1}, "p_dropconnect"),
    ("GRU", {"reset_after": False}, "reset_after=False"),
    ("GRU", {"p_drop_igate": 0.1}, "p_drop_igate"),
    ("LSTM", {"peepholes": True}, "peepholes"),
    ("LSTM", {"cell_clip": 1.0}, "cell_clip"),
    ("LSTM", {"bias": False}, "forget_bias without bias"),
    ("LSTM", {"zoneout_c": 0.1}, "zoneout"),
    ("LSTM", {"zoneout_h": 0.1, "peepholes": True}, "zoneout, peepholes"),
    ("LSTM", {"p_drop_igate": 0.1, "ogate_zoneout": True}, "p_drop_igate, ogate_zoneout"),
]


@pytest.mark.parametrize(("kind", "options", "named"), LACKING)
def test_what_pytorch_lacks_is_refused_by_name(kind: str, options: Any, named: str) -> None:
    layer = make(kind, **options)
    words = f"the {kind} has {named}, which PyTorch's layer lacks"
    with pytest.raises(ValueError, match=f"torch_state: {words}"):
        torch_state(layer)
    with pytest.raises(ValueError, match=f"load_torch_state: {words}"):
        load_torch_state(layer, arrays(kind))


def test_dropout_between_layers_is_no_hindrance() -> None:
    layer = make("LSTM", num_layers=2, p_drop=0.5)
    load_torch_state(layer, arrays("LSTM", 1, 2))
    assert len(torch_state(layer)) == 8


def test_other_layers_are_refused() -> None:
    rng = np.random.default_rng(0)
    for layer in (nn.MUT(D, H, rng=rng), nn.Linear(D, H, rng=rng), None):
        words = f"got a {type(layer).__name__}, expected an RNN, LSTM or GRU"
        with pytest.raises(TypeError, match=f"torch_state: {words}"):
            torch_state(layer)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"load_torch_state: {words}"):
            load_torch_state(layer, {})  # type: ignore[arg-type]
