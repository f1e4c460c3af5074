"""Curves as pictures: of one run, or of several beside each other."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nnseq.checkpoint import write_durably

FEW = 50  # points that are shown one by one
WIDTH, HEIGHT = 7, 4  # of a panel, in inches


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
        title: above it.
        xlabel: below it.
        curves: label -> (x, y), of the same length; a label has one colour in all panels.
        baseline: (label, y) of a dashed line: what a trivial answer reaches.
        is_log: y on a logarithmic scale; None: where every y is positive.
        top: the largest y in the picture, where single points far above hide the rest.
    """

    title: str
    xlabel: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    baseline: tuple[str, float] | None = None
    is_log: bool | None = None
    top: float | None = None


def draw(path: Path, panels: Sequence[Panel], columns: int = 1) -> None:
    """Draws panels in rows, from left to right and downwards.

    Args:
        path: the PNG file, replaced as a whole.
        panels: at least one.
        columns: panels in a row.

    Raises:
        OSError: the file cannot be written; one that was there before is untouched.
    """
    # Late, because it takes longer than all other imports together; Figure, not pyplot, because
    # pyplot keeps global state and asks for a display.
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(label for panel in panels for label in panel.curves))
    colours = {label: f"C{k % 10}" for k, label in enumerate(labels)}
    rows = -(-len(panels) // columns)
    figure = Figure(
        figsize=(WIDTH * columns, HEIGHT * rows), layout="tight" if panels[1:] else None
    )
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        for label, (x, y) in panel.curves.items():
            marker = "." if len(x) < FEW else ""
            axes.plot(x, y, color=colours[label], marker=marker, label=label)
        if panel.baseline is not None:
            axes.axhline(panel.baseline[1], color="gray", linestyle="--", label=panel.baseline[0])
        values = [value for _, y in panel.curves.values() for value in y]
        if panel.is_log or (panel.is_log is None and values and min(values) > 0):
            axes.set_yscale("log")
        if panel.top is not None:
            axes.set_ylim(top=panel.top)
        axes.set(title=panel.title, xlabel=panel.xlabel)
        if panel.curves or panel.baseline:
            axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_durably(path, image.getvalue())
