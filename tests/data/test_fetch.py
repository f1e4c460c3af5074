"""nnseq.data.fetch: only right files get a name, nothing is overwritten, nothing is lost."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.data import download
from nnseq.data.download import FetchError
from nnseq.data.fetch import fetch
from tests.data.flaky_server import Answer, Server, sha256
from tests.data.made_up_sets import ONE, TWO, names, served_sets


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with served_sets(monkeypatch) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "here"


def test_files_are_fetched_once_and_only_compared_afterwards(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch("plain", folder, mirror=server.url) == folder
    assert (folder / "one.gz").read_bytes() == ONE
    assert (folder / "two.txt").read_bytes() == TWO
    assert names(folder) == ["fetched.sha256", "one.gz", "two.txt"]
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"one.gz: from {server.url}/x/one.gz",
        "one.gz: fetched, SHA-256 right",
        f"two.txt: from {server.url}/x/two.txt",
        "two.txt: fetched, SHA-256 right",
    ]
    asked = len(server.seen)
    (folder / "two.txt").unlink()
    fetch("plain", folder, mirror=server.url)
    assert [path for path, _ in server.seen[asked:]] == ["/x/two.txt"]
    assert "one.gz: there, SHA-256 right" in capsys.readouterr().out


def test_a_folder_that_is_complete_is_not_written_to(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "one.gz").write_bytes(ONE)
    (folder / "two.txt").write_bytes(TWO)
    before = folder.stat().st_mtime_ns
    fetch("plain", folder, mirror=server.url)
    assert folder.stat().st_mtime_ns == before
    assert server.seen == []


def test_the_default_folder_is_data_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNSEQ_DATA_URL", server.url + "/")
    assert fetch("plain") == Path("data/plain")
    assert (tmp_path / "data" / "plain" / "one.gz").read_bytes() == ONE


def test_a_file_with_another_hash_is_refused_and_left_before_anything_is_fetched(
    server: Server, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "two.txt").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"two\.txt: SHA-256 .* came, expected .* move it away"):
        fetch("plain", folder, mirror=server.url)
    assert names(folder) == ["two.txt"]
    assert (folder / "two.txt").read_bytes() == b"mine"
    assert server.seen == []


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_what_is_no_file_is_not_replaced(server: Server, folder: Path, kind: str) -> None:
    (folder / "two.txt").parent.mkdir(parents=True)
    if kind == "folder":
        (folder / "two.txt").mkdir()
    else:
        (folder / "two.txt").symlink_to("nowhere")
    with pytest.raises(FetchError, match=r"two\.txt: not a file"):
        fetch("plain", folder, mirror=server.url)
    assert names(folder) == ["two.txt"]


def test_the_next_address_is_tried_when_one_fails(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/y/one.gz"] = server.files.pop("/x/one.gz")
    fetch("plain", folder, mirror=server.url)
    assert [path for path, _ in server.seen] == ["/x/one.gz", "/y/one.gz", "/x/two.txt"]
    assert f"{server.url}/x/one.gz: HTTP 404 Not Found" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["/plain/one.gz", "/one.gz"])
def test_a_mirror_may_hold_folders_of_sets_or_bare_files(
    server: Server, folder: Path, path: str
) -> None:
    server.files[path] = server.files.pop("/x/one.gz")
    fetch("plain", folder, mirror=server.url)
    assert (folder / "one.gz").read_bytes() == ONE


def test_the_part_of_one_address_is_continued_at_the_next(server: Server, folder: Path) -> None:
    server.files["/y/one.gz"] = ONE
    server.script = [Answer(cut=100_000), Answer(status=404)]
    fetch("plain", folder, mirror=server.url)
    assert [(path, headers.get("Range")) for path, headers in server.seen][:3] == [
        ("/x/one.gz", None),
        ("/x/one.gz", "bytes=100000-"),
        ("/y/one.gz", "bytes=100000-"),
    ]
    assert (folder / "one.gz").read_bytes() == ONE


def test_a_wrong_file_never_gets_its_name_and_its_part_is_deleted(
    server: Server, folder: Path
) -> None:
    server.files["/x/one.gz"] = bytes(len(ONE))
    with pytest.raises(
        FetchError, match=r"one\.gz could not be fetched: .*x/one\.gz: SHA-256 .* came, expected"
    ) as caught:
        fetch("plain", folder, mirror=server.url)
    assert "\n" not in str(caught.value)
    assert sha256(bytes(len(ONE))) in str(caught.value)
    assert "copy the file into" in str(caught.value)
    assert names(folder) == []
    assert [path for path, _ in server.seen].count("/x/one.gz") == 1


def test_an_error_that_is_no_wrong_hash_leaves_the_part(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError("our own mistake")

    server.script = [Answer(cut=5000)]
    with monkeypatch.context() as patch:
        patch.setattr(download.ResumingDownloader, "is_complete", waits_for(5000, fail))
        with pytest.raises(ValueError, match="our own mistake"):
            fetch("plain", folder, mirror=server.url)
    assert (folder / "one.gz.part").read_bytes() == ONE[:5000]
    asked = len(server.seen)
    fetch("plain", folder, mirror=server.url)
    assert server.ranges()[asked] == "bytes=5000-"
    assert (folder / "one.gz").read_bytes() == ONE


def test_a_part_that_mixes_two_files_is_dropped_and_the_address_asked_once_more(
    server: Server, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "one.gz.part").write_bytes(b"of another file")
    fetch("plain", folder, mirror=server.url)
    assert (folder / "one.gz").read_bytes() == ONE
    assert server.ranges() == ["bytes=15-", "", ""]


def test_what_has_come_is_kept_when_every_address_fails(server: Server, folder: Path) -> None:
    server.script = [Answer(cut=5000)]
    server.usual = Answer(status=500)
    with pytest.raises(FetchError, match=r"5,000 bytes are kept in .*one\.gz\.part"):
        fetch("plain", folder, mirror=server.url)
    assert names(folder) == ["one.gz.part", "one.gz.part.info"]
    assert (folder / "one.gz.part").read_bytes() == ONE[:5000]
    server.usual = Answer()
    asked = len(server.seen)
    fetch("plain", folder, mirror=server.url)
    assert server.ranges()[asked] == "bytes=5000-"
    assert (folder / "one.gz").read_bytes() == ONE


@pytest.mark.parametrize("when", ["while bytes come", "while the hash is computed"])
def test_an_interruption_loses_nothing(
    server: Server, folder: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if when == "while bytes come":
            server.script = [Answer(cut=5000)]
            patch.setattr(download.ResumingDownloader, "is_complete", waits_for(5000, interrupt))
        else:
            patch.setattr("pooch.core.hash_matches", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch("plain", folder, mirror=server.url)
    n = 5000 if when == "while bytes come" else len(ONE)
    assert names(folder) == ["one.gz.part", "one.gz.part.info"]
    assert (folder / "one.gz.part").read_bytes() == ONE[:n]
    asked = len(server.seen)
    fetch("plain", folder, mirror=server.url)
    assert (folder / "one.gz").read_bytes() == ONE
    expected = ["bytes=5000-", ""] if n == 5000 else [""]  # a whole part is not asked for again
    assert server.ranges()[asked:] == expected


def waits_for(n: int, then: Any) -> Any:
    """A stand-in for is_complete that calls `then` once n bytes are there."""
    original = download.ResumingDownloader.is_complete

    def is_complete(self: download.ResumingDownloader) -> bool:
        if self.part.size >= n:
            then()
        return original(self)

    return is_complete


@pytest.mark.parametrize("seed", range(5))
def test_random_cuts_in_several_runs_give_the_right_files(
    server: Server, folder: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    server.usual = lambda number: Answer(
        cut=int(rng.integers(0, 60_000)) if number < 12 else None,
        reset=bool(rng.integers(2)),
        ranges=bool(rng.random() < 0.9),
        status=500 if rng.random() < 0.2 and number < 12 else 200,
    )
    runs = 0
    while True:
        runs += 1
        try:
            fetch("plain", folder, mirror=server.url)
        except FetchError:
            assert runs < 10
        else:
            break
    assert names(folder) == ["fetched.sha256", "one.gz", "two.txt"]
    assert (folder / "one.gz").read_bytes() == ONE


def test_one_fetch_at_a_time_works_in_a_folder(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # even a share of it is too much
        with pytest.raises(FetchError, match="another fetch is at work there"):
            fetch("plain", folder, mirror=server.url)
    finally:
        os.close(handle)
    assert names(folder) == []
    fetch("plain", folder, mirror=server.url)


def test_a_folder_that_cannot_be_locked_is_said(
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def cannot(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", cannot)
    fetch("plain", folder, mirror=server.url)
    assert "cannot be locked" in capsys.readouterr().out


def test_what_a_killed_fetch_left_behind_is_cleaned_up(server: Server, folder: Path) -> None:
    (folder / ".fetching").mkdir(parents=True)
    (folder / ".fetching" / "tmpabc").touch()
    fetch("plain", folder, mirror=server.url)
    assert names(folder) == ["fetched.sha256", "one.gz", "two.txt"]


def test_a_folder_that_is_a_file_or_cannot_be_made_is_one_line(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FetchError, match=r"file.*: (File exists|Not a directory)"):
            fetch("plain", folder, mirror=server.url)


def test_a_full_disk_is_one_line_and_keeps_the_part(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, n: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nnseq.data.meter.Meter.move", full)
    with pytest.raises(FetchError, match="here: No space left on device"):
        fetch("plain", folder, mirror=server.url)
    assert (folder / "one.gz.part").stat().st_size > 0
