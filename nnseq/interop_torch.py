"""The weights of PyTorch's nn.RNN, nn.LSTM and nn.GRU in our layers, and back, without PyTorch.

    load_torch_state(layer, "encoder.safetensors", prefix="encoder.rnn.")
    load_torch_state(layer, {name: array, ...})         a state dict, each tensor as .numpy()
    arrays = torch_state(layer)                         what PyTorch's load_state_dict takes
    save_torch_state(layer, "layer.safetensors")

PyTorch's names end in _l<layer>, or _l<layer>_reverse; its weights are (G·H, D), ours (D, G·H),
with the gates in the same order. It has two biases:

    W_ih = weight_ihᵀ,   W_hh = weight_hhᵀ                                      (1)
    b    = bias_ih + bias_hh                                                    (2)
    b[n] = bias_ih[n],   b_hn = bias_hh[n]        gate n of a GRU               (3)
    b[f] = (2) - forget_bias                      gate f of an LSTM             (4)

for our LSTM adds forget_bias to b[f] by itself, and PyTorch's does not. Back, bias_ih = b (with
forget_bias added again) and bias_hh = 0 but for b_hn. Outputs in evaluation are then equal;
dropout between layers has one mask for all steps here and another at every step there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nnseq.nn.gru import GRU
from nnseq.nn.lstm import LSTM
from nnseq.nn.recurrent import Recurrent
from nnseq.nn.rnn import RNN

Arrays = dict[str, np.ndarray[Any, Any]]
GATES = {RNN: 1, LSTM: 4, GRU: 3}
F, N = 1, 2  # the place of f in i f g o, of n in r z n


def load_torch_state(
    layer: Recurrent, state: Mapping[str, Any] | str | os.PathLike[str], *, prefix: str = ""
) -> None:
    """Copy a PyTorch state dict into a layer; all of it or, after an error, nothing.

    Args:
        layer: an RNN (also an IRNN), LSTM or GRU of the same sizes, layers, directions, dtype.
        state: name -> array, or the path of a .safetensors file.
        prefix: read only the names that begin with it, as part of a larger model.

    Raises:
        TypeError: another layer; state is neither a mapping nor a path; an entry that is no array,
            such as a torch tensor.
        ValueError: the layer has an option that PyTorch lacks; or a list of every missing,
            unexpected and misshapen name, and of those of another dtype.
        ImportError: a .safetensors file, and the safetensors library is not installed.
    """
    _check_layer("load_torch_state", layer)
    if isinstance(state, Mapping):
        named: Mapping[str, Any] = state
    elif not isinstance(state, (str, os.PathLike)):
        raise TypeError(
            f"load_torch_state: state is a {type(state).__name__}, expected a state dict "
            f"(name -> array) or the path of a .safetensors file"
        )
    else:
        named = _safetensors("load_torch_state").load_file(Path(state))
    found = {name.removeprefix(prefix): x for name, x in named.items() if name.startswith(prefix)}
    expected = torch_state(layer)
    _check_arrays(layer, found, expected, prefix)
    own: Arrays = {}
    for k, suffix in enumerate(_suffixes(layer)):
        place = f"directions.{k}"
        own[f"{place}.W_ih"] = found[f"weight_ih{suffix}"].T
        own[f"{place}.W_hh"] = found[f"weight_hh{suffix}"].T
        if f"bias_ih{suffix}" in expected:
            b_ih, b_hh = found[f"bias_ih{suffix}"], found[f"bias_hh{suffix}"]
            b = own[f"{place}.b"] = b_ih + b_hh  # (2)
            H = b.shape[0] // _gates(layer)
            if isinstance(layer, GRU):
                b[N * H :] = b_ih[N * H :]  # (3)
                own[f"{place}.b_hn"] = b_hh[N * H :]
            if isinstance(layer, LSTM):
                b[F * H : N * H] -= layer.forget_bias  # (4)
    layer.load_state_dict(own)


def torch_state(layer: Recurrent) -> Arrays:
    """Return the state dict of the PyTorch layer that computes the same: name -> its own array.

    Raises:
        TypeError: not an RNN, LSTM or GRU.
        ValueError: the layer has an option that PyTorch lacks.
    """
    _check_layer("torch_state", layer)
    own = layer.state_dict()
    state: Arrays = {}
    for k, suffix in enumerate(_suffixes(layer)):
        place = f"directions.{k}"
        state[f"weight_ih{suffix}"] = np.ascontiguousarray(own[f"{place}.W_ih"].T)
        state[f"weight_hh{suffix}"] = np.ascontiguousarray(own[f"{place}.W_hh"].T)
        if f"{place}.b" in own:
            b_ih = own[f"{place}.b"]
            b_hh = np.zeros_like(b_ih)
            H = b_ih.shape[0] // _gates(layer)
            if isinstance(layer, GRU):
                b_hh[N * H :] = own[f"{place}.b_hn"]
            if isinstance(layer, LSTM):
                b_ih[F * H : N * H] += layer.forget_bias
            state[f"bias_ih{suffix}"], state[f"bias_hh{suffix}"] = b_ih, b_hh
    return state


def save_torch_state(layer: Recurrent, path: str | os.PathLike[str], *, prefix: str = "") -> None:
    """Write torch_state to a .safetensors file, with a prefix before every name.

    Raises:
        TypeError, ValueError: as torch_state.
        ImportError: the safetensors library is not installed.
    """
    state = {f"{prefix}{name}": x for name, x in torch_state(layer).items()}
    _safetensors("save_torch_state").save_file(state, Path(path))


def _suffixes(layer: Recurrent) -> list[str]:
    """PyTorch's endings in the order of our directions."""
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{k}{end}" for k in range(layer.num_layers) for end in ends]


def _gates(layer: Recurrent) -> int:
    return next(number for kind, number in GATES.items() if isinstance(layer, kind))


def _check_layer(who: str, layer: Any) -> None:
    """Refuse what PyTorch has no counterpart for, every option by its name."""
    if not isinstance(layer, (RNN, LSTM, GRU)):
        raise TypeError(f"{who}: got a {type(layer).__name__}, expected an RNN, LSTM or GRU")
    direction = layer.directions[0]
    lacking = {
        "act='identity'": getattr(direction, "act", None) == "identity",
        "reset_after=False": getattr(direction, "reset_after", None) is False,
        "reverse": direction.is_reversed and not layer.bidirectional,
        "residual": layer.residual,
        "learn_states": layer.learn_states,
        "zoneout": direction.zoneout is not None,
        "p_drop_igate": direction.input_gate_dropout is not None,
        "ogate_zoneout": getattr(direction, "ogate_zoneout", False),
        "peepholes": getattr(direction, "p", None) is not None,
        "cell_clip": getattr(direction, "cell_clip", 0.0) > 0,
        "forget_bias without bias": getattr(direction, "forget_bias", 0.0) and direction.b is None,
        "p_dropconnect": direction.dropconnect is not None,
        "weight_norm": direction.norm_hh is not None,
    }
    named = [option for option, is_there in lacking.items() if is_there]
    if named:
        raise ValueError(
            f"{who}: the {type(layer).__name__} has {', '.join(named)}, which PyTorch's layer "
            f"lacks; expected one without"
        )


def _check_arrays(layer: Recurrent, found: Mapping[str, Any], expected: Arrays, at: str) -> None:
    """Refuse arrays that are not the layer's, all of them in one message."""
    for name, x in found.items():
        if not isinstance(x, np.ndarray):
            raise TypeError(
                f"load_torch_state: {at}{name} is a {type(x).__module__}.{type(x).__name__}, "
                f"expected a NumPy array; of a torch tensor, take .numpy()"
            )
    both = sorted(expected.keys() & found.keys())
    faults = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "misshapen": [
            f"{name} is {found[name].shape}, expected {expected[name].shape}"
            for name in both
            if found[name].shape != expected[name].shape
        ],
        "of another dtype": [
            f"{name} is {found[name].dtype}, expected {expected[name].dtype}"
            for name in both
            if found[name].dtype != expected[name].dtype
        ],
    }
    if any(faults.values()):
        under = f" under the prefix {at!r}" if at else ""
        listed = [f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names]
        cure = ""
        dtypes, own = {str(x.dtype) for x in found.values()}, next(iter(expected.values())).dtype
        if faults["of another dtype"] and len(dtypes) == 1 and dtypes <= {"float32", "float64"}:
            theirs = dtypes.pop()
            cure = f"; to convert, layer.astype('{theirs}'), load, and then layer.astype('{own}')"
        raise ValueError(
            f"load_torch_state: the arrays{under} belong to another layer than this "
            f"{type(layer).__name__}; {'; '.join(listed)}{cure}"
        )


def _safetensors(who: str) -> ModuleType:
    """The library, imported where it is needed first."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            f"{who}: a .safetensors file needs the safetensors library, which is not installed: "
            f"pip install 'nnseq[interop]'"
        ) from error
    return safetensors.numpy
