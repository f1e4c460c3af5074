"""One file out of a zip file, piece by piece; whatever is wrong with it is one line.

Only what every zip program reads is read here, stored and deflated files without a password. Other
packings would bring errors of their own for damaged data.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from nnseq.data.files import AGAIN, data_error

CHUNK = 1 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What wrong content raises: ValueError and OverflowError for places outside of the file, ValueError
# for names too, RuntimeError for passwords and for what zipfile does not know.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, OverflowError, RuntimeError
)  # fmt: skip


@contextmanager
def zip_file(
    path: str | os.PathLike[str], content: IO[bytes] | None = None
) -> Iterator[zipfile.ZipFile]:
    """Opens a zip file for the block.

    Args:
        path: the file, also for errors.
        content: its bytes, where they have been read already.

    Raises:
        DataError: it is no zip file, or a damaged one.
    """
    with reading(path):
        file = zipfile.ZipFile(path if content is None else content)
    with file:
        yield file


def zip_chunks(
    path: str | os.PathLike[str], file: zipfile.ZipFile, entry: zipfile.ZipInfo
) -> Iterator[bytes]:
    """Yields what one entry of a zip file holds, its checksum compared at the end.

    Args:
        path: of the zip file, for errors.
        file: from zip_file.
        entry: of its infolist().

    Raises:
        DataError: the entry is damaged, encrypted, or packed in another way than METHODS.
    """
    if entry.compress_type not in METHODS:
        came = f"packed by method {entry.compress_type}"
        cure = "pack it anew, or fetch it"
        raise data_error(path, entry.filename, came, "0 (stored) or 8 (deflated)", cure)
    with reading(path):
        stream = file.open(entry)
    with stream:
        yield from chunks(path, stream)


def chunks(
    path: str | os.PathLike[str],
    stream: IO[bytes],
    kind: str = "zip file",
    damage: tuple[type[Exception], ...] = DAMAGE,
) -> Iterator[bytes]:
    """Yields a stream piece by piece; the other Args and Raises as reading."""
    while True:
        with reading(path, kind, damage):
            chunk = stream.read(CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def reading(
    path: str | os.PathLike[str],
    kind: str = "zip file",
    damage: tuple[type[Exception], ...] = DAMAGE,
) -> Iterator[None]:
    """Turns what a damaged archive raises into a DataError. Only reading belongs into the block.

    Args:
        path: of the archive.
        kind: what it should be.
        damage: what is turned.
    """
    try:
        yield
    except damage as error:
        came = f"it cannot be read ({error})"
        raise data_error(path, "", came, f"a whole {kind} without a password", AGAIN) from error
