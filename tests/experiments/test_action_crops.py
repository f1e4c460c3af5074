"""experiments/action_recognition.py: what a network sees of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnseq.data.made_up import write_made_up
from nnseq.data.ntu import read_ntu
from nnseq.data.ntu_features import LI_LINES, LINES, line_distances
from tests.language_runs import script

SPACE = script("action_recognition")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    write_made_up("ntu", path, np.random.default_rng(3))
    return path


def test_a_crop_is_joints_and_beside_them_their_distances_from_lines(folder: Path) -> None:
    clips, indices = read_ntu(folder, "train"), np.arange(6)
    options = SPACE["ActionOptions"]
    plain, geometric = (
        SPACE["crops_of"](clips, options(geometric=flag))(indices, np.random.default_rng(0))
        for flag in (False, True)
    )
    assert plain.shape == (20, 6, 150)
    assert geometric.shape == (20, 6, 150 + SPACE["GEOMETRIC"])
    assert (geometric[..., :150] == plain).all()
    assert (geometric[..., 150:] == line_distances(plain)).all()
    assert plain.dtype == geometric.dtype == np.float32


def test_the_lines_are_alike_on_both_sides_or_those_of_the_authors(folder: Path) -> None:
    clips, indices = read_ntu(folder, "train"), np.arange(6)
    found = {}
    for name, lines in (("symmetric", LINES), ("authors", LI_LINES)):
        options = SPACE["ActionOptions"](geometric=True, lines=name)
        x = SPACE["crops_of"](clips, options)(indices, np.random.default_rng(0))
        assert (x[..., 150:] == line_distances(x[..., :150], lines)).all()
        found[name] = x
    assert found["symmetric"].shape == found["authors"].shape
    assert (found["symmetric"] != found["authors"]).any()
    assert SPACE["ActionOptions"](geometric=True).lines == "symmetric"
    assert SPACE["ActionOptions"]().lines is None


def test_only_training_is_turned(folder: Path) -> None:
    options = {"data": str(folder), "rotate": True, "seq_len": 5, "batch_size": 8, "p_drop": 0.0}
    options |= {"hidden_size": 3, "num_layers": 1, "valid_share": 0.3}
    tasks = [
        SPACE["ActionTask"](SPACE["ActionOptions"](**{**options, "rotate": turned}, device="cpu"))
        for turned in (True, False)
    ]
    trained, valid, tested = (
        [getattr(task.examples, part).draw().x for task in tasks]
        for part in ("train", "valid", "test")
    )
    assert (trained[0] != trained[1]).any()
    # Turning draws after the crop, so these are the same crops, and distances are as before.
    np.testing.assert_allclose(
        line_distances(trained[0]), line_distances(trained[1]), rtol=0, atol=2e-3
    )
    assert (valid[0] == valid[1]).all()
    assert (tested[0] == tested[1]).all()
    for task in tasks:
        task.close()


def test_random_lengths_are_around_seq_len(folder: Path) -> None:
    clips = read_ntu(folder, "train")
    for T, low, high in ((20, 5, 40), (100, 25, 200), (2, 1, 4)):
        look = SPACE["crops_of"](clips, SPACE["ActionOptions"](seq_len=T, random_len=True))
        lengths = {len(look(np.arange(2), np.random.default_rng(k))) for k in range(60)}
        assert len(lengths) > 1
        assert low <= min(lengths) <= max(lengths) <= high
