"""What a run says of itself: its first lines, summary.json, the curve of its loss; and a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nnseq.backend import report
from nnseq.machine import command, commit, versions
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
        "commit": commit(),
        "command": command(),
    }


def summary_of_parts(
    experiment: str,
    options: Options,
    summaries: Mapping[str, Mapping[str, Any]],
    failed: Sequence[str],
) -> dict[str, Any]:
    """What summary.json of a sweep holds, without the metrics of its report.

    Args:
        experiment, options: of the sweep.
        summaries: at least one: those of the parts with a result, by name.
        failed: the names of the others.
    """
    counts, data = ("params", "steps", "seconds"), ("data", "data_fingerprint")
    shown = (*counts, *data, "data_wait", "metrics", "kernels", "commit")
    of_parts = list(summaries.values())
    total = {k: sum(s[k] for s in of_parts) for k in counts}
    same = {
        k: x for k, x in of_parts[0].items() if k in data and all(s.get(k) == x for s in of_parts)
    }
    own = _differing({name: s["options"] for name, s in summaries.items()})
    return {
        "experiment": experiment,
        "options": options.as_dict(),
        **total,
        "seconds": round(total["seconds"], 3),
        **same,
        "metrics": {},
        "device": options.device,
        "kernels": {op: name for s in of_parts for op, name in s["kernels"].items()},
        "threads": options.threads,
        "versions": versions(),
        "commit": commit(),
        "command": command(),
        "runs": {
            name: {"options": own[name], **{k: s[k] for k in shown if k in s}}
            for name, s in summaries.items()
        },
        "failed": list(failed),
    }


def draw_curve(experiment: str, task: Task, folder: RunFolder) -> None:
    """Draws curve.png: the losses of metrics.jsonl, and what the task has to show beside them."""
    from nnseq.plots import Panel, draw

    rows = folder.rows()
    losses = ([row["step"] for row in rows], [row["loss"] for row in rows])
    panels = task.panels(Panel(experiment, "step", {"training loss": losses}, task.baseline))
    with naming(folder.curve):
        draw(folder.curve, panels, len(panels))


def _data(task: Task, position: Position) -> dict[str, Any]:
    """What summary.json says of files: which, and the share of the time that steps waited."""
    note = task.data_note
    if not note.text:
        return {}
    share = position.waited / position.seconds if position.seconds else 0.0
    own = {"data": note.text, "data_fingerprint": note.fingerprint}
    return {**own, "data_wait": round(share, 5)}


def _differing(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each part's options those that are not the same in all parts; not their folders."""
    first = next(iter(options.values()), {})
    names = {k for own in options.values() for k in own if own[k] != first.get(k)} - {"out"}
    return {part: {k: own[k] for k in own if k in names} for part, own in options.items()}
