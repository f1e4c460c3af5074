"""A training run as two files: everything the next step depends on, and back again.

    best.h5         the best evaluation so far, where the task keeps it; written when it is new
    checkpoint.h5   all the rest; it says which evaluation best.h5 must be of

best.h5 is written first, and the one before it stays as best.prev.h5: whenever a run is killed, one
of the two is what checkpoint.h5 asks for. That one is made best.h5 again before a resumed run
writes anything, so that a second kill cannot lose it.

One fault at a time is survived. After a kill between the two files, best.h5 is already of a new
evaluation and checkpoint.h5 is not; if checkpoint.h5 is damaged too, checkpoint.prev.h5 may ask for
an evaluation that neither best.h5 nor best.prev.h5 is of any more.

Where it stands in checkpoint.h5:

    /params/<name>             trainable parameters
    /optimizer/<slot>/<name>   its arrays, and beside them its numbers (step, ...)
    /rng/<name>                generators of data and masks
    /state/buffers/<name>      running statistics of the model
    /state/task                schedule, curriculum, carried hidden states
    /state/best                step and metric of the evaluation that best.h5 must be of, and the
                               rule that cuts lr; null where no best weights are kept
    /state/position            seconds, waited, is_finished, has_extra_line
    attributes                 format, options (JSON), step, epoch, and the fingerprints of the data
                               (data) and of what ids stand for (vocabulary)

best.h5 has /params, /state/buffers and /optimizer; its attributes are format, options, vocabulary,
step and metric.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnseq.backend import to_device
from nnseq.best import Best, BestWeights
from nnseq.checkpoint import CheckpointError, previous_path, put_back, read, write
from nnseq.interop import load_arrays, split_arrays
from nnseq.options import OptionError, Options, differences, eval_differences
from nnseq.runs.folder import RunFolder, naming
from nnseq.task import Position, Task


def save_snapshot(folder: RunFolder, task: Task, options: Options, position: Position) -> None:
    """Writes the run as it is between two steps; the files before are kept as *.prev.h5.

    Raises:
        CheckpointError: the disk refused; the files that were there are whole.
    """
    best = task.best_weights()
    if best is not None and best.step != folder.best_step:
        _save_best(folder.best, best, task, options)
        folder.best_step = best.step
    parameters, buffers = split_arrays(task.model)
    tree = {
        "params": parameters,
        "optimizer": _pack_optimizer(task.optimizer.state_dict()),
        "rng": {name: rng.bit_generator.state for name, rng in task.rngs.items()},
        "state": {
            "buffers": buffers,
            "task": task.state_dict(),
            "best": None if task.best is None else task.best.state_dict(),
            "position": {
                "seconds": position.seconds,
                "waited": position.waited,
                "has_extra_line": position.has_extra_line,
                "is_finished": task.is_finished,
            },
        },
    }
    epoch = task.epochs_done(position.step) or 0
    attributes = {
        "options": options.as_dict(),
        "step": position.step,
        "epoch": epoch,
        "data": task.data_note.fingerprint,
        "vocabulary": task.vocabulary,
    }
    write(folder.checkpoint, _to_host(tree), attributes)


def load_snapshot(folder: RunFolder, task: Task, options: Options) -> Position:
    """Puts a run back to where it was saved, and its best.h5 to what was the best then.

    Args:
        folder: of the run.
        task: built with the same options; its arrays are overwritten in place.
        options: compared with the file's.

    Raises:
        OptionError: options that belong to the mathematics differ, all of them are listed; or the
            data do.
        CheckpointError: a file is damaged, or made by another kind of run, or the best weights that
            the checkpoint names are in none.
    """
    path = folder.checkpoint
    tree, attributes = read(path)
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
    _check_data(path, attributes.get("data", ""), task.data_note.fingerprint)
    try:
        if (task.best is None) != (state["best"] is None):
            has = "no best weights" if state["best"] is None else "best weights"
            raise ValueError(f"it is of a task that keeps {has}, unlike this one")
        load_arrays(task.model, tree)
        task.optimizer.load_state_dict(_unpack_optimizer(tree["optimizer"]))
        for name, rng in task.rngs.items():
            rng.bit_generator.state = tree["rng"][name]
        task.load_state_dict(state["task"])
        task.is_finished = bool(place["is_finished"])
        if task.best is not None:
            _load_best(folder, task.best, state["best"])
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_run(path, error) from error
    return position


def load_weights(path: str | os.PathLike[str], task: Task, options: Options | None = None) -> int:
    """Puts the parameters and running statistics of a file into the task's model, nothing else.

    Args:
        path: a run's checkpoint.h5 or best.h5, or what nnseq.save wrote.
        options: for evaluation alone; compared with the file's, if it has them.

    Returns:
        The step at which they were saved; 0 if the file does not say.

    Raises:
        CheckpointError: the file is damaged, or of another model: every wrong name is listed.
        OptionError: options that evaluation depends on differ, all of them are listed; or what ids
            stand for does, where the file says it and, in training, the task too.
    """
    tree, attributes = read(path)
    try:
        load_arrays(task.model, tree)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{os.fspath(path)}: holds another model: {error}") from error
    if options is not None:
        faults, others = eval_differences(options, attributes.get("options", {}))
        if faults:
            raise OptionError(
                f"--eval: the model of {os.fspath(path)} would not be the one that was trained: "
                f"{'; '.join(faults)}; give the values of its training"
            )
        if others:
            print(f"not as in training: {'; '.join(others)}")
    trained = attributes.get("vocabulary") or task.vocabulary  # a file need not say
    subject, came = "--load_weight" if options is None else "--eval", task.vocabulary
    if came != trained and (came or options is not None):  # without steps no text need be read
        raise OptionError(
            f"{subject}: a vocabulary with the fingerprint {came or '(none)'} came, expected "
            f"{trained}, as {os.fspath(path)} was trained on: the ids of --data stand for other "
            "tokens; name the folder with the text of its training"
        )
    return int(attributes.get("step", 0))


def _save_best(path: Path, best: BestWeights, task: Task, options: Options) -> None:
    parameters, buffers = split_arrays(task.model, best.state)
    tree = {
        "params": parameters,
        "optimizer": _pack_optimizer(best.optimizer),
        "state": {"buffers": buffers},
    }
    attributes = {"options": options.as_dict(), "vocabulary": task.vocabulary}
    write(path, tree, {**attributes, "step": best.step, "metric": best.metric})


def _load_best(folder: RunFolder, best: Best, named: Mapping[str, Any]) -> None:
    """Puts back the evaluation that a checkpoint names, and makes its file best.h5 again."""
    step, kept, source = named["step"], None, None
    if step is not None:
        kept, source = _find_best(folder, step, named["metric"])
    best.load_state_dict(named, kept)
    with naming(folder.best):
        if source is None:
            folder.best.unlink(missing_ok=True)
        elif source != folder.best:
            put_back(folder.best)
    folder.best_step = step


def _find_best(folder: RunFolder, step: int, metric: float) -> tuple[BestWeights, Path]:
    """The evaluation of that step, and which of the two files has it."""
    came = []
    for path in (folder.best, previous_path(folder.best)):
        try:
            tree, attributes = read(path)
        except CheckpointError:
            came.append(f"{path.name} {'cannot be read' if path.exists() else 'is not there'}")
            continue
        if (attributes.get("step"), attributes.get("metric")) != (step, metric):
            came.append(f"{path.name} is of step {attributes.get('step')}")
            continue
        try:
            state = {**tree["params"], **tree["state"]["buffers"]}
            return BestWeights(step, metric, state, _unpack_optimizer(tree["optimizer"])), path
        except KeyError as error:
            came.append(f"{path.name} has no {error}")
    raise CheckpointError(
        f"{folder.checkpoint}: {' and '.join(came)}, expected the best weights of step {step} in "
        "one of them; put that best.h5 back, or train anew with --overwrite"
    )


def _check_data(path: Path, expected: str, came: str) -> None:
    if came != expected:
        raise OptionError(
            f"--data: data with the fingerprint {came or '(none)'} came, expected "
            f"{expected or '(none)'}, as {path} was trained on; name the folder with the same "
            "files, or another --out"
        )


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
    return to_device(tree, "cpu") if hasattr(tree, "dtype") else tree


def _not_a_run(path: Path, why: Exception) -> CheckpointError:
    reason = f"{why} is missing" if isinstance(why, KeyError) else str(why)
    return CheckpointError(
        f"{path}: does not fit this run: {reason}; expected a checkpoint of the same experiment; "
        "name another --out"
    )
