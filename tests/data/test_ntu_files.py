"""nnseq.data.ntu_files: every line of a skeleton file counts, the two that move most are kept."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.files import DataError
from nnseq.data.made_up_ntu import write_skeleton
from nnseq.data.ntu_files import (
    BENCHMARKS,
    Name,
    parse_name,
    read_skeleton,
    skeleton_files,
    split_of,
)
from tests.strategies import seeds


def wandering(rng: np.random.Generator, frames: int, step: float) -> np.ndarray:
    """(frames, 25, 3) places that are rounded as the file rounds them."""
    start = rng.uniform(-1, 4, (25, 3))
    x = start + np.cumsum(rng.normal(0, step, (frames, 1, 3)), axis=0)
    return np.round(x, 4).astype(np.float32)


def one_body(folder: Path, T: int = 3) -> Path:
    """A file of T frames, each with body 7: 1 + 28 T lines."""
    path = folder / "S001C001P001R001A001.skeleton"
    write_skeleton(path, {"7": (0, wandering(np.random.default_rng(0), T, 0.1))}, T)
    return path


# ---- what is read -----------------------------------------------------------------------------


def test_a_file_written_by_hand_gives_its_places(tmp_path: Path) -> None:
    joints = [f"{j} {j + 0.5} -{j}e-1 1 2 3 4 .1 .2 .3 nan 2" for j in range(25)]
    body = ["72057594037931101 0 1 1 1 1 0 -0.1 0.2 2", "25", *joints]
    path = tmp_path / "a.skeleton"
    path.write_text("\r\n".join(["3", "0", "1", *body, "0", "", ""]))
    x = read_skeleton(path)
    assert x.shape == (3, 2, 25, 3)
    assert x.dtype == np.float32
    j = np.arange(25)
    np.testing.assert_allclose(x[1, 0], np.stack([j, j + 0.5, -j / 10], axis=1), rtol=1e-6)
    assert not x[[0, 2]].any()
    assert not x[:, 1].any()


@given(seeds, st.integers(1, 5), st.integers(0, 2))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, T: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    bodies = {}
    for identity in range(count):
        start = int(rng.integers(0, T))
        frames = int(rng.integers(1, T - start, endpoint=True))
        bodies[str(identity)] = (start, wandering(rng, frames, 0.1))
    path = tmp_path_factory.mktemp("ntu") / "a.skeleton"
    write_skeleton(path, bodies, T)
    x = read_skeleton(path)
    assert x.shape == (T, 2, 25, 3)
    expected = []
    for start, places in bodies.values():
        slot = np.zeros((T, 25, 3), np.float32)
        slot[start : start + len(places)] = places
        expected.append(slot)
    while len(expected) < 2:
        expected.append(np.zeros((T, 25, 3), np.float32))
    in_order = np.stack(expected, axis=1)
    assert np.array_equal(x, in_order) or np.array_equal(x, in_order[:, ::-1])


def test_a_packed_file_gives_the_same(tmp_path: Path) -> None:
    path = one_body(tmp_path)
    plain = read_skeleton(path)
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    np.testing.assert_array_equal(read_skeleton(path), plain)


@pytest.mark.parametrize("text", ["0\n", "2\n0\n0\n"])
def test_missing_skeletons_are_zeros(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.skeleton"
    path.write_text(text)
    x = read_skeleton(path)
    assert x.shape == (int(text[0]), 2, 25, 3)
    assert not x.any()


# ---- which bodies -----------------------------------------------------------------------------


def test_of_three_bodies_the_two_that_move_most_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    chair = wandering(rng, 9, 0.001)  # seen first and in every frame, but hardly moves
    actor, other = wandering(rng, 9, 0.2), wandering(rng, 6, 0.1)
    path = tmp_path / "a.skeleton"
    write_skeleton(path, {"1": (0, chair), "2": (3, other), "3": (0, actor)}, 9)
    x = read_skeleton(path)
    np.testing.assert_array_equal(x[:, 0], actor)
    np.testing.assert_array_equal(x[3:, 1], other)
    assert not x[:3, 1].any()


def test_a_leap_of_two_frames_does_not_push_out_an_actor(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    actors = [wandering(rng, 40, 0.15) for _ in range(2)]
    leap = np.stack([np.full((25, 3), 0.0), np.full((25, 3), 1.0)]).astype(np.float32)
    variances = [float(np.var(x, axis=0).sum()) for x in (*actors, leap)]
    path = tmp_path / "a.skeleton"
    write_skeleton(path, {"1": (0, actors[0]), "2": (5, leap), "3": (0, actors[1])}, 40)
    kept = read_skeleton(path)
    assert min(variances[:2]) < variances[2]  # so the mean alone would have kept the leap
    for actor in actors:
        assert any(np.array_equal(kept[:, slot], actor) for slot in (0, 1))


def test_of_bodies_that_stand_still_the_one_seen_longer_then_first_is_kept(tmp_path: Path) -> None:
    still = [np.full((frames, 25, 3), place, np.float32) for place, frames in ((1, 2), (2, 3))]
    path = tmp_path / "a.skeleton"
    also = np.full((2, 25, 3), 3, np.float32)
    write_skeleton(path, {"1": (0, still[0]), "2": (0, still[1]), "3": (0, also)}, 3)
    x = read_skeleton(path)
    assert (x[:, 0] == 2).all()
    assert (x[:2, 1] == 1).all()


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "x", r"line 1: 'x', expected the number of frames"),
        (1, "-3", r"line 1: '-3', expected the number of frames"),
        (1, "3 3", r"line 1: 2 fields, expected the number of frames"),
        (1, "9" * 5000, r"line 1: '9+', expected the number of frames"),
        (1, "4", r"line 86: the file ends, expected the number of bodies; fetch or copy"),
        (1, "2", r"line 58: '1' behind the last frame, expected the end of the file"),
        (2, "", r"line 2: 0 fields, expected the number of bodies"),
        (2, "1.0", r"line 2: '1.0', expected the number of bodies"),
        (2, "0", r"line 3: 10 fields, expected the number of bodies"),
        (2, "2", r"line 30: 1 fields, expected 10 numbers that describe a body"),
        (3, "7 0 1 1 1 1 0 0.1 0.2", r"line 3: 9 fields, expected 10 numbers"),
        (3, "7 0 1 1 1 1 0 0.1 0.2 2 2", r"line 3: 11 fields, expected 10 numbers"),
        (3, "7.5 0 1 1 1 1 0 0.1 0.2 2", r"line 3: body '7.5', expected an identity of digits"),
        (3, "7 0 1 1 one 1 0 0.1 0.2 2", r"line 3: '7 0 1 1 one .* expected 10 numbers"),
        (4, "24", r"line 4: 24 joints, expected 25"),
        (5, "1 2 3", r"line 5: 3 fields, expected 12 numbers that describe a joint"),
        (9, "1 2 z 4 5 6 7 8 9 10 11 12", r"line 9: '1 2 z .*', expected 12 numbers"),
        (9, "1 2 3_0 4 5 6 7 8 9 10 11 12", r"line 9: '1 2 3_0 .*', expected 12 numbers"),
        (29, "1 nan 3 4 5 6 7 8 9 10 11 12", r"line 29: a joint at \(1.0, nan, 3.0\), .* metres"),
        (29, "1 2 -inf 4 5 6 7 8 9 10 11 12", r"line 29: a joint at .*-inf\), expected x y z in"),
        (29, "1e30 2 3 4 5 6 7 8 9 10 11 12", r"line 29: a joint at \(1e\+30, .*"),
        (85, "1 2 3 4 5 6 7 8 9 10 11 12\n5", r"line 86: '5' behind the last frame"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: int, text: str, message: str) -> None:
    path = one_body(tmp_path)
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message) as raised:
        read_skeleton(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_identity_twice_in_a_frame_is_refused(tmp_path: Path) -> None:
    path = one_body(tmp_path, T=1)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["1", "2", *lines[2:], *lines[2:]]))
    with pytest.raises(DataError, match=r"line 56: body 7 twice in frame 1, expected each body"):
        read_skeleton(path)


@given(st.data())
def test_a_cut_file_is_refused_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = one_body(tmp_path_factory.mktemp("ntu"), T=2)
    content = path.read_bytes().rstrip()
    path.write_bytes(content[: data.draw(st.integers(0, content.rindex(b" ")))])
    with pytest.raises(DataError, match=r"line \d+: "):
        read_skeleton(path)


def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path: Path) -> None:
    path = one_body(tmp_path)
    path.write_bytes(b"1\n1\n\xb2 ")
    with pytest.raises(DataError, match=r"byte 4: 0xb2"):
        read_skeleton(path)


# ---- names, splits, folders -------------------------------------------------------------------


def test_a_name_says_five_numbers() -> None:
    assert parse_name("some/where/S017C003P040R002A060.skeleton") == (17, 3, 40, 2, 60)
    assert parse_name("S001C002P003R001A005.skeleton").performer == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("S001C001P001R001A001.txt", r"its name: S001.*\.txt, expected S001C001P001R001A001"),
        ("s001c001p001r001a001.skeleton", "its name"),
        ("S001C001P001R001A01.skeleton", "its name"),
        ("S001C001P001R001A001x.skeleton", "its name"),
        ("S001C004P001R001A001.skeleton", r"its name: camera 4, expected 1 to 3"),
        ("S000C001P001R001A001.skeleton", r"its name: setup 0, expected 1 to 17$"),
        ("S018C001P001R001A001.skeleton", r"its name: setup 18, .* NTU RGB\+D 120 out"),
        ("S001C001P041R001A001.skeleton", r"its name: performer 41, expected 1 to 40"),
        ("S001C001P001R003A001.skeleton", r"its name: replication 3, expected 1 to 2"),
        ("S001C001P001R001A061.skeleton", r"its name: action 61, expected 1 to 60"),
    ],
)
def test_a_wrong_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_name(Path("folder", name))


def test_the_benchmarks_divide_performers_and_cameras_as_the_paper_does() -> None:
    def of(camera: int, performer: int, benchmark: str) -> str:
        return split_of(Name(1, camera, performer, 1, 1), benchmark)

    by_performer = [p for p in range(1, 41) if of(1, p, "cross_subject") == "train"]
    assert by_performer == [1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38]
    assert [of(c, 3, "cross_view") for c in (1, 2, 3)] == ["test", "train", "train"]
    assert {of(c, 3, "cross_subject") for c in (1, 2, 3)} == {"test"}
    with pytest.raises(ValueError, match="split_of: benchmark 'cross_setup' came, expected cross_"):
        of(1, 1, "cross_setup")


def test_files_are_found_and_the_list_of_missing_ones_is_heeded(tmp_path: Path) -> None:
    for name in ("S001C001P001R001A001", "S001C002P001R001A002", "S001C002P003R001A003"):
        write_skeleton(tmp_path / f"{name}.skeleton", {}, 1)
    (tmp_path / "notes.txt").write_text("S001C002P003R001A003")
    missing = tmp_path / "NTU_RGBD_samples_with_missing_skeletons.txt"
    missing.write_text("1 of the samples is missing.\n\nS001C002P001R001A002\nS002C002P001R001A002")
    found = {benchmark: skeleton_files(tmp_path, benchmark) for benchmark in BENCHMARKS}

    def stems(benchmark: str, split: str) -> tuple[list[str], list[str]]:
        paths, left_out = found[benchmark][split]
        return [path.stem[-4:] for path in paths], [name[-13:-9] for name in left_out]

    assert stems("cross_subject", "train") == (["A001"], ["A002"])
    assert stems("cross_subject", "test") == (["A003"], [])
    assert stems("cross_view", "train") == (["A003"], ["A002"])
    assert stems("cross_view", "test") == (["A001"], [])


def test_a_folder_without_skeletons_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"the folder holds a.txt, expected files such as S001"):
        skeleton_files(tmp_path, "cross_view")
    with pytest.raises(DataError, match=r"nowhere: no such folder, expected files such as S001"):
        skeleton_files(tmp_path / "nowhere", "cross_view")
    with pytest.raises(DataError, match=r"x: no such folder, expected files such as S001"):
        skeleton_files(tmp_path / ("x" * 300), "cross_view")
