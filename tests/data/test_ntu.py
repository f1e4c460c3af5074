"""nnseq.data.ntu: the three files of a split, skeleton files, and one made from the other."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.files import DataError
from nnseq.data.made_up_ntu import write_skeleton
from nnseq.data.ntu import NTU, convert, frame_count, read_ntu
from nnseq.data.ntu_files import BENCHMARKS, SPLITS, Name, read_skeleton, split_of


def save_triple(folder: Path, stem: str = "train_ntus", **changed: np.ndarray) -> None:
    """Three files that fit: 4 clips of at most 6 frames."""
    arrays = {
        "": np.random.default_rng(0).normal(size=(4, 6, 50, 3)).astype(np.float32),
        "_label": np.array([0, 59, 7, 7]),
        "_len": np.array([6, 1, 3, 5]),
    }
    for ending, array in {**arrays, **changed}.items():
        np.save(folder / f"{stem}{ending}.npy", array, allow_pickle=array.dtype.hasobject)


def skeletons(folder: Path, *, empty: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Writes clips of 2 performers × 3 cameras × 2 actions; returns those that have a skeleton."""
    rng = np.random.default_rng(0)
    clips = {}
    for camera in (1, 2, 3):
        for performer in (1, 3):
            for action in (1, 60):
                stem = f"S001C{camera:03}P{performer:03}R001A{action:03}"
                T = int(rng.integers(2, 6))
                places = rng.normal(0, 1, (T, 25, 3)).round(3)
                bodies = {} if stem in empty else {"1": (0, places)}
                write_skeleton(folder / f"{stem}.skeleton", bodies, T)
                if bodies:
                    clips[stem] = read_skeleton(folder / f"{stem}.skeleton").reshape(T, 150)
    return clips


def chosen(clips: dict[str, np.ndarray], split: str, benchmark: str) -> list[str]:
    """Which of them are of a split, in order."""
    return [
        stem
        for stem in sorted(clips)
        if split_of(Name(1, int(stem[5:8]), int(stem[9:12]), 1, int(stem[-3:])), benchmark) == split
    ]


def assert_holds(data: NTU, clips: dict[str, np.ndarray], stems: list[str]) -> None:
    assert data.lengths.tolist() == [len(clips[stem]) for stem in stems]
    assert data.labels.tolist() == [int(stem[-3:]) - 1 for stem in stems]
    for clip, n, stem in zip(data.clips, data.lengths, stems, strict=True):
        np.testing.assert_array_equal(clip[:n], clips[stem])
        assert not clip[n:].any()


# ---- the three files --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(4, 6, 50, 3), (4, 6, 150)])
def test_three_files_are_read_mapped_and_as_150_columns(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    save_triple(tmp_path, **{"": x})
    data = read_ntu(tmp_path, "train")
    assert data.clips.shape == (4, 6, 150)
    assert isinstance(data.clips, np.memmap)
    assert not data.clips.flags.writeable
    np.testing.assert_array_equal(data.clips, x.reshape(4, 6, 150))
    assert data.labels.tolist() == [0, 59, 7, 7]
    assert data.lengths.tolist() == [6, 1, 3, 5]
    assert data.labels.dtype == data.lengths.dtype == np.int64
    assert data.files == ("train_ntus.npy", "train_ntus_label.npy", "train_ntus_len.npy")
    assert data.left_out == ()
    assert data.folder == tmp_path


def test_each_split_of_each_benchmark_has_its_own_files(tmp_path: Path) -> None:
    stems = ["train_ntus", "test_ntus", "train_CV_ntus", "test_CV_ntus"]
    for label, stem in enumerate(stems):
        save_triple(tmp_path, stem, _label=np.full(4, label))
    read = [read_ntu(tmp_path, split, b).labels[0] for b in BENCHMARKS for split in SPLITS]
    assert read == [0, 1, 2, 3]


def test_labels_and_lengths_may_be_of_any_number_type(tmp_path: Path) -> None:
    save_triple(tmp_path, _label=np.array([1.0, 2, 3, 4]), _len=np.array([1, 2, 3, 6], np.uint8))
    data = read_ntu(tmp_path, "train")
    assert data.labels.tolist() == [1, 2, 3, 4]
    assert data.lengths.tolist() == [1, 2, 3, 6]
    assert data.labels.dtype == data.lengths.dtype == np.int64


@pytest.mark.parametrize(
    ("ending", "array", "message"),
    [
        ("", np.zeros((4, 6, 25, 3)), r"float64 \(4, 6, 25, 3\), expected floats \(N, T_max, 50"),
        ("", np.zeros((4, 50, 3)), r"float64 \(4, 50, 3\), expected floats"),
        ("", np.zeros((0, 6, 150)), r"expected"),
        ("", np.zeros((4, 6, 150), int), r"int64 \(4, 6, 150\), expected floats"),
        ("", np.zeros((4, 6, 150), order="F"), r"\(4, 6, 150\) by columns, expected .* by rows"),
        ("", np.array([np.zeros((2, 150))] * 4 + [0], object), r"Python objects.*allow_pickle"),
        ("_label", np.zeros(3, int), r"int64 \(3,\), expected \(4,\) whole numbers"),
        ("_label", np.zeros((4, 1), int), r"int64 \(4, 1\), expected \(4,\) whole"),
        ("_label", np.zeros(4, complex), r"complex128 \(4,\), expected \(4,\) whole"),
        ("_label", np.zeros(4, bool), r"bool \(4,\), expected \(4,\) whole"),
        ("_label", np.array([1, 2, 60, 3]), r"entry 2: 60, .* 0 to 59; actions are counted from 0"),
        ("_label", np.array([1, -1, 60, 3]), r"entry 1: -1, expected whole numbers 0 to 59"),
        ("_label", np.array([1, 2, 3, 0.5]), r"entry 3: 0.5, expected whole numbers 0 to 59"),
        ("_label", np.array([1, np.nan, 3, 4]), r"entry 1: nan, expected whole numbers"),
        ("_label", np.array([1, 2, 3, "x"], object), r"Python objects"),
        ("_len", np.array([6, 1, 0, 5]), r"entry 2: 0, expected whole numbers 1 to 6$"),
        ("_len", np.array([6, 1, 1, 7]), r"entry 3: 7, expected whole numbers 1 to 6"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, ending: str, array: np.ndarray, message: str
) -> None:
    save_triple(tmp_path, **{ending: array})
    with pytest.raises(DataError, match=rf"train_ntus{ending}\.npy.*{message}"):
        read_ntu(tmp_path, "train")


def test_a_missing_file_of_the_three_is_named(tmp_path: Path) -> None:
    save_triple(tmp_path)
    (tmp_path / "train_ntus_len.npy").unlink()
    message = r"holds train_ntus.npy, train_ntus_label.npy, expected train_ntus_len.npy: the three"
    with pytest.raises(DataError, match=message):
        read_ntu(tmp_path, "train")
    with pytest.raises(DataError, match=r"expected train_CV_ntus\.npy or .skeleton files"):
        read_ntu(tmp_path, "train", "cross_view")


@pytest.mark.parametrize("descr", ["('<f4',)", "[('x', '<f4', (2,))]", "[()]", "1", "'O'"])
def test_a_head_of_another_type_is_refused(tmp_path: Path, descr: str) -> None:
    save_triple(tmp_path)
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (4,), }}".ljust(117) + "\n"
    size = len(head).to_bytes(2, "little")
    path = tmp_path / "train_ntus_label.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + size + head.encode() + bytes(64))
    with pytest.raises(DataError, match=r"train_ntus_label\.npy: .*, expected "):
        read_ntu(tmp_path, "train")


@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # a digit became an L, as Python 2 wrote
@given(st.data())
def test_a_cut_or_damaged_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ntu")
    save_triple(folder)
    ending = data.draw(st.sampled_from(["", "_label", "_len"]))
    path = folder / f"train_ntus{ending}.npy"
    content = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(DataError, match=rf"train_ntus{ending}\.npy: .*, expected a .npy file"):
            read_ntu(folder, "train")
    else:  # a byte of the head is another: refused, or it did not matter
        at, byte = data.draw(st.integers(0, 127)), data.draw(st.integers(0, 255))
        path.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
        with suppress(DataError):
            read = read_ntu(folder, "train")
            assert read.clips.shape[0] == len(read.labels) == len(read.lengths)


def test_a_folder_without_the_files_is_refused_with_the_cure(tmp_path: Path) -> None:
    cure = r"expected test_ntus.npy or .skeleton files; python -m nnseq.data convert_ntu SKEL"
    with pytest.raises(DataError, match=rf"the folder holds nothing, {cure}"):
        read_ntu(tmp_path, "test")
    for name in ("nowhere", "x" * 300):
        with pytest.raises(DataError, match=rf"no such folder, {cure}"):
            read_ntu(tmp_path / name, "test")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"a file, not a folder, {cure}"):
        read_ntu(tmp_path / "file", "test")


def test_other_splits_and_benchmarks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read_ntu: split 'valid' came, expected train or test"):
        read_ntu(tmp_path, "valid")
    with pytest.raises(ValueError, match="read_ntu: benchmark 'CS' came, expected cross_subject"):
        read_ntu(tmp_path, "train", "CS")
    with pytest.raises(ValueError, match="convert: benchmark 'CS' came"):
        convert(tmp_path, tmp_path, "CS")


# ---- skeleton files ---------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("split", SPLITS)
def test_a_folder_of_skeletons_is_read_and_converted_to_the_same(
    tmp_path: Path, split: str, benchmark: str
) -> None:
    clips = skeletons(tmp_path)
    stems = chosen(clips, split, benchmark)
    assert (
        len(stems) == {"cross_subject": 6, "cross_view": {"train": 8, "test": 4}[split]}[benchmark]
    )
    data = read_ntu(tmp_path, split, benchmark)
    assert_holds(data, clips, stems)
    assert data.files == tuple(f"{stem}.skeleton" for stem in stems)
    assert data.folder == tmp_path
    convert(tmp_path, tmp_path / "out", benchmark)
    converted = read_ntu(tmp_path / "out", split, benchmark)
    assert converted.clips.dtype == np.float32
    assert_holds(converted, clips, stems)


def test_files_without_a_skeleton_are_left_out_and_said(tmp_path: Path) -> None:
    empty = ("S001C001P001R001A001", "S001C003P003R001A060")
    clips = skeletons(tmp_path, empty=empty)
    (tmp_path / "samples_with_missing_skeletons.txt").write_text("S001C002P001R001A060\n")
    del clips["S001C002P001R001A060"]
    calls: list[tuple[int, int]] = []
    said = convert(
        tmp_path, tmp_path / "out", "cross_subject", lambda done, total: calls.append((done, total))
    )
    assert said.splitlines() == [
        "train_ntus: 4 of the benchmark's 40,320 clips",
        "test_ntus: 5 of the benchmark's 16,560 clips",
        "left out, skeletons missing: 3 (S001C001P001R001A001.skeleton, "
        "S001C002P001R001A060.skeleton, S001C003P003R001A060.skeleton)",
    ]
    assert calls == [(k, 11) for k in range(1, 12)]
    for split in SPLITS:
        stems = chosen(clips, split, "cross_subject")
        assert_holds(read_ntu(tmp_path / "out", split), clips, stems)
        data = read_ntu(tmp_path, split)
        assert_holds(data, clips, stems)
        assert len(data.left_out) == {"train": 2, "test": 1}[split]


def test_a_damaged_file_leaves_no_half_of_a_conversion(tmp_path: Path) -> None:
    skeletons(tmp_path)
    out = tmp_path / "out"
    convert(tmp_path, out, "cross_subject")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    path = tmp_path / "S001C002P001R001A060.skeleton"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match=r"S001C002P001R001A060.skeleton, line \d+: "):
        convert(tmp_path, out, "cross_subject")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("head", ["999999999", "x", ""])
def test_a_false_number_of_frames_is_refused_before_room_is_made_for_them(
    tmp_path: Path, head: str
) -> None:
    skeletons(tmp_path)
    path = tmp_path / "S001C002P001R001A060.skeleton"
    path.write_text("\n".join([head, *path.read_text().splitlines()[1:]]))
    with pytest.raises(DataError, match=r"S001C002P001R001A060.skeleton, line \d+: "):
        frame_count(path)
    with pytest.raises(DataError, match=r"S001C002P001R001A060.skeleton, line \d+: "):
        convert(tmp_path, tmp_path / "out", "cross_subject")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    skeletons(tmp_path)
    with pytest.raises(DataError, match=r"nowhere\.skeleton: No such file.*, expected a file to"):
        frame_count(tmp_path / "nowhere.skeleton")
    (tmp_path / "S001C002P001R001A060.skeleton").unlink()
    (tmp_path / "S001C002P001R001A060.skeleton").symlink_to("nowhere")
    for read in (
        lambda: convert(tmp_path, tmp_path / "out", "cross_subject"),
        lambda: read_ntu(tmp_path, "train"),
    ):
        with pytest.raises(DataError, match=r"S001C002P001R001A060\.skeleton: No such file"):
            read()


def test_a_split_without_clips_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "S001C002P001R001A001.skeleton"
    write_skeleton(path, {"1": (0, np.ones((1, 25, 3)))}, 1)
    message = r"no clip of the test split \(0 left out, skeletons missing\), expected at least one"
    with pytest.raises(DataError, match=message):
        read_ntu(tmp_path, "test")
    with pytest.raises(DataError, match=message):
        convert(tmp_path, tmp_path / "out", "cross_view")
    write_skeleton(tmp_path / "S001C001P001R001A001.skeleton", {}, 3)
    with pytest.raises(DataError, match=r"no clip of the test split \(1 left out"):
        read_ntu(tmp_path, "test", "cross_view")
    with pytest.raises(DataError, match=r"no clip of the test_CV_ntus split \(1 left out"):
        convert(tmp_path, tmp_path / "out", "cross_view")
