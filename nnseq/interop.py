"""A model in a file of its own, for inference and for other programs.

    save(model, "adding.h5")        parameters, running statistics, class and constructor arguments
    model = load("adding.h5")       the same model, in eval mode

For weights that PyTorch's recurrent layers trained, see load_torch_state and torch_state of
nnseq.interop_torch, which are names of this module too.

The file is a checkpoint (nnseq.checkpoint) with /params and /state/buffers, so `--load_weight`
takes it, and any HDF5 reader shows its arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nnseq.checkpoint import CheckpointError, read, write
from nnseq.interop_torch import load_torch_state, save_torch_state, torch_state
from nnseq.nn.description import build, describe
from nnseq.nn.module import Module

__all__ = [
    "load",
    "load_arrays",
    "load_torch_state",
    "save",
    "save_torch_state",
    "split_arrays",
    "torch_state",
]


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Writes a model so that `load` can build it again.

    Args:
        model: on any device.
        path: the file; one that is there is kept as NAME.prev.h5.

    Raises:
        TypeError: a constructor argument that JSON cannot hold.
        CheckpointError: the file cannot be written; one that was there is whole.
    """
    parameters, buffers = split_arrays(model)
    tree = {"params": parameters, "state": {"buffers": buffers}}
    write(path, tree, {"model": describe(model)})


def load(path: str | os.PathLike[str]) -> Module:
    """Builds the model that `save` wrote, on the CPU and in eval mode.

    Only classes of Module that are already imported are built; the file runs no code.

    Raises:
        CheckpointError: damaged, no model, or a model that the class of today cannot hold.
    """
    tree, attributes = read(path)
    if "model" not in attributes:
        raise CheckpointError(
            f"{os.fspath(path)}: holds no description of a model, expected a file that nnseq.save "
            "wrote; build the model and give a run's checkpoint to --load_weight"
        )
    try:
        model = build(attributes["model"])
        load_arrays(model, tree)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{os.fspath(path)}: holds another model: {error}") from error
    return model.eval()


def split_arrays(
    model: Module, state: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a model as (trainable parameters, buffers), each dotted name -> array.

    Args:
        state: a state_dict of the model, in place of the one that it has now.
    """
    trainable = {name for name, _ in model.named_parameters()}
    state = model.state_dict() if state is None else state
    return (
        {name: x for name, x in state.items() if name in trainable},
        {name: x for name, x in state.items() if name not in trainable},
    )


def load_arrays(model: Module, tree: Mapping[str, Any]) -> None:
    """Puts /params and /state/buffers of a checkpoint into a model, in place.

    Raises:
        ValueError: they belong to another model; lists every wrong name. The model is unchanged.
    """
    buffers = tree.get("state", {}).get("buffers", {})
    model.load_state_dict({**tree.get("params", {}), **buffers})
