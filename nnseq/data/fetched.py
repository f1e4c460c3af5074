"""What of a data set is there already: its files, and the hashes that a fetch wrote down."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from nnseq.data.download import FetchError
from nnseq.data.files import first_file
from nnseq.data.source_files import Member, SourceFile

RECORD = "fetched.sha256"
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
MOVE_AWAY = "move it away or delete it, then fetch again"


def missing_files(
    folder: Path,
    files: Iterable[SourceFile],
    hashes: Mapping[str, str | None],
    given: Mapping[str, str],
    record: Record,
) -> list[SourceFile]:
    """Compares what is there with its hashes; returns what has to be fetched.

    Raises:
        FetchError: a file is there and is another one.
    """
    missing, wrong = [], []
    for file in files:
        if file.members:
            unproven = given.get(file.name) not in (None, record.hashes.get(file.name))
            parts = [check_member(folder, member, record) for member in file.members]
            wrong += [text for text in parts if text]
            if unproven or None in parts:
                missing.append(file)
            elif not any(parts):
                names = ", ".join(member.name for member in file.members)
                checked = file.name in record.hashes
                print(f"{names}: there, {'SHA-256 as fetched' if checked else 'hashes unknown'}")
            continue
        path, expected = folder / file.name, hashes[file.name]
        if not os.path.lexists(path):
            missing.append(file)
        elif expected is None:
            print(f"{file.name}: there, its hash is unknown")
        elif text := other_hash(path, expected):
            wrong.append(text)
        else:
            is_known = file.sha256 is not None or file.name in given
            verdict = "right" if is_known else f"as in {RECORD}, not known otherwise"
            print(f"{file.name}: there, SHA-256 {verdict}", flush=True)
    if wrong:
        raise FetchError("; ".join(wrong))
    return missing


def check_member(folder: Path, member: Member, record: Record) -> str | None:
    """What is wrong with a file that came out of an archive; None where it is not there."""
    path = first_file(folder, member.name)
    if path is None:
        return None
    expected = record.hashes.get(path.name)
    if expected is not None:
        return other_hash(path, expected)
    size = path.stat().st_size
    if path.name == member.name and member.size not in (None, size):
        return f"{path}: {size:,} bytes came, expected {member.size:,}; {MOVE_AWAY}"
    return ""


def other_hash(path: Path, expected: str) -> str:
    """What to say of a file with another hash; "" where it has the expected one."""
    if not path.is_file():
        return f"{path}: not a file; {MOVE_AWAY}"
    came = sha256_of(path)
    if came == expected:
        return ""
    return f"{path}: SHA-256 {came} came, expected {expected}; it is left as it is: {MOVE_AWAY}"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Record:
    """FOLDER/fetched.sha256: `sha256sum -c` reads it; "# " stands before what was not kept."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        self.hashes: dict[str, str] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                digits, _, name = line.removeprefix("# ").partition("  ")
                if SHA256.match(digits):
                    self.hashes[name] = digits

    def add(self, hashes: Mapping[str, str]) -> None:
        """Writes down what has been fetched."""
        self.hashes |= hashes
        kept = {name: (self.path.parent / name).exists() for name in self.hashes}
        lines = [f"{'' if kept[name] else '# '}{self.hashes[name]}  {name}\n" for name in kept]
        part = self.path.with_name(f"{RECORD}.part")
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(self.path)
