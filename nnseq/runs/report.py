"""What a run says of itself: its first lines, summary.json, the curve of its loss."""

from __future__ import annotations

from typing import Any

from nnseq.backend import report
from nnseq.machine import versions
from nnseq.options import Options
from nnseq.runs.folder import RunFolder, naming
from nnseq.task import Position, Task


def first_lines(task: Task, options: Options) -> list[str]:
    """What is printed before the first step's line: files, kernels, sizes, and the task's own."""
    ran = ", ".join(f"{op}: {name}" for op, name in report().items())
    data = f"{task.data_note.text}  |  " if task.data_note.text else ""
    return [
        f"{data}kernels: {ran or 'none has run'}  |  "
        f"device {options.device}, {options.threads} threads, "
        f"{options.dtype}, {task.model.num_parameters():,} parameters  ->  {options.out}",
        *task.describe(),
    ]


def summary(
    experiment: str, options: Options, task: Task, position: Position, metrics: dict[str, float]
) -> dict[str, Any]:
    """What summary.json holds."""
    return {
        "experiment": experiment,
        "options": options.as_dict(),
        "params": task.model.num_parameters(),
        "steps": position.step,
        "seconds": round(position.seconds, 3),
        **_data(task, position),
        "metrics": metrics,
        "device": options.device,
        "kernels": report(),
        "threads": options.threads,
        "versions": versions(),
    }


def draw_curve(experiment: str, task: Task, folder: RunFolder) -> None:
    """Draws curve.png, the losses of metrics.jsonl."""
    from nnseq.plots import learning_curve

    rows = folder.rows()
    steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
    with naming(folder.curve):
        learning_curve(folder.curve, steps, losses, title=experiment, baseline=task.baseline)


def _data(task: Task, position: Position) -> dict[str, Any]:
    """What summary.json says of files: which, and the share of the time that steps waited."""
    note = task.data_note
    if not note.text:
        return {}
    share = position.waited / position.seconds if position.seconds else 0.0
    own = {"data": note.text, "data_fingerprint": note.fingerprint}
    return {**own, "data_wait": round(share, 5)}
