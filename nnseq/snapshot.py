"""A training run as a checkpoint: everything the next step depends on, and back again.

Where it stands in the file:

    /params/<name>             trainable parameters
    /optimizer/<slot>/<name>   its arrays, and beside them its numbers (step, ...)
    /rng/<name>                generators of data and masks
    /state/buffers/<name>      running statistics of the model
    /state/task                schedule, curriculum, carried hidden states
    /state/position            seconds, waited, is_finished, has_extra_line
    attributes                 format, options (JSON), step, epoch

best.h5 has /params and /state/buffers alone, of the best evaluation so far.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnseq import backend, checkpoint
from nnseq.checkpoint import CheckpointError
from nnseq.interop import load_arrays, split_arrays
from nnseq.options import OptionError, Options, differences
from nnseq.task import Position, Task


def save_snapshot(path: Path, task: Task, options: Options, position: Position) -> None:
    """Writes the run as it is between two steps; the file before it is kept as *.prev.h5.

    Raises:
        CheckpointError: the disk refused; the file that was there is whole.
    """
    parameters, buffers = split_arrays(task.model)
    tree = {
        "params": parameters,
        "optimizer": _pack_optimizer(task.optimizer.state_dict()),
        "rng": {name: rng.bit_generator.state for name, rng in task.rngs.items()},
        "state": {
            "buffers": buffers,
            "task": task.state_dict(),
            "position": {
                "seconds": position.seconds,
                "waited": position.waited,
                "has_extra_line": position.has_extra_line,
                "is_finished": task.is_finished,
            },
        },
    }
    epoch = task.epochs_done(position.step) or 0
    attributes = {"options": options.as_dict(), "step": position.step, "epoch": epoch}
    checkpoint.write(path, _to_host(tree), attributes)


def save_best(path: Path, task: Task, options: Options) -> None:
    """Writes the task's best weights, as load_weights reads them; nothing if it keeps none.

    Raises:
        CheckpointError: the disk refused; the file that was there is whole.
    """
    best = task.best_weights()
    if best is None:
        return
    parameters, buffers = split_arrays(task.model, best.state)
    tree = {"params": parameters, "state": {"buffers": buffers}}
    attributes = {"options": options.as_dict(), "step": best.step, "metric": best.metric}
    checkpoint.write(path, _to_host(tree), attributes)


def load_snapshot(path: Path, task: Task, options: Options) -> Position:
    """Puts a run back to where it was saved.

    Args:
        path: the file.
        task: built with the same options; its arrays are overwritten in place.
        options: compared with the file's.

    Raises:
        OptionError: options that belong to the mathematics differ; all of them are listed.
        CheckpointError: the file is damaged, or made by another kind of run.
    """
    tree, attributes = checkpoint.read(path)
    try:
        stored = dict(attributes["options"])
        state, place = tree["state"], tree["state"]["position"]
        position = Position(
            int(attributes["step"]),
            float(place["seconds"]),
            float(place["waited"]),
            bool(place["has_extra_line"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_run(path, error) from error
    faults = differences(options, stored)
    if faults:
        raise OptionError(
            f"--resume: {path} was made with other options: {'; '.join(faults)}; give the same, or "
            "another --out"
        )
    try:
        load_arrays(task.model, tree)
        task.optimizer.load_state_dict(_unpack_optimizer(tree["optimizer"]))
        for name, rng in task.rngs.items():
            rng.bit_generator.state = tree["rng"][name]
        task.load_state_dict(state["task"])
        task.is_finished = bool(place["is_finished"])
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_run(path, error) from error
    return position


def load_weights(path: str | os.PathLike[str], task: Task) -> int:
    """Puts the parameters and running statistics of a file into the task's model, nothing else.

    Args:
        path: a run's checkpoint.h5, or what nnseq.save wrote.

    Returns:
        The step at which they were saved; 0 if the file does not say.

    Raises:
        CheckpointError: the file is damaged, or of another model: every wrong name is listed.
    """
    tree, attributes = checkpoint.read(path)
    try:
        load_arrays(task.model, tree)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{os.fspath(path)}: holds another model: {error}") from error
    return int(attributes.get("step", 0))


def _pack_optimizer(state: Mapping[str, Any]) -> dict[str, Any]:
    """Slots beside each other, and the numbers in a group of their own."""
    numbers = {name: value for name, value in state.items() if name != "slots"}
    return {**state["slots"], "numbers": numbers}


def _unpack_optimizer(tree: Mapping[str, Any]) -> dict[str, Any]:
    slots = {name: arrays for name, arrays in tree.items() if name != "numbers"}
    return {**tree["numbers"], "slots": slots}


def _to_host(tree: Any) -> Any:
    """Every array of a tree as a NumPy array."""
    if isinstance(tree, Mapping):
        return {name: _to_host(leaf) for name, leaf in tree.items()}
    return backend.to_device(tree, "cpu") if hasattr(tree, "dtype") else tree


def _not_a_run(path: Path, why: Exception) -> CheckpointError:
    reason = f"{why} is missing" if isinstance(why, KeyError) else str(why)
    return CheckpointError(
        f"{path}: does not fit this run: {reason}; expected a checkpoint of the same experiment; "
        "name another --out"
    )
