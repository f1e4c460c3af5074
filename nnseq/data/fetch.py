"""Brings the files of a data set into a folder: downloaded, compared with their SHA-256, unpacked.

    fetch("mnist", Path("data/mnist"))

A file gets its name only when its hash is right; until then it is NAME.part, from which the next
fetch goes on. A file that is there is never overwritten. What was fetched is written down, in the
form of sha256sum, in FOLDER/fetched.sha256: so a later fetch can also check what came out of an
archive, or what was fetched with a hash that the user gave.
"""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nnseq.data.archives import unpack
from nnseq.data.download import TIMEOUT, FetchError, ResumingDownloader
from nnseq.data.fetched import SHA256, Record, missing_files, other_hash, sha256_of
from nnseq.data.meter import Meter
from nnseq.data.part import Part
from nnseq.data.source_files import ENVIRONMENT, Member, SourceFile, addresses
from nnseq.data.sources import SETS

WORK = ".fetching"  # in the folder, while a fetch is at work


class RequestError(FetchError):
    """What was asked for makes no sense, whatever the servers say: exit code 2."""


def fetch(
    set_name: str,
    folder: str | os.PathLike[str] | None = None,
    sha256: Iterable[str] = (),
    *,
    timeout: float = TIMEOUT,
    mirror: str | None = None,
) -> Path:
    """Makes sure that a folder holds the files of a data set; says on standard output what it does.

    Args:
        set_name: a key of nnseq.data.sources.SETS.
        folder: where the files go (default: data/SET_NAME).
        sha256: hashes of files: FILE=HEX, or HEX where only one file of the set has none.
        timeout: seconds without a byte after which a connection is given up.
        mirror: as nnseq.data.source_files.addresses (default: the environment's NNSEQ_DATA_URL).

    Returns:
        the folder.

    Raises:
        RequestError: a set, a hash or a mirror that cannot be.
        FetchError: a file that cannot be fetched, or one that is there with another hash.
    """
    if set_name not in SETS:
        near = difflib.get_close_matches(set_name, SETS, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(SETS)}"
        raise RequestError(f"{set_name}: no such data set; {hint}")
    files = SETS[set_name].files
    given = read_hashes(set_name, sha256)
    if not files:
        raise FetchError(SETS[set_name].obtain)
    mirror = os.environ.get(ENVIRONMENT, "") if mirror is None else mirror
    try:
        urls = {file.name: addresses(set_name, file, mirror) for file in files}
    except ValueError as error:
        raise RequestError(str(error)) from error
    folder = Path("data", set_name) if folder is None else Path(folder)
    try:
        record = Record(folder)
        hashes = {
            file.name: given.get(file.name) or file.sha256 or record.hashes.get(file.name)
            for file in files
        }
        missing = missing_files(folder, files, hashes, given, record)
        refuse_without_hash(missing, hashes)
        for file in missing:
            if file.sha256 is None and file.name not in given:
                print(f"{file.name}: expected as in {record.path}; its hash is not known otherwise")
        if missing:
            with workplace(folder) as work:
                for file in missing:
                    expected = hashes[file.name]
                    assert expected is not None  # refused above
                    fetch_file(file, expected, urls[file.name], work, record, timeout)
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else folder
        raise FetchError(f"{what}: {error.strerror or error}") from error
    return folder


def read_hashes(set_name: str, texts: Iterable[str]) -> dict[str, str]:
    """Reads what --sha256 was given: name of the file -> hash."""
    files = {file.name: file for file in SETS[set_name].files}
    given: dict[str, str] = {}
    for text in texts:
        name, _, digits = text.rpartition("=")
        digits = digits.lower().removeprefix("sha256:")
        if not SHA256.match(digits):
            raise RequestError(f"--sha256: {text!r} came, expected 64 hexadecimal digits")
        if not name:
            unknown = [file.name for file in files.values() if file.sha256 is None]
            if len(unknown) != 1:
                raise RequestError(
                    f"--sha256: a hash came alone, expected FILE=HEX: {set_name} has "
                    f"{len(unknown)} files without a known hash; its files are {', '.join(files)}"
                )
            name = unknown[0]
        if name not in files:
            raise RequestError(f"--sha256: {name} came, expected one of {', '.join(files) or '-'}")
        if given.setdefault(name, digits) != digits:
            raise RequestError(f"--sha256: two hashes came for {name}, expected one")
        if files[name].sha256 not in (None, digits):
            print(f"{name}: --sha256 replaces the known hash {files[name].sha256}", flush=True)
    return given


def refuse_without_hash(missing: Iterable[SourceFile], hashes: Mapping[str, str | None]) -> None:
    """Raises FetchError where a file would have to be believed."""
    without = [file for file in missing if hashes[file.name] is None]
    if not without:
        return
    names = " and ".join(file.name for file in without)
    notes = "".join(f" ({file.note})" for file in without if file.note)
    flags = [f"--sha256 {file.name}=HEX" for file in without] if without[1:] else ["--sha256 HEX"]
    raise FetchError(
        f"no SHA-256 is known of {names}{notes}; nothing was fetched; "
        f"add the one that you trust: {' '.join(flags)}"
    )


# ---- downloading ------------------------------------------------------------------------------


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A folder for half-done things, for one fetch at a time; gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder):
        work = folder / WORK
        shutil.rmtree(work, ignore_errors=True)  # left by a fetch that was killed
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two fetches into one folder would write into the same part: the second is refused."""
    handle = None
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FetchError(f"{folder}: another fetch is at work there; wait for its end") from error
    except (ImportError, OSError) as error:  # not on Windows, not on every network file system
        print(f"{folder}: cannot be locked ({error}): do not fetch into it twice at once")
    else:
        yield
        return
    finally:
        if handle is not None:
            os.close(handle)
    yield


def fetch_file(
    file: SourceFile,
    expected: str,
    urls: Iterable[str],
    work: Path,
    record: Record,
    timeout: float,
) -> None:
    """Downloads one file from the first address that has it, and puts it, or its members, in place.

    Raises:
        FetchError: no address gives a file with the expected hash.
    """
    folder, problems = work.parent, []
    part = Part(folder / f"{file.name}.part")
    with Meter(file.name) as meter:
        for url in urls:
            problem = try_address(url, file, expected, work, part, meter, timeout)
            if not problem:
                break
            meter.say(problem)
            problems.append(problem)
        else:
            raise FetchError(
                f"{file.name} could not be fetched: {'; '.join(problems)}; try again later, name a "
                f"mirror in {ENVIRONMENT}, or copy the file into {folder}"
            )
        if file.members:
            meter.say(f"{file.name}: SHA-256 right; unpacking")
            hashes = place_members(work / file.name, file.members, work)
        else:
            (work / file.name).replace(folder / file.name)
            hashes = {}
        record.add({file.name: expected} | hashes)
        part.clear()
        meter.say(f"{', '.join(hashes) or file.name}: fetched, SHA-256 right")


def try_address(
    url: str,
    file: SourceFile,
    expected: str,
    work: Path,
    part: Part,
    meter: Meter,
    timeout: float,
) -> str:
    """Downloads a file into `work`; returns what went wrong, "" for nothing.

    A part that was put together from several connections may mix two versions of a file. With a
    wrong hash it is therefore dropped, and the address gets one more chance from byte 0.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")  # it would repeat what is said here
    size = file.size if file.sha256 in (None, expected) else None  # of another packing: unknown
    for has_begun_again in (False, True):
        downloader = ResumingDownloader(
            part, meter, size=size, at_most=file.at_most, timeout=timeout
        )
        meter.say(f"{file.name}: from {url}" + (f", byte {part.size:,}" if part.size else ""))
        try:
            pooch.retrieve(url, f"sha256:{expected}", file.name, work, downloader=downloader)
        except FetchError as error:
            return str(error)
        except ValueError:  # what pooch raises for a wrong hash, once it has the file
            if not downloader.has_delivered or (came := sha256_of(part.path)) == expected:
                raise
            part.clear()
            problem = f"{url}: SHA-256 {came} came, expected {expected}; it is deleted"
            if has_begun_again or not downloader.joined:
                return problem
            meter.say(f"{problem}; it came in several pieces: once more from its beginning")
        else:
            return ""
    raise AssertionError("the second time returns")


def place_members(archive: Path, members: Iterable[Member], work: Path) -> dict[str, str]:
    """Unpacks an archive and gives its files their names; returns their hashes.

    Raises:
        DataError: the archive is not what it should be, or a file of a member's name is there and
            is another one; then nothing has been put in place.
    """
    unpacked = work / "unpacked"
    unpacked.mkdir()
    paths = unpack(archive, tuple(members), unpacked)
    hashes = {path.name: sha256_of(path) for path in paths}
    folder = work.parent
    there = [path for path in paths if os.path.lexists(folder / path.name)]
    wrong = [text for path in there if (text := other_hash(folder / path.name, hashes[path.name]))]
    if wrong:
        raise FetchError("; ".join(wrong))
    for path in paths:
        if path not in there:
            path.replace(folder / path.name)
    return hashes
