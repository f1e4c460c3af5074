"""What a data set consists of: files to download, archives to unpack, and where each is looked for.

    MNIST = DataSet("28×28 digits", (SourceFile("train.gz", (URL,), at_most=1 << 20),))
    addresses("mnist", MNIST.files[0], os.environ.get(ENVIRONMENT, ""))

The sets themselves are in nnseq.data.sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

ENVIRONMENT = "NNSEQ_DATA_URL"


@dataclass(frozen=True)
class Member:
    """A file that is taken out of an archive; it gets the last part of its path as its name.

    Attributes:
        path: in the archive.
        at_most: bytes; an archive with more at this path is refused.
        size: bytes exactly, where known.
    """

    path: str
    at_most: int
    size: int | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class SourceFile:
    """A file to download.

    Attributes:
        name: in the data set's folder.
        urls: where it can be had, in the order in which they are tried.
        at_most: bytes; a longer answer is not the file.
        size: bytes exactly, where known.
        sha256: 64 hexadecimal digits, or None where unknown.
        members: of an archive, what is unpacked; the archive itself is not kept.
        note: what else is known for people who look for the hash.
    """

    name: str
    urls: tuple[str, ...]
    at_most: int
    size: int | None = None
    sha256: str | None = None
    members: tuple[Member, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        about: what it is and under which terms, for `list`.
        files: to download; none where it has no free download.
        obtain: of a set without files, how to get it.
    """

    about: str
    files: tuple[SourceFile, ...] = ()
    obtain: str = ""


def addresses(set_name: str, file: SourceFile, mirror: str = "") -> tuple[str, ...]:
    """Where a file is looked for, in order.

    Args:
        set_name: its name in nnseq.data.sources.
        file: one of its files.
        mirror: an address that stands for every host: below it are looked for the path that the
            file has at its own host, then SET/FILE, then FILE. "" = the hosts themselves.

    Raises:
        ValueError: the mirror is no http or https address.
    """
    if not mirror:
        return file.urls
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"{ENVIRONMENT}: {mirror!r} came, expected an address like http://host:8000/prefix"
        )
    paths = [urlsplit(url).path for url in file.urls]
    paths += [f"/{set_name}/{file.name}", f"/{file.name}"]
    return tuple(dict.fromkeys(mirror.rstrip("/") + path for path in paths))
