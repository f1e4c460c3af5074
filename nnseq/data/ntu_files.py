"""NTU RGB+D: its skeleton files, one text file a clip, and who is in which split.

    number of frames
    for each frame:   number of bodies seen, often 1, at times 0
      for each body:  its identity and nine more numbers (edges, hands, lean, tracking state)
                      number of joints, always 25
        each joint:   x y z in metres, and nine more numbers (pixels, orientation, tracking state)

The name says the rest: S001C002P003R002A013.skeleton is setup 1, camera 2, performer 3, second
replication, action 13.

Shahroudy, Liu, Ng and Wang 2016, "NTU RGB+D: A large scale dataset for 3D human activity analysis".
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnseq.data.files import AGAIN, DataError, contents, data_error, is_folder, read_text

JOINTS = 25
BODIES = 2  # slots of a clip
NUM_CLASSES = 60
FAR = 1e6  # metres; what lies beyond is damage, and its square no longer fits float32 well
BODY = "10 numbers that describe a body"
JOINT = "12 numbers that describe a joint"

NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})\.skeleton")
HIGHEST = {"setup": 17, "camera": 3, "performer": 40, "replication": 2, "action": NUM_CLASSES}

BENCHMARKS = ("cross_subject", "cross_view")
SPLITS = ("train", "test")
TRAIN_PERFORMERS = frozenset(
    [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38]
)
TRAIN_CAMERAS = frozenset([2, 3])
MISSING_LISTS = "*missing_skeletons*.txt"  # the list that the data set's authors publish beside it


class Name(NamedTuple):
    """What a file name says, each counted from 1."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int


def read_skeleton(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads the joints of one clip.

    Of more than two bodies the two that move most are kept, by eq. (1) for the body with joints x
    of the frames F that it is seen in: what moves much or for long counts, and a chair that was
    taken for a body does not. Slot 0 is the one that moves most, also of two; of equals, the one
    seen in more frames, then the one seen first.

        motion = Σ_{t in F} ‖x_t − mean_F x‖²                                                (1)

    The authors of the data rank by the sum of the variances, which is eq. (1) over |F|; without
    that division two frames of a leaping false body cannot push out an actor.

    Args:
        path: a .skeleton file, plain or gzip.

    Returns:
        (T, 2, 25, 3) float32 x y z in metres; 0 where a body is not seen. All is 0, or T is 0, in a
        file whose skeletons are missing.

    Raises:
        DataError: a count that does not fit, a number that is none, a cut file, lines left over, or
            one identity twice in a frame; with the line.
    """
    lines = Lines(path)
    T = lines.count("the number of frames")
    seen: dict[str, dict[int, list[list[float]]]] = {}  # identity → frame → 25 × xyz
    for t in range(T):
        for _ in range(lines.count("the number of bodies")):
            identity, joints = read_body(lines)
            frames = seen.setdefault(identity, {})
            if t in frames:
                raise lines.wrong(f"body {identity} twice in frame {t + 1}", "each body once")
            frames[t] = joints
    lines.end()
    return most_moving(seen, T)


def read_body(lines: Lines) -> tuple[str, list[list[float]]]:
    """The identity and the 25 places of the body that the next 27 lines describe."""
    identity = lines.fields(10, BODY)[0]
    if not identity.isdigit():
        raise lines.wrong(f"body {identity!r}", "an identity of digits")
    lines.numbers(BODY)
    if lines.count("the number of joints") != JOINTS:
        raise lines.wrong(f"{lines.now.strip()} joints", f"{JOINTS}")
    joints = []
    for _ in range(JOINTS):
        lines.fields(12, JOINT)
        x, y, z = lines.numbers(JOINT)[:3]
        if not (abs(x) < FAR and abs(y) < FAR and abs(z) < FAR):  # neither is nan
            raise lines.wrong(f"a joint at ({x}, {y}, {z})", "x y z in metres")
        joints.append([x, y, z])
    return identity, joints


def most_moving(seen: dict[str, dict[int, list[list[float]]]], T: int) -> np.ndarray:
    """Puts the two bodies with the largest eq. (1) into the slots of a (T, 2, 25, 3) clip."""
    bodies = [(list(frames), np.array(list(frames.values()))) for frames in seen.values()]
    bodies.sort(key=lambda body: (motion(body[1]), len(body[0])), reverse=True)
    clip = np.zeros((T, BODIES, JOINTS, 3), np.float32)
    for slot, (frames, x) in enumerate(bodies[:BODIES]):
        clip[frames, slot] = x
    return clip


def motion(x: np.ndarray) -> float:
    """Eq. (1) of the (frames, 25, 3) places of one body."""
    return float(np.square(x - x.mean(axis=0)).sum())


def parse_name(path: str | os.PathLike[str]) -> Name:
    """Reads what the name of a skeleton file says.

    Args:
        path: the file; only its last part matters.

    Returns:
        setup, camera, performer, replication and action, each from 1.

    Raises:
        DataError: a name of another form, or a number that NTU RGB+D does not have (its extension
            to 120 actions does).
    """
    found = NAME.fullmatch(Path(path).name)
    if not found:
        raise data_error(path, "its name", Path(path).name, "S001C001P001R001A001.skeleton")
    name = Name(*map(int, found.groups()))
    for (what, highest), number in zip(HIGHEST.items(), name, strict=True):
        if not 1 <= number <= highest:
            cure = "leave the files of NTU RGB+D 120 out" if number else ""
            raise data_error(path, "its name", f"{what} {number}", f"1 to {highest}", cure)
    return name


def split_of(name: Name, benchmark: str) -> str:
    """Which split a clip belongs to.

    Args:
        name: as parse_name.
        benchmark: "cross_subject" divides the performers, "cross_view" the cameras.

    Returns:
        "train" or "test".

    Raises:
        ValueError: another benchmark.
    """
    check_benchmark("split_of", benchmark)
    if benchmark == "cross_view":
        return "train" if name.camera in TRAIN_CAMERAS else "test"
    return "train" if name.performer in TRAIN_PERFORMERS else "test"


def skeleton_files(
    folder: str | os.PathLike[str], benchmark: str
) -> dict[str, tuple[list[Path], list[str]]]:
    """Finds the skeleton files of a folder, without those listed as missing their skeletons.

    Args:
        folder: holds .skeleton files, and perhaps the list of the data set's authors
            (NTU_RGBD_samples_with_missing_skeletons.txt), which is then heeded.
        benchmark: as split_of.

    Returns:
        for each split its files, sorted by name, and the names of those that the list leaves out.

    Raises:
        DataError: no skeleton file, or a name that is wrong.
    """
    folder = Path(folder)
    paths = skeleton_paths(folder)
    if not paths:
        expected = "files such as S001C001P001R001A001.skeleton"
        raise data_error(folder, "", contents(folder), expected)
    lists = [read_text(path) for path in sorted(folder.glob(MISSING_LISTS))]
    listed = {word.removesuffix(".skeleton") for text in lists for word in text.split()}
    splits: dict[str, tuple[list[Path], list[str]]] = {split: ([], []) for split in SPLITS}
    for path in paths:
        found, left_out = splits[split_of(parse_name(path), benchmark)]
        if path.stem in listed:
            left_out.append(path.name)
        else:
            found.append(path)
    return splits


def skeleton_paths(folder: Path) -> list[Path]:
    """The .skeleton files of a folder, sorted by name; none where there is no folder."""
    return sorted(folder.glob("*.skeleton")) if is_folder(folder) else []


def check_benchmark(who: str, benchmark: str) -> None:
    """ValueError unless there is such a benchmark."""
    if benchmark not in BENCHMARKS:
        raise ValueError(f"{who}: benchmark {benchmark!r} came, expected {' or '.join(BENCHMARKS)}")


class Lines:
    """The lines of a file, handed out one by one; errors name the line that came last."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self.lines = read_text(path, "ascii").split("\n")
        self.at = 0

    @property
    def now(self) -> str:
        """The line that came last."""
        return self.lines[self.at - 1]

    def fields(self, count: int, what: str) -> list[str]:
        """The next line, which must be `count` fields."""
        self.at += 1
        if self.at > len(self.lines) or (self.at == len(self.lines) and not self.now.strip()):
            raise data_error(self.path, f"line {self.at}", "the file ends", what, AGAIN)
        fields = self.now.split()
        if len(fields) != count:
            raise self.wrong(f"{len(fields)} fields", what)
        return fields

    def numbers(self, what: str) -> list[float]:
        """The line that came last as numbers; nan and inf are numbers here, 1_000 is none."""
        try:
            numbers = [float(field) for field in self.now.split()]
        except ValueError as error:
            raise self.wrong(repr(self.now.strip()), what) from error
        if "_" in self.now:
            raise self.wrong(repr(self.now.strip()), what)
        return numbers

    def count(self, what: str) -> int:
        """The next line as a whole number of at most nine digits."""
        field = self.fields(1, what)[0]
        if not field.isdigit() or len(field) > 9:
            raise self.wrong(repr(field), what)
        return int(field)

    def end(self) -> None:
        """Nothing but blank lines may be left."""
        for at, line in enumerate(self.lines[self.at :], self.at + 1):
            if line.strip():
                came = f"{line.strip()[:40]!r} behind the last frame"
                raise data_error(self.path, f"line {at}", came, "the end of the file")

    def wrong(self, came: str, expected: str) -> DataError:
        """The error about the line that came last."""
        return data_error(self.path, f"line {self.at}", came, expected)
