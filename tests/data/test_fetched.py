"""nnseq.data.fetched: hashes known, given and written down; what came out of archives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnseq.data.download import FetchError
from nnseq.data.fetch import RequestError, fetch
from nnseq.data.files import DataError
from tests.data.flaky_server import Server, sha256
from tests.data.made_up_sets import BOX, INSIDE, ONE, names, packed, served_sets


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with served_sets(monkeypatch) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "here"


# ---- hashes that the user gives ---------------------------------------------------------------


def test_without_a_hash_nothing_is_fetched_and_the_flag_is_named(
    server: Server, folder: Path
) -> None:
    with pytest.raises(
        FetchError, match=r"no SHA-256 is known of one\.gz \(its page .* 77\);.*HEX"
    ):
        fetch("unknown", folder, mirror=server.url)
    assert server.seen == []
    assert not folder.exists()


@pytest.mark.parametrize("form", ["{}", "sha256:{}", "one.gz={}"])
@pytest.mark.parametrize("upper", [False, True])
def test_a_given_hash_is_used_and_remembered(
    server: Server, folder: Path, form: str, upper: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = sha256(ONE).upper() if upper else sha256(ONE)
    fetch("unknown", folder, [form.format(digits)], mirror=server.url)
    assert (folder / "one.gz").read_bytes() == ONE
    asked = len(server.seen)
    capsys.readouterr()
    fetch("unknown", folder, mirror=server.url)  # now without the flag
    assert len(server.seen) == asked
    assert "one.gz: there, SHA-256 as in fetched.sha256, not known" in capsys.readouterr().out
    fetch("unknown", folder, [form.format(digits)], mirror=server.url)
    assert "one.gz: there, SHA-256 right" in capsys.readouterr().out
    (folder / "one.gz").write_bytes(b"damaged")
    with pytest.raises(FetchError, match=r"one\.gz: SHA-256"):
        fetch("unknown", folder, mirror=server.url)


def test_a_wrong_given_hash_is_an_error(server: Server, folder: Path) -> None:
    with pytest.raises(FetchError, match=r"SHA-256 .* came, expected 0000"):
        fetch("unknown", folder, ["0" * 64], mirror=server.url)
    assert names(folder) == []


def test_a_file_whose_hash_nobody_knows_is_believed_when_it_is_there(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir(parents=True)
    (folder / "one.gz").write_bytes(b"from somewhere")
    fetch("unknown", folder, mirror=server.url)
    assert "one.gz: there, its hash is unknown" in capsys.readouterr().out
    with pytest.raises(FetchError, match=r"one\.gz: SHA-256 .* it is left as it is"):
        fetch("unknown", folder, [sha256(ONE)], mirror=server.url)


def test_a_given_hash_wins_over_the_known_one_and_says_so(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = b"packed another way"
    server.files["/x/one.gz"] = other  # of another size, too
    fetch("plain", folder, [f"one.gz={sha256(other)}"], mirror=server.url)
    assert (folder / "one.gz").read_bytes() == other
    assert "one.gz: --sha256 replaces the known hash" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "hashes", "message"),
    [
        ("unknown", ["abc"], "'abc' came, expected 64 hexadecimal digits"),
        ("unknown", ["g" * 64], "expected 64 hexadecimal digits"),
        ("unknown", ["=" + "0" * 63], "expected 64 hexadecimal digits"),
        ("unknown", ["three=" + "0" * 64], r"three came, expected one of one\.gz, two\.txt"),
        ("unknown", ["0" * 64, "1" * 64], r"two hashes came for one\.gz, expected one"),
        ("plain", ["0" * 64], "expected FILE=HEX: plain has 0 files without a known hash"),
        ("ntu", ["0" * 64], "expected FILE=HEX: ntu has 0 files"),
        ("plane", [], "plane: no such data set; did you mean plain?"),
        ("imagenet1k", [], "imagenet1k: no such data set; expected one of mnist, cifar10"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    server: Server, folder: Path, name: str, hashes: list[str], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        fetch(name, folder, hashes, mirror=server.url)
    assert server.seen == []


def test_a_mirror_that_is_no_address_is_a_wrong_request(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNSEQ_DATA_URL", "localhost:8000")
    with pytest.raises(RequestError, match="NNSEQ_DATA_URL: 'localhost:8000' came"):
        fetch("plain", folder)


def test_a_set_without_download_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(FetchError, match=r"ntu has no free download: ask .* convert_ntu"):
        fetch("ntu", folder)
    assert not folder.exists()


# ---- archives ---------------------------------------------------------------------------------


def test_an_archive_is_checked_unpacked_and_not_kept(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    assert names(folder) == ["a.bin", "b.txt", "fetched.sha256"]
    assert (folder / "b.txt").read_bytes() == b"some text"
    assert "a.bin, b.txt: fetched, SHA-256 right" in capsys.readouterr().out
    fetch("archive", folder, mirror=server.url)
    fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    assert len(server.seen) == 1
    assert "a.bin, b.txt: there, SHA-256 as fetched" in capsys.readouterr().out
    (folder / "b.txt").write_bytes(b"damaged")
    with pytest.raises(FetchError, match=r"b\.txt: SHA-256 .* it is left as it is"):
        fetch("archive", folder, mirror=server.url)


def test_a_member_that_is_missing_is_fetched_again_with_the_remembered_hash_and_it_says_so(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    (folder / "b.txt").unlink()
    capsys.readouterr()
    fetch("archive", folder, mirror=server.url)
    assert (folder / "b.txt").read_bytes() == b"some text"
    assert len(server.seen) == 2
    trusted = f"box.tar.gz: expected as in {folder / 'fetched.sha256'}; its hash is not known"
    assert trusted in capsys.readouterr().out


def test_members_that_are_there_are_believed_plain_or_packed(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"AAAAA")
    (folder / "b.txt.gz").write_bytes(b"packed by hand")
    fetch("archive", folder, mirror=server.url)
    assert "a.bin, b.txt: there, hashes unknown" in capsys.readouterr().out
    assert server.seen == []
    (folder / "a.bin").write_bytes(b"cut")
    with pytest.raises(FetchError, match=r"a\.bin: 3 bytes came, expected 5; move it away"):
        fetch("archive", folder, mirror=server.url)


def test_members_that_are_there_are_compared_with_an_archive_whose_hash_is_given(
    server: Server, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"AAAAA")
    (folder / "b.txt").write_bytes(INSIDE["box/b.txt"])
    with pytest.raises(FetchError, match=r"a\.bin: SHA-256 .* it is left as it is"):
        fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    assert (folder / "a.bin").read_bytes() == b"AAAAA"
    (folder / "a.bin").write_bytes(INSIDE["box/a.bin"])
    inode = (folder / "a.bin").stat().st_ino
    fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    assert names(folder) == ["a.bin", "b.txt", "fetched.sha256"]
    assert (folder / "a.bin").stat().st_ino == inode


def test_an_archive_of_another_set_is_refused_and_nothing_is_put_in_place(
    server: Server, folder: Path
) -> None:
    other = packed({"box/a.bin": b"aaaaa"})
    server.files["/x/box.tar.gz"] = other
    with pytest.raises(DataError, match=r"it has no box/b\.txt"):
        fetch("archive", folder, [sha256(other)], mirror=server.url)
    assert [name for name in names(folder) if ".part" not in name] == []


def test_an_interruption_while_unpacking_needs_no_second_download(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nnseq.data.fetch.unpack", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    assert names(folder) == ["box.tar.gz.part", "box.tar.gz.part.info"]
    fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    assert len(server.seen) == 1
    assert names(folder) == ["a.bin", "b.txt", "fetched.sha256"]


# ---- fetched.sha256 ---------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not installed")
def test_the_record_is_read_by_sha256sum(server: Server, folder: Path) -> None:
    fetch("plain", folder, mirror=server.url)
    fetch("archive", folder, [sha256(BOX)], mirror=server.url)
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "fetched.sha256"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{n}: OK" for n in ("one.gz", "two.txt", "a.bin", "b.txt")]


def test_a_record_that_is_no_record_is_ignored_and_replaced(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "fetched.sha256").write_bytes(b"\xff\n# notes\n77  one.gz\n" + b"0" * 64)
    fetch("plain", folder, mirror=server.url)
    assert (folder / "fetched.sha256").read_text().splitlines()[-1].endswith("  two.txt")
