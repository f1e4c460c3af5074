"""nnseq.data.archives: what is expected comes out, and nothing else that an archive could do."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.archives import unpack
from nnseq.data.files import DataError
from nnseq.data.source_files import Member

A, B = Member("set/a.bin", 1000, 5), Member("set/b.txt", 1000)
CONTENT = {"set/a.bin": b"aaaaa", "set/b.txt": b"some text"}


def make_tar(path: Path, content: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
        for other in others:
            file.addfile(other)
    return path


def make_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


MAKERS = pytest.mark.parametrize("make", [make_tar, make_zip], ids=["tar", "zip"])
Make = Callable[[Path, dict[str, bytes]], Path]


def into(tmp_path: Path) -> Path:
    folder = tmp_path / "inside" / "into"
    folder.mkdir(parents=True)
    return folder


@MAKERS
def test_members_come_out_under_their_bare_names_and_nothing_else_does(
    tmp_path: Path, make: Make
) -> None:
    evil = {"../evil": b"x", "/evil": b"x", "set/../../evil": b"x", "set/other": b"x", "set/": b""}
    archive = make(tmp_path / "archive", {**evil, **CONTENT})
    folder = into(tmp_path)
    assert unpack(archive, [B, A], folder) == [folder / "b.txt", folder / "a.bin"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.bin": b"aaaaa",
        "b.txt": b"some text",
    }
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a.bin",
        "archive",
        "b.txt",
        "inside",
        "into",
    ]


def test_a_tar_that_was_made_in_its_own_folder_is_read(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "t.tar.gz", {f"./{name}": data for name, data in CONTENT.items()})
    assert len(unpack(archive, [A, B], into(tmp_path))) == 2


@MAKERS
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"set/a.bin": b"aaaaa"}, "it has no set/b.txt, expected one"),
        ({"set/A.bin": b"aaaaa", "set/b.txt": b""}, "it has no set/a.bin"),
        ({**CONTENT, "set/a.bin": b"aaaa"}, "set/a.bin: 4 bytes, expected"),
        ({**CONTENT, "set/a.bin": b"aaaaaa"}, "set/a.bin: 6 bytes, expected 5"),
        ({**CONTENT, "set/b.txt": bytes(1001)}, "set/b.txt: 1,001 bytes, expected up to 1,000"),
    ],
)
def test_missing_and_misshapen_members_are_refused(
    tmp_path: Path, make: Make, content: dict[str, bytes], message: str
) -> None:
    archive = make(tmp_path / "archive", content)
    with pytest.raises(DataError, match=message):
        unpack(archive, [A, B], into(tmp_path))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("set/a.bin")
    entry.type, entry.linkname = kind, "set/b.txt"
    archive = make_tar(tmp_path / "t.tar.gz", {"set/b.txt": b"aaaaa"}, entry)
    with pytest.raises(
        DataError, match=r"set/a\.bin: a link, a folder or a device, expected a file"
    ):
        unpack(archive, [A, B], into(tmp_path))


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("set/a.bin")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.writestr(entry, b"b.txt")
        file.writestr("set/b.txt", b"x")
    with pytest.raises(DataError, match="a link, a folder or a device"):
        unpack(tmp_path / "z.zip", [A, B], into(tmp_path))


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    second = tarfile.TarInfo("set/a.bin")
    archive = make_tar(tmp_path / "t.tar.gz", CONTENT, second)
    with pytest.raises(DataError, match="2 entries of that name, expected one"):
        unpack(archive, [A, B], into(tmp_path))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.writestr("set/a.bin", b"aaaaa")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("set/a.bin", b"other")
    with pytest.raises(DataError, match="2 entries of that name, expected one"):
        unpack(tmp_path / "z.zip", [A], tmp_path)


def test_a_tar_with_a_huge_or_endless_rest_is_not_read_to_its_end(tmp_path: Path) -> None:
    bomb = make_tar(tmp_path / "1", {"bomb": bytes(10_000), **CONTENT})
    with pytest.raises(DataError, match="bomb: 10,000 bytes, expected a small file"):
        unpack(bomb, [A, B], into(tmp_path))
    many = make_tar(tmp_path / "2", {f"{i}": b"" for i in range(1001)})
    with pytest.raises(DataError, match="over 1000 entries"):
        unpack(many, [A, B], tmp_path)


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", {"set/b.txt": bytes(5000)})
    lying = archive.read_bytes().replace((5000).to_bytes(4, "little"), (900).to_bytes(4, "little"))
    archive.write_bytes(lying)
    with pytest.raises(DataError, match=r"set/b\.txt: .* bytes|it cannot be read"):
        unpack(archive, [B], tmp_path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", CONTENT)
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[6] |= 1  # the flag "encrypted", in the member's own header
    content[central + 8] |= 1  # and in the table of contents
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"it cannot be read \(.*encrypted.* without a password"):
        unpack(archive, [A, B], tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_other_packings_of_a_zip_are_refused(tmp_path: Path, method: int, is_damaged: bool) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w", method) as file:
        file.writestr("set/b.txt", b"some text" * 50)
    if is_damaged:
        damage(tmp_path / "z.zip", 55)
    with pytest.raises(DataError, match=rf"set/b\.txt: packed by method {method}, expected 0"):
        unpack(tmp_path / "z.zip", [B], tmp_path)


@pytest.mark.parametrize("kind", ["bz2", "xz"])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_other_packings_of_a_tar_are_refused(tmp_path: Path, kind: str, is_damaged: bool) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, f"w:{kind}") as file:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("set/b.txt")
        entry.size = 900
        file.addfile(entry, io.BytesIO(np.random.default_rng(0).bytes(900)))
    if is_damaged:
        damage(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"t\.tar: it cannot be read \("):
        unpack(path, [B], tmp_path)


def damage(path: Path, at: int) -> None:
    """Overwrites some bytes."""
    content = bytearray(path.read_bytes())
    content[at : at + 16] = bytes(b ^ 0xFF for b in content[at : at + 16])
    path.write_bytes(content)


@MAKERS
@given(data=st.data())
def test_a_cut_or_damaged_archive_is_a_data_error_or_gives_files_of_the_right_size(
    tmp_path_factory: pytest.TempPathFactory, make: Make, data: st.DataObject
) -> None:
    tmp_path = tmp_path_factory.mktemp("archive")
    whole = make(tmp_path / "archive", CONTENT).read_bytes()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    (tmp_path / "archive").write_bytes(damaged)
    try:
        paths = unpack(tmp_path / "archive", [A, B], tmp_path)
    except DataError:
        return
    assert [path.name for path in paths] == ["a.bin", "b.txt"]
    assert paths[0].stat().st_size == 5


def test_what_is_no_archive_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"it cannot be read \(.* expected a whole zip or tar"):
        unpack(tmp_path / "page.zip", [A], tmp_path)
