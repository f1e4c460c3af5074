"""The one training loop, and what surrounds it: folder, checkpoints, signals.

    run(experiment, options, build)    what main() of an experiment returns
      build(options) -> Task           model, optimiser, data, recipe
      fit(task, ...)                   steps until the end, saving on the way
      task.evaluate()                  the test set, with the best weights, then summary.json

One step of the loop, in this order, and only in this order:

    draw a batch, loss -> backward -> clip_value -> clip_norm -> optimiser -> constraints
    -> task.observe (schedule, curriculum) -> line of metrics.jsonl -> checkpoint

checkpoint.h5, and best.h5 where best weights are kept, hold everything the next step depends on, so
k steps, a kill, and k more give the same bits as 2k steps (same machine, threads and versions). A
loss or gradient that is not finite stops the run before it can reach the parameters, and thereby
these files.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import numpy as np

from nnseq.backend import DeviceError, clear_report
from nnseq.checkpoint import CheckpointError
from nnseq.data.files import DataError
from nnseq.machine import commit, keep_freed_memory
from nnseq.nn.eval_mode import eval_mode
from nnseq.optim.clipping import clip_grad_norm, clip_grad_value
from nnseq.options import OptionError, Options, parse_save_every
from nnseq.runs.finite import KEPT, NonFiniteError, bad_gradient, bad_parameter, check_numbers
from nnseq.runs.folder import RunFolder
from nnseq.runs.interrupt import Interrupted, Interrupts
from nnseq.runs.progress import Progress, as_text
from nnseq.runs.report import draw_curve, first_lines, summary
from nnseq.runs.settings import resolved, settings
from nnseq.runs.snapshot import load_snapshot, load_weights, save_snapshot
from nnseq.task import Position, Task
from nnseq.tensor import no_grad

O = TypeVar("O", bound=Options)

NUMPY_TOO_BIG = ("array is too big", "Maximum allowed dimension")  # both come as ValueError


def run(experiment: str, options: O, build: Callable[[O], Task]) -> int:
    """Trains or evaluates as the options say.

    Args:
        experiment: its name.
        options: the resolved options.
        build: makes the task; it gets the options with device and threads decided.

    Returns:
        The exit code: 0, 1 (something failed; one line on standard error says what), 2 (the options
        cannot be honoured), 130 or 143 (left because of SIGINT or SIGTERM, after saving).
    """
    try:
        with Interrupts() as interrupts:
            _run(experiment, options, build, interrupts)
    except Interrupted as interrupted:
        print(f"{experiment}: {interrupted}", file=sys.stderr)
        return interrupted.code
    except (OptionError, DeviceError) as error:
        print(f"{experiment}: {error}", file=sys.stderr)
        return 2
    except (CheckpointError, DataError, NonFiniteError, OSError) as error:
        print(f"{experiment}: {error}", file=sys.stderr)
        return 1
    except (MemoryError, ValueError) as error:
        if not isinstance(error, MemoryError) and not any(w in str(error) for w in NUMPY_TOO_BIG):
            raise
        print(f"{experiment}: out of memory: {error}; lower the sizes", file=sys.stderr)
        return 1
    return 0


def _run(experiment: str, options: O, build: Callable[[O], Task], interrupts: Interrupts) -> None:
    options = resolved(options)
    keep_freed_memory()
    clear_report()
    commit()  # asked now: at the end of the run the checkout may have another
    with (
        settings(options),
        RunFolder(options) as folder,
        closing(build(options)) as task,
    ):
        position = Position()
        if options.load_weight and not options.resume:
            evaluated = options if options.eval else None
            position.step = load_weights(options.load_weight, task, evaluated)
        if not options.eval:
            position = _train(experiment, task, options, folder, interrupts)
        metrics: dict[str, float] = {}
        if options.eval or position.step > 0:
            metrics = evaluate(task, folder)
            if options.eval:
                print(*first_lines(task, options), sep="\n")
            shown = "  ".join(f"{name} {value:.6g}" for name, value in metrics.items())
            print(f"test set: {shown}", flush=True)
        said = summary(experiment, options, task, position, metrics)
        if options.resume:  # a summary is still there only if no step was left to take
            said |= folder.origin()
        folder.write_summary(said)


def _train(
    experiment: str, task: Task, options: Options, folder: RunFolder, interrupts: Interrupts
) -> Position:
    """Begins or continues a run, up to its end and the picture of its curve."""
    position = Position()
    if options.resume:
        position = load_snapshot(folder, task, options)
    else:
        folder.start(task.leaves)
    is_over = _is_over(task, options, position)
    # A line that is there only because the run ended is none of a run that goes on.
    folder.cut_back(position.step - (position.has_extra_line and not is_over))
    if not is_over:
        folder.summary.unlink(missing_ok=True)  # it speaks of an end that is no longer the end
        with Progress(position.step, last_step(task, options)) as progress:
            fit(task, options, folder, position, interrupts, progress)
    elif position.step == 0:
        print(*first_lines(task, options), sep="\n", flush=True)
    if position.step > 0:
        draw_curve(experiment, task, folder)
    return position


def fit(
    task: Task,
    options: Options,
    folder: RunFolder,
    position: Position,
    interrupts: Interrupts,
    progress: Progress,
) -> None:
    """Trains until `--max_steps`, `--epochs` or the recipe's own end; saves on the way and then.

    Args:
        task: what is trained, in place.
        options: max_steps, epochs, save_every, log_every, clip_value, clip_norm.
        folder: gets metrics.jsonl, best.h5 and checkpoint.h5.
        position: where to begin; moved on in place.
        interrupts: a signal that comes during a step is honoured after it.
        progress: gets the lines.

    Raises:
        Interrupted: after saving.
        NonFiniteError: nothing was saved after the last finite step.
        CheckpointError, OSError: the disk refused; the checkpoint of before is whole.
    """
    every = parse_save_every(options.save_every)
    task.model.train()
    interrupts.deferred = True
    if position.step == 0:
        _save(task, options, folder, position)
    saved_at, started = time.perf_counter(), time.perf_counter() - position.seconds
    waited_before = position.waited
    is_first = True
    while not _is_over(task, options, position):
        if interrupts.received:
            _save(task, options, folder, position)
            interrupts.raise_if_received()
        loss = _step(task, options, position.step + 1)
        position.step += 1
        columns = task.observe(position.step, loss)
        check_numbers(f"step {position.step}", columns, KEPT)
        position.seconds = time.perf_counter() - started
        position.waited = waited_before + task.waited
        if is_first:  # only now is it known which kernels run
            progress.lines(first_lines(task, options))
            is_first = False
        on_grid = position.step == 1 or position.step % options.log_every == 0
        is_last = _is_over(task, options, position)
        if on_grid or is_last:
            seconds = round(position.seconds, 3)
            row = {"step": position.step, "loss": loss, "seconds": seconds, **columns}
            folder.log(row)
            progress.lines([as_text(row, task.baseline)])
        progress.step(loss)
        position.has_extra_line = is_last and not on_grid
        by_time = 0 < every.seconds <= time.perf_counter() - saved_at
        by_step = every.steps > 0 and position.step % every.steps == 0
        if is_last or by_time or by_step:
            _save(task, options, folder, position)
            saved_at = time.perf_counter()
    interrupts.deferred = False
    interrupts.raise_if_received()


def _step(task: Task, options: Options, number: int) -> float:
    """One step of the optimiser; returns the loss before it."""
    task.optimizer.zero_grad()
    # What overflows is found by name below; NumPy's warnings would only stand before the message.
    with np.errstate(all="ignore"):
        loss = task.loss()
        value = float(loss.item())
        culprit = "" if math.isfinite(value) else bad_parameter(task.model)
        if not culprit:
            loss.backward()
            culprit = bad_gradient(task.model)
    if culprit or not math.isfinite(value):
        raise NonFiniteError(
            f"step {number}: the loss is {value:.6g}; {culprit or 'every array is finite'}; {KEPT}"
        )
    if options.clip_value:
        clip_grad_value(task.model.parameters(), options.clip_value)
    if options.clip_norm:
        clip_grad_norm(task.model.parameters(), options.clip_norm)
    task.optimizer.step()
    task.model.constrain()
    return value


def _save(task: Task, options: Options, folder: RunFolder, position: Position) -> None:
    """Writes the run's files, never ahead of metrics.jsonl, never with parameters not finite."""
    culprit = bad_parameter(task.model)
    if culprit:
        raise NonFiniteError(f"after step {position.step}: {culprit}; not saved, {KEPT}")
    folder.sync_metrics()
    save_snapshot(folder, task, options, position)


def evaluate(task: Task, folder: RunFolder) -> dict[str, float]:
    """The metrics of the test set: best weights, the model in eval mode, nothing recorded.

    What the task leaves besides goes into the folder. The model is afterwards, and after an error,
    as it was.

    Raises:
        NonFiniteError: a metric is nan or infinite.
    """
    best, last = task.best_weights(), None
    if best is not None:
        last = task.model.state_dict()
        task.model.load_state_dict(best.state)
    try:
        with eval_mode(task.model), no_grad():
            metrics = task.evaluate()
            task.leave(folder.path)
    finally:
        if last is not None:
            task.model.load_state_dict(last)
    check_numbers("test set", metrics, "these parameters cannot be used")
    return metrics


def last_step(task: Task, options: Options) -> float:
    """The step after which `--max_steps` or `--epochs` ends the run; infinity if neither does."""
    ends = [math.inf if options.max_steps is None else options.max_steps]
    epochs = getattr(options, "epochs", None)
    if epochs is not None and task.steps_per_epoch is not None:
        ends.append(epochs * task.steps_per_epoch)
    return min(ends)


def _is_over(task: Task, options: Options, position: Position) -> bool:
    if task.is_finished or position.step >= last_step(task, options):
        return True
    epochs, done = getattr(options, "epochs", None), task.epochs_done(position.step)
    return epochs is not None and done is not None and done >= epochs
