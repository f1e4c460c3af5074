"""The learning curve of a run as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from nnseq.checkpoint import write_durably

FEW = 50  # points that are shown one by one


def learning_curve(
    path: Path,
    steps: Sequence[int],
    losses: Sequence[float],
    *,
    title: str,
    baseline: tuple[str, float] | None = None,
) -> None:
    """Draws the loss over the steps of a run, on a logarithmic scale where every loss is positive.

    Args:
        path: the PNG file, replaced as a whole.
        steps, losses: of the same length.
        title: above the picture.
        baseline: (label, loss) of a dashed line: what a trivial answer reaches.

    Raises:
        OSError: the file cannot be written; one that was there before is untouched.
    """
    # Late, because it takes longer than all other imports together; Figure, not pyplot, because
    # pyplot keeps global state and asks for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    axes.plot(steps, losses, marker="." if len(steps) < FEW else "", label="training loss")
    if baseline is not None:
        axes.axhline(baseline[1], color="gray", linestyle="--", label=baseline[0])
    if losses and min(losses) > 0:
        axes.set_yscale("log")
    axes.set(title=title, xlabel="step")
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_durably(path, image.getvalue())
