"""nnseq.data.made_up_ntu: real formats, the same each time, and something to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnseq.data.made_up_ntu import MOVES, STANDING, figures, made_up_ntu, turned, write_skeleton
from nnseq.data.ntu import read_ntu
from nnseq.data.ntu_files import BENCHMARKS, SPLITS, read_skeleton


def test_the_files_are_read_as_the_real_ones_are(tmp_path: Path) -> None:
    made_up_ntu(tmp_path, np.random.default_rng(0))
    sizes = {b: [len(read_ntu(tmp_path, split, b).labels) for split in SPLITS] for b in BENCHMARKS}
    assert sizes == {"cross_subject": [30, 30], "cross_view": [40, 20]}
    data = read_ntu(tmp_path, "train")
    assert set(data.labels + 1) == set(MOVES)
    assert data.lengths.min() < 20
    assert data.lengths.max() >= 40
    seen = data.clips.reshape(30, -1, 2, 75).any(axis=-1)
    for clip, n, label in zip(seen, data.lengths, data.labels, strict=True):
        assert clip[:n, 0].all()
        assert (clip[:n, 1] == (label + 1 >= 50)).all()
        assert not clip[n:].any()


def test_the_generator_is_all_that_they_depend_on(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        folder = tmp_path / name
        folder.mkdir()
        made_up_ntu(folder, np.random.default_rng(seed))
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_the_actions_of_new_performers_can_be_told_apart(tmp_path: Path) -> None:
    made_up_ntu(tmp_path, np.random.default_rng(0))

    def spread(split: str) -> tuple[np.ndarray, np.ndarray]:
        data = read_ntu(tmp_path, split)
        pairs = zip(data.clips, data.lengths, strict=True)
        x = np.array([clip[:n].astype(float).std(axis=0) for clip, n in pairs])
        return x, data.labels

    x, labels = spread("train")
    means = {label: x[labels == label].mean(axis=0) for label in np.unique(labels)}
    x, labels = spread("test")
    nearest = [min(means, key=lambda k: float(np.abs(means[k] - row).sum())) for row in x]
    assert np.mean(nearest == labels) > 0.9


@pytest.mark.parametrize("action", MOVES)
def test_a_figure_keeps_the_length_of_its_bones_but_for_the_noise(action: int) -> None:
    x = figures(np.random.default_rng(0), action, 30)
    assert x.shape == (30, 2 if action >= 50 else 1, 25, 3)
    assert (x[..., 2] > 1.5).all()
    for P, Q in ((5, 6), (9, 10), (17, 18), (13, 14), (2, 3)):
        length = np.linalg.norm(x[:, 0, P] - x[:, 0, Q], axis=-1)
        whole = np.linalg.norm(STANDING[P] - STANDING[Q])
        assert (np.abs(length - whole) < 0.1 * whole + 0.08).all()


def test_a_turn_is_about_the_joint_and_in_the_plane() -> None:
    x = np.array([[[2.0, 1, 7]], [[2.0, 1, 7]]])
    y = turned(x, np.array([1.0, 1, 5]), np.array([0, np.pi / 2]), (0, 1))
    np.testing.assert_allclose(y, [[[2, 1, 7]], [[1, 2, 7]]], atol=1e-12)


def test_a_written_skeleton_has_the_lines_of_the_real_format(tmp_path: Path) -> None:
    path = tmp_path / "a.skeleton"
    x = np.random.default_rng(0).normal(size=(2, 25, 3))
    write_skeleton(path, {"9": (1, x)}, 4)
    lines = path.read_text().splitlines()
    assert lines[:3] == ["4", "0", "1"]
    assert [len(line.split()) for line in lines[2:5]] == [1, 10, 1]
    assert {len(line.split()) for line in lines[5:30]} == {12}
    assert len(lines) == 1 + 4 + 2 * 27
    np.testing.assert_allclose(read_skeleton(path)[1:3, 0], x, rtol=1e-5)
