"""Files of data: found, read whole, and refused with the place where they are wrong."""

from __future__ import annotations

import os
import shlex
import zlib
from collections.abc import Sequence
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib's wbits: a window of 2¹⁵ inside a gzip header and trailer
CHUNK = 1 << 16  # packed bytes handed to zlib at a time
NAMES_SHOWN = 8  # of a folder's entries, in an error
AGAIN = "fetch or copy the file again"


class DataError(ValueError):
    """A data file that cannot be used: which, where, what came, what was expected, what to do."""


def data_error(
    path: str | os.PathLike[str], at: str, came: str, expected: str, cure: str = ""
) -> DataError:
    """Puts the error of a data file into one line: `file, at: came, expected ...; cure`.

    Args:
        path: the file.
        at: where in it, such as "byte 16" or "line 12"; "" where it is the whole file.
        came: what is there, such as "label 11".
        expected: what should be there, such as "0 to 9".
        cure: what to do, such as a command; "" where there is nothing to say.

    Returns:
        the error, to be raised by the caller.
    """
    place = f"{os.fspath(path)}, {at}" if at else os.fspath(path)
    line = f"{place}: {came}, expected {expected}" + (f"; {cure}" if cure else "")
    return DataError(line.replace("\n", "\\n"))


def find(folder: str | os.PathLike[str], set_name: str | Sequence[str], *names: str) -> Path:
    """Finds a file of a data set in a folder, plain or packed.

    Args:
        folder: where to look, not below it.
        set_name: the data set as `python -m nnseq.data fetch` calls it, or several that would do.
        names: the names that the file may have, each also with ".gz" behind it.

    Returns:
        the first that is there: names in the order given, each plain before packed.

    Raises:
        DataError: none of them is there, or the folder is missing, a file, or not to be read.
    """
    folder = Path(folder)
    where = "FOLDER" if is_file(folder) else shlex.quote(os.fspath(folder))
    sets = (set_name,) if isinstance(set_name, str) else set_name
    cure = " or ".join(f"python -m nnseq.data fetch {name} --data {where}" for name in sets)
    expected = f"{' or '.join(names)} (plain or .gz)"
    try:
        found = first_file(folder, *names)
    except OSError as error:
        raise data_error(folder, "", error.strerror or str(error), expected, cure) from error
    if found is not None:
        return found
    if not is_folder(folder):
        expected = f"a folder with {expected}"
    raise data_error(folder, "", contents(folder), expected, cure)


def first_file(folder: Path, *names: str) -> Path | None:
    """The first of the names that is a file, each plain before packed; None where none is."""
    candidates = (folder / (name + end) for name in names for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def contents(folder: Path) -> str:
    """What there is in place of a file that is missing, as errors say it."""
    if is_folder(folder):
        return f"the folder holds {listing(folder)}"
    return "a file, not a folder" if is_file(folder) else "no such folder"


def is_folder(path: Path) -> bool:
    """Path.is_dir(), False too for a name that the system refuses."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Path.is_file(), False too for a name that the system refuses."""
    try:
        return path.is_file()
    except OSError:
        return False


def listing(folder: Path) -> str:
    """The first names in a folder and how many more there are; a folder ends in "/"."""
    try:
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir()
        )
    except OSError as error:
        return f"nothing that can be read ({error.strerror})"
    shown = ", ".join(names[:NAMES_SHOWN]) or "nothing"
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads a file whole, unpacked where its first two bytes say gzip, whatever its name says.

    Args:
        path: the file.

    Returns:
        its bytes; of a packed file, the unpacked ones of all its members, each with its checksum
        compared.

    Raises:
        DataError: the file cannot be opened, or its gzip data are cut or damaged; the offset is
            that of the packed file.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise data_error(path, "", error.strerror or str(error), "a file to read") from error
    return unpack(path, content) if content.startswith(GZIP_MAGIC) else content


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Reads a text file whole, plain or gzip, its line ends as they are.

    Args:
        path: the file.
        encoding: how its characters are written.

    Returns:
        the text.

    Raises:
        DataError: as read_bytes, or a byte that is not of this encoding; the offset is that of the
            unpacked text.
    """
    content = read_bytes(path)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        came = f"0x{content[error.start]:02x} ({error.reason})"
        raise data_error(path, f"byte {error.start}", came, f"{encoding} text") from error


def unpack(path: str | os.PathLike[str], packed: bytes) -> bytes:
    """Unpacks gzip members one behind the other; zeros may fill the file up behind the last."""
    unpacked: list[bytes] = []
    at = 0
    while packed.startswith(GZIP_MAGIC, at):
        at = unpack_member(path, packed, at, unpacked)
    if packed[at:].strip(b"\0"):
        came = f"{len(packed) - at:,} bytes behind the end of the gzip data"
        raise data_error(path, f"byte {at} of the packed file", came, "the end", AGAIN)
    return b"".join(unpacked)


def unpack_member(
    path: str | os.PathLike[str], packed: bytes, at: int, unpacked: list[bytes]
) -> int:
    """Appends what the gzip member at `at` holds to `unpacked`; returns where the member ends."""
    stream = zlib.decompressobj(GZIP_WINDOW)
    while not stream.eof:
        if at >= len(packed):
            raise data_error(
                path, f"byte {at} of the packed file", "the file ends", "more gzip data", AGAIN
            )
        chunk = packed[at : at + CHUNK]
        before = stream.copy()
        try:
            unpacked.append(stream.decompress(chunk))
        except zlib.error as error:
            place = f"byte {at + good_bytes(before, chunk)} of the packed file"
            came = f"damaged gzip data ({error})"
            raise data_error(path, place, came, "what gzip wrote", AGAIN) from error
        at += len(chunk) - len(stream.unused_data)
    return at


def good_bytes(stream: zlib._Decompress, chunk: bytes) -> int:
    """How many bytes of a damaged chunk zlib takes before it complains."""
    for n in range(len(chunk)):
        try:
            stream.decompress(chunk[n : n + 1])
        except zlib.error:
            return n
    return len(chunk)
