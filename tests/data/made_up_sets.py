"""Small data sets on a local server, for the tests of fetching."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nnseq.data import download
from nnseq.data.source_files import DataSet, Member, SourceFile
from nnseq.data.sources import SETS
from tests.data.flaky_server import Server, serving, sha256

ONE = np.random.default_rng(1).bytes(150_001)
TWO = b"the second file\n"
INSIDE = {"box/a.bin": b"aaaaa", "box/b.txt": b"some text"}


def packed(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


BOX = packed(INSIDE)
PLAIN = DataSet(
    "two files",
    (
        SourceFile(
            "one.gz", ("http://a/x/one.gz", "http://b/y/one.gz"), 10**6, 150_001, sha256(ONE)
        ),
        SourceFile("two.txt", ("http://a/x/two.txt",), 10**6, None, sha256(TWO)),
    ),
)
UNKNOWN = DataSet(
    "a file whose hash nobody knows",
    (
        SourceFile("one.gz", ("http://a/x/one.gz",), 10**6, note="its page gives only an MD5: 77"),
        SourceFile("two.txt", ("http://a/x/two.txt",), 10**6, None, sha256(TWO)),
    ),
)
ARCHIVE = DataSet(
    "an archive",
    (
        SourceFile(
            "box.tar.gz",
            ("http://a/x/box.tar.gz",),
            10**6,
            members=(Member("box/a.bin", 5, 5), Member("box/b.txt", 100)),
        ),
    ),
)


@contextmanager
def served_sets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The sets "plain", "unknown" and "archive", and a server that has all their files."""
    for name, data_set in {"plain": PLAIN, "unknown": UNKNOWN, "archive": ARCHIVE}.items():
        monkeypatch.setitem(SETS, name, data_set)
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.0)
    monkeypatch.delenv("NNSEQ_DATA_URL", raising=False)
    files = {"/x/one.gz": ONE, "/x/two.txt": TWO, "/x/box.tar.gz": BOX}
    with serving(files) as server:
        yield server


def names(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())
