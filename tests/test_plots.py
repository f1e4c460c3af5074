"""nnseq.plots: a picture that shows the losses, at once and without a display."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from nnseq.plots import Panel, draw


def blue_pixels(path: Path) -> int:
    """How many pixels have the colour of the curve, the sample in the legend included."""
    picture = imread(path)
    assert picture.shape[:2] == (480, 840)
    return int((np.abs(picture[..., :3] - np.array([0x1F, 0x77, 0xB4]) / 255).max(2) < 0.02).sum())


@pytest.mark.parametrize("losses", [[0.5], [3.0, 1.0, 0.2], [1.0, 0.0, -1.0]])
def test_the_picture_shows_the_losses(tmp_path: Path, losses: list[float]) -> None:
    steps = list(range(1, len(losses) + 1))
    for name, curve in {"none": ([], []), "some": (steps, losses)}.items():
        draw(tmp_path / f"{name}.png", [Panel("t", "step", {"loss": curve}, ("b", 0.5))])
    assert blue_pixels(tmp_path / "some.png") > blue_pixels(tmp_path / "none.png") > 0


def test_a_curve_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for losses in ([1.0, 2.0], [5.0, 1.0]):
        draw(tmp_path / "curve.png", [Panel("t", "step", {"loss": ([1, 2], losses)})])
    assert [p.name for p in tmp_path.iterdir()] == ["curve.png"]


def test_panels_stand_in_rows_and_a_label_has_its_colour_in_each(tmp_path: Path) -> None:
    curves = {"first": ([1, 2], [3.0, 1.0]), "second": ([1, 2], [0.0, 2.0])}
    panels = [
        Panel("a", "x", curves),
        Panel("b", "x", {"second": ([1, 2], [2.0, 4.0])}, is_log=True),
        Panel("c", "x", curves, ("base", 2.0), is_log=True),  # 0 has no place: it is left out
    ]
    draw(tmp_path / "p.png", panels, columns=2)
    picture = imread(tmp_path / "p.png")
    assert picture.shape[:2] == (960, 1680)
    colours = {"first": (0x1F, 0x77, 0xB4), "second": (0xFF, 0x7F, 0x0E)}
    seen = {}
    for label, colour in colours.items():
        at = np.abs(picture[..., :3] - np.array(colour) / 255).max(2) < 0.02
        quarters = at[:480, :840], at[:480, 840:], at[480:, :840], at[480:, 840:]
        seen[label] = [bool(q.any()) for q in quarters]
    assert seen == {"first": [True, False, True, False], "second": [True, True, True, False]}


def test_a_panel_ends_at_its_top(tmp_path: Path) -> None:
    """The highest point of a line from 0 to 100 is the picture's, that of one to 0.5 is not."""
    heights = {}
    for top in (None, 1.0):
        curves = {"low": ([1, 2], [0.0, 0.5]), "high": ([1, 2], [0.0, 100.0])}
        draw(tmp_path / "p.png", [Panel("a", "x", curves, top=top)])
        picture = imread(tmp_path / "p.png")[:, 500:, :3]  # without the legend, on the left
        blue = np.abs(picture - np.array([0x1F, 0x77, 0xB4]) / 255).max(2) < 0.1
        heights[top] = 480 - int(np.flatnonzero(blue.any(1))[0])
    assert heights[None] < 100
    assert heights[1.0] > 200
