"""NTU RGB+D, 60 actions seen as skeletons: three .npy files a split, or the skeleton files.

The three files are those of the IndRNN authors' program, here train_ntus of the cross-subject
benchmark (test_ntus; train_CV_ntus and test_CV_ntus of the cross-view one):

    train_ntus.npy        (N, T_max, 50, 3) or (N, T_max, 150) floats: x y z of the 25 joints of
                          body 0, then of body 1; zeros where a body is not seen
    train_ntus_label.npy  (N,) actions, from 0
    train_ntus_len.npy    (N,) frames of each clip; what lies behind them is never read

`convert` makes them from the skeleton files (`python -m nnseq.data convert_ntu`). They are some
gigabytes of which an epoch reads a part, so the large one is mapped into memory, not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import SEEK_CUR
from itertools import count
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from nnseq.data.files import contents, data_error, is_file, listing
from nnseq.data.ntu_files import (
    BODIES,
    JOINTS,
    NUM_CLASSES,
    SPLITS,
    check_benchmark,
    parse_name,
    read_skeleton,
    skeleton_files,
    skeleton_paths,
)

ENDINGS = ("", "_label", "_len")
D = BODIES * JOINTS * 3
# Clips of each benchmark (Shahroudy et al. 2016), of which 302 lack their skeletons.
SIZES = {
    "cross_subject": {"train": 40_320, "test": 16_560},
    "cross_view": {"train": 37_920, "test": 18_960},
}
# What numpy raises on a .npy file that is damaged, by where the damage is.
DAMAGE = (
    OSError, ValueError, EOFError, TypeError, OverflowError, IndexError, SyntaxError, TokenError
)  # fmt: skip
NPY_CURE = "save it with np.save(path, array, allow_pickle=False)"


class NTU(NamedTuple):
    """The clips of one split of one benchmark."""

    clips: np.ndarray  # (N, T_max, 150) any float, perhaps mapped; behind a length undefined
    labels: np.ndarray  # (N,) int64, 0 to 59
    lengths: np.ndarray  # (N,) int64, 1 to T_max
    files: tuple[str, ...]  # names of those read
    left_out: tuple[str, ...]  # names of skeleton files without a skeleton, or listed as such
    folder: Path  # where they are


def read_ntu(folder: str | os.PathLike[str], split: str, benchmark: str = "cross_subject") -> NTU:
    """Reads one split.

    Args:
        folder: holds the three .npy files of the split, or else .skeleton files, all of which are
            then read into memory: for the whole data set, convert them once instead.
        split: "train" or "test".
        benchmark: "cross_subject" or "cross_view".

    Returns:
        the clips, their labels and lengths.

    Raises:
        ValueError: another split or benchmark.
        DataError: none of the files, or one that is damaged or does not fit the others.
    """
    check_benchmark("read_ntu", benchmark)
    if split not in SPLITS:
        raise ValueError(f"read_ntu: split {split!r} came, expected {' or '.join(SPLITS)}")
    folder, stem = Path(folder), stem_of(split, benchmark)
    if any(is_file(folder / f"{stem}{ending}.npy") for ending in ENDINGS):
        return read_triple(folder, stem)
    if skeleton_paths(folder):
        return read_skeletons(folder, split, benchmark)
    cure = f"python -m nnseq.data convert_ntu SKELETON_FOLDER OUT --benchmark {benchmark}"
    raise data_error(folder, "", contents(folder), f"{stem}.npy or .skeleton files", cure)


def stem_of(split: str, benchmark: str) -> str:
    """What the names of a split's three files begin with."""
    return f"{split}_CV_ntus" if benchmark == "cross_view" else f"{split}_ntus"


# ---- the three .npy files ---------------------------------------------------------------------


def read_triple(folder: Path, stem: str) -> NTU:
    """The clips, labels and lengths of one split, each file checked against the others."""
    data, label, length = (folder / f"{stem}{ending}.npy" for ending in ENDINGS)
    clips = read_array(data)
    shape = clips.shape
    fits = shape[2:] in ((BODIES * JOINTS, 3), (D,)) and shape[0] > 0
    if not fits or clips.dtype.kind != "f" or not clips.flags.c_contiguous:
        came = f"{clips.dtype} {shape}" + ("" if clips.flags.c_contiguous else " by columns")
        raise data_error(data, "", came, "floats (N, T_max, 50, 3) or (N, T_max, 150) by rows")
    N, T_max = shape[:2]
    labels = read_whole_numbers(label, N, 0, NUM_CLASSES - 1, "actions are counted from 0")
    lengths = read_whole_numbers(length, N, 1, T_max, "")
    names = (data.name, label.name, length.name)
    return NTU(clips.reshape(N, T_max, D), labels, lengths, names, (), folder)


def read_array(path: Path) -> np.ndarray[Any, Any]:
    """Maps the array of a .npy file; pickled objects are refused."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        expected = f"{path.name}: the three files of a split belong together"
        raise data_error(path.parent, "", f"holds {listing(path.parent)}", expected) from error
    except DAMAGE as error:
        came = str(error).rstrip(".") or type(error).__name__
        raise data_error(path, "", came, "a .npy file of numbers", NPY_CURE) from error


def read_whole_numbers(path: Path, N: int, low: int, high: int, cure: str) -> np.ndarray:
    """The (N,) int64 of a .npy file of whole numbers from low to high, of any number type."""
    x = read_array(path)
    if x.shape != (N,) or x.dtype.kind not in "iuf":
        raise data_error(path, "", f"{x.dtype} {x.shape}", f"({N},) whole numbers")
    x = np.asarray(x)
    wrong = ~((x >= low) & (x <= high) & (x == np.floor(x)))  # nan is wrong
    if wrong.any():
        at = int(np.argmax(wrong))
        raise data_error(path, f"entry {at}", f"{x[at]}", f"whole numbers {low} to {high}", cure)
    return x.astype(np.int64)


# ---- skeleton files ---------------------------------------------------------------------------


def read_skeletons(folder: Path, split: str, benchmark: str) -> NTU:
    """Reads the skeleton files of one split into memory."""
    paths, left_out = skeleton_files(folder, benchmark)[split]
    found = {path: clip for path in paths if (clip := read_skeleton(path)).any()}
    left_out += [path.name for path in paths if path not in found]
    check_clips(folder, split, len(found), left_out)
    lengths = np.array([len(clip) for clip in found.values()])
    clips = np.zeros((len(found), lengths.max(), D), np.float32)
    for into, clip in zip(clips, found.values(), strict=True):
        into[: len(clip)] = clip.reshape(-1, D)
    labels = np.array([parse_name(path).action - 1 for path in found])
    names = tuple(path.name for path in found)
    return NTU(clips, labels, lengths, names, tuple(left_out), folder)


def check_clips(folder: str | os.PathLike[str], split: str, N: int, left_out: list[str]) -> None:
    """DataError unless a split has clips."""
    if not N:
        came = f"no clip of the {split} split ({len(left_out)} left out, skeletons missing)"
        raise data_error(folder, "", came, "at least one")


def convert(
    skeleton_folder: str | os.PathLike[str],
    out_folder: str | os.PathLike[str],
    benchmark: str,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Makes the three .npy files of both splits from skeleton files.

    Left out are the files without a skeleton, and those that a list of the data set's authors
    beside them names (NTU_RGBD_samples_with_missing_skeletons.txt); the text that comes back says
    which. Only one clip is in memory at a time. Files get their names when they are whole; those of
    an earlier conversion are then replaced.

    Args:
        skeleton_folder: holds the .skeleton files.
        out_folder: made where it is missing.
        benchmark: "cross_subject" or "cross_view".
        progress: called with the number of files done and of all files, after each.

    Returns:
        what was written and what was left out, in lines.

    Raises:
        ValueError: another benchmark.
        DataError: a file name or a file that is wrong, or a split without clips.
        OSError: out_folder cannot be written.
    """
    check_benchmark("convert", benchmark)
    splits = skeleton_files(skeleton_folder, benchmark)
    for split, (paths, left_out) in splits.items():
        check_clips(skeleton_folder, split, len(paths), left_out)
    out_folder = Path(out_folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    total, done = sum(len(paths) for paths, _ in splits.values()), count(1)

    def each_done() -> None:
        if progress is not None:
            progress(next(done), total)

    said, missing = [], []
    for split, (paths, left_out) in splits.items():
        stem = stem_of(split, benchmark)
        kept, empty = write_triple(out_folder, stem, paths, each_done)
        size = SIZES[benchmark][split]
        said.append(f"{stem}: {kept:,} of the benchmark's {size:,} clips")
        missing += left_out + empty
    names = ", ".join(sorted(missing)) or "none"
    return "\n".join([*said, f"left out, skeletons missing: {len(missing)} ({names})"])


def write_triple(
    out_folder: Path, stem: str, paths: list[Path], each_done: Callable[[], None]
) -> tuple[int, list[str]]:
    """Writes the three files of one split.

    Args:
        out_folder, stem: where, and what their names begin with.
        paths: the skeleton files.
        each_done: called after each of them.

    Returns:
        the number of clips written, and the names of the files without a skeleton.
    """
    parts = [out_folder / f"{stem}{ending}.npy.part" for ending in ENDINGS]
    try:
        with parts[0].open("wb") as file:
            lengths = write_clips(file, paths, each_done)
        kept = [path for path, n in zip(paths, lengths, strict=True) if n]
        empty = [path.name for path, n in zip(paths, lengths, strict=True) if not n]
        check_clips(paths[0].parent, stem, len(kept), empty)
        labels = [parse_name(path).action - 1 for path in kept]
        for part, numbers in zip(parts[1:], (labels, [n for n in lengths if n]), strict=True):
            with part.open("wb") as file:
                np.save(file, np.array(numbers, np.int64), allow_pickle=False)
        for part in parts:
            part.replace(part.with_suffix(""))
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return len(kept), empty


def write_clips(file: BinaryIO, paths: list[Path], each_done: Callable[[], None]) -> list[int]:
    """Writes a (N, T_max, 50, 3) .npy file; returns the frames of each clip, 0 where left out."""
    T_max = max(frame_count(path) for path in paths)
    write_header(file, len(paths), T_max)
    start, lengths = file.tell(), []
    for path in paths:
        clip = read_skeleton(path)
        lengths.append(len(clip) if clip.any() else 0)
        if clip.any():
            file.write(clip.astype("<f4").tobytes())
            file.seek((T_max - len(clip)) * D * 4, SEEK_CUR)  # a hole reads as zeros
        each_done()
    file.truncate(file.tell())
    file.seek(0)
    write_header(file, sum(n > 0 for n in lengths), T_max)
    assert file.tell() == start  # np.lib.format leaves room for another number of clips
    return lengths


def write_header(file: BinaryIO, N: int, T_max: int) -> None:
    """Writes the head of a .npy file of float32 clips."""
    shape = (N, T_max, BODIES * JOINTS, 3)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def frame_count(path: Path) -> int:
    """Frames of a clip, from its first line where that can be true, else from reading it whole."""
    try:
        with path.open("rb") as file:
            line = file.readline(20).strip()
        size = path.stat().st_size
    except OSError as error:
        raise data_error(path, "", error.strerror or str(error), "a file to read") from error
    if line.isdigit() and int(line) <= size:
        return int(line)
    return len(read_skeleton(path))  # packed, or wrong
