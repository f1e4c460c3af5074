"""Takes the files that are expected, and nothing else, out of a zip or tar archive.

The archive's hash was right before it comes here, so this is a second line of defence: a path in
the archive is only compared with the expected ones, never used as a path on disk; links, devices
and second entries of a name are refused; and so is more than the bytes that a file may have.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nnseq.data.files import DataError, data_error
from nnseq.data.sources import Member

CHUNK = 1 << 20
MOST_ENTRIES = 1000  # of a tar archive; the largest here has 9
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError)
REFUSED = (RuntimeError, NotImplementedError)  # encrypted, packed in a way zipfile does not know


def unpack(archive: Path, members: Sequence[Member], folder: Path) -> list[Path]:
    """Writes the members under their bare names into a folder.

    Args:
        archive: a zip file, or a tar file, plain or packed with gzip.
        members: what is taken.
        folder: where they are written; what it holds under these names is overwritten.

    Returns:
        their paths, in the order of `members`.

    Raises:
        DataError: the archive is damaged, or a member is missing, twice there, no regular file, or
            has another size than it should.
        OSError: a member cannot be written.
    """
    with reading(archive):
        is_zip = zipfile.is_zipfile(archive)
    written = dict((unpack_zip if is_zip else unpack_tar)(archive, members, folder))
    for member in members:
        if member.path not in written:
            raise data_error(archive, "", f"it has no {member.path}", "one", "take another copy")
    return [written[member.path] for member in members]


def unpack_zip(
    archive: Path, members: Sequence[Member], folder: Path
) -> Iterator[tuple[str, Path]]:
    """Yields the path in the archive and the path on disk of each member."""
    with reading(archive):
        file = zipfile.ZipFile(archive)
    with file:
        for member in members:
            entries = [entry for entry in file.infolist() if entry.filename == member.path]
            if not entries:
                continue
            kind = stat.S_IFMT(entries[0].external_attr >> 16)
            check(archive, member, len(entries), kind in (0, stat.S_IFREG), entries[0].file_size)
            with reading(archive):
                stream = file.open(entries[0])
            with stream:
                yield member.path, copy(archive, member, stream, folder)


def unpack_tar(
    archive: Path, members: Sequence[Member], folder: Path
) -> Iterator[tuple[str, Path]]:
    """As unpack_zip. A tar file has no table of contents: it is read once from end to end."""
    expected = {member.path: member for member in members}
    seen: dict[str, int] = {}
    with reading(archive):
        file = tarfile.open(archive, "r:*")  # noqa: SIM115  (closed below)
    with file:
        for count, entry in enumerate(entries_of(archive, file)):
            if count == MOST_ENTRIES:
                raise data_error(archive, "", f"over {MOST_ENTRIES} entries", "a few")
            name = entry.name.removeprefix("./")
            member = expected.get(name)
            if member is None:
                if entry.size > sum(each.at_most for each in members):
                    raise data_error(archive, name, f"{entry.size:,} bytes", "a small file")
                continue
            seen[name] = seen.get(name, 0) + 1
            check(archive, member, seen[name], entry.isreg(), entry.size)
            with reading(archive):
                stream = file.extractfile(entry)
            assert stream is not None  # it is a regular file
            with stream:
                yield name, copy(archive, member, stream, folder)


def entries_of(archive: Path, file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar file, one after the other."""
    while True:
        with reading(archive):
            entry = file.next()
        if entry is None:
            return
        yield entry


def check(archive: Path, member: Member, entries: int, is_regular: bool, size: int) -> None:
    """Raises DataError unless an entry is the one file that it should be."""
    if entries > 1:
        raise data_error(archive, member.path, f"{entries} entries of that name", "one")
    if not is_regular:
        raise data_error(archive, member.path, "a link, a folder or a device", "a file")
    check_size(archive, member, size)


def check_size(archive: Path, member: Member, size: int) -> None:
    """Raises DataError where a member has another size than it should."""
    if member.size not in (None, size):
        raise data_error(archive, member.path, f"{size:,} bytes", f"{member.size:,}")
    if size > member.at_most:
        raise data_error(archive, member.path, f"{size:,} bytes", f"up to {member.at_most:,}")


def copy(archive: Path, member: Member, stream: IO[bytes], folder: Path) -> Path:
    """Writes a member; what its header says of its size is not believed."""
    path, size = folder / member.name, 0
    read: Callable[[int], bytes] = stream.read
    with path.open("wb") as file:
        while True:
            with reading(archive):
                chunk = read(CHUNK)
            if not chunk:
                break
            size += len(chunk)
            if size > member.at_most:
                check_size(archive, member, size)
            file.write(chunk)
    check_size(archive, member, size)
    return path


@contextmanager
def reading(archive: Path) -> Iterator[None]:
    """Turns what zipfile and tarfile raise about a damaged archive into a DataError."""
    try:
        yield
    except DataError:
        raise
    except (*BROKEN, *REFUSED) as error:
        came = f"damaged or of an unknown kind ({error})"
        raise data_error(archive, "", came, "a zip or tar archive", "take another copy") from error
