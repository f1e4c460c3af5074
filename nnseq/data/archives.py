"""Takes the files that are expected, and nothing else, out of a zip or tar archive.

The archive's hash was right before it comes here, so this is a second line of defence: a path in
the archive is only compared with the expected ones, never used as a path on disk; links, devices
and second entries of a name are refused; and so is more than the bytes that a file may have.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from nnseq.data.files import GZIP_MAGIC, data_error
from nnseq.data.source_files import Member
from nnseq.data.zips import DAMAGE, chunks, reading, zip_chunks, zip_file

MOST_ENTRIES = 1000  # of a tar archive; the largest here has 9
TAR = "zip or tar archive"  # what is no zip file is taken for a tar file
TAR_DAMAGE = (tarfile.TarError, *DAMAGE)


def unpack(archive: Path, members: Sequence[Member], folder: Path) -> list[Path]:
    """Writes the members under their bare names into a folder.

    Args:
        archive: a zip file, its members stored or deflated, or a tar file, plain or packed with
            gzip. Other packings are refused.
        members: what is taken.
        folder: where they are written; what it holds under these names is overwritten.

    Returns:
        their paths, in the order of `members`.

    Raises:
        DataError: the archive is damaged, or a member is missing, twice there, no regular file, or
            has another size than it should.
        OSError: a member cannot be written.
    """
    with reading_tar(archive):
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
    with zip_file(archive) as file:
        for member in members:
            entries = [entry for entry in file.infolist() if entry.filename == member.path]
            if not entries:
                continue
            kind = stat.S_IFMT(entries[0].external_attr >> 16)
            check(archive, member, len(entries), kind in (0, stat.S_IFREG), entries[0].file_size)
            content = zip_chunks(archive, file, entries[0])
            yield member.path, copy(archive, member, content, folder)


def unpack_tar(
    archive: Path, members: Sequence[Member], folder: Path
) -> Iterator[tuple[str, Path]]:
    """As unpack_zip. A tar file has no table of contents: it is read once from end to end."""
    expected = {member.path: member for member in members}
    seen: dict[str, int] = {}
    with reading_tar(archive):
        with archive.open("rb") as start:
            is_packed = start.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        # Not "r:*", for which bzip2 and xz would bring errors of their own.
        file = tarfile.open(archive, "r:gz" if is_packed else "r:")  # noqa: SIM115  (closed below)
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
            with reading_tar(archive):
                stream = file.extractfile(entry)
            assert stream is not None  # it is a regular file
            with stream:
                content = chunks(archive, stream, TAR, TAR_DAMAGE)
                yield name, copy(archive, member, content, folder)


def entries_of(archive: Path, file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar file, one after the other."""
    while True:
        with reading_tar(archive):
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


def copy(archive: Path, member: Member, content: Iterator[bytes], folder: Path) -> Path:
    """Writes a member; what its header says of its size is not believed."""
    path, size = folder / member.name, 0
    with path.open("wb") as file:
        for chunk in content:
            size += len(chunk)
            if size > member.at_most:
                check_size(archive, member, size)
            file.write(chunk)
    check_size(archive, member, size)
    return path


def reading_tar(archive: Path) -> AbstractContextManager[None]:
    """Inside the block, what tarfile raises about a damaged archive becomes a DataError."""
    return reading(archive, TAR, TAR_DAMAGE)
