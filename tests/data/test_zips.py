"""nnseq.data.zips: one entry comes out whole, and whatever is wrong with it is one line."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data import zips
from nnseq.data.files import DataError
from nnseq.data.zips import zip_chunks, zip_file
from tests.data.damage import Damage, damages

CONTENT = b"some text, " * 3000


def zipped(content: bytes = CONTENT, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("a.txt", content)
    return buffer.getvalue()


def far_away() -> bytes:
    """A zip file whose table of contents puts the entry at byte 2⁶³."""
    good = zipped()
    end = good.index(b"PK\x05\x06")
    table = bytearray(good[good.index(b"PK\x01\x02") : end])
    extra = struct.pack("<HHQ", 1, 8, 2**63)  # the zip64 field, with the offset alone
    table[30:32] = struct.pack("<H", len(extra))
    table[42:46] = b"\xff" * 4
    table += extra
    tail = bytearray(good[end:])
    tail[12:16] = struct.pack("<I", len(table))
    return good[: good.index(b"PK\x01\x02")] + bytes(table) + bytes(tail)


def unzipped(path: Path, content: bytes | None = None) -> bytes | None:
    """What the first entry holds; None where there is no entry."""
    with zip_file(path, None if content is None else io.BytesIO(content)) as file:
        entries = file.infolist()
        return b"".join(zip_chunks(path, file, entries[0])) if entries else None


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("chunk", [1000, 1 << 20])
def test_an_entry_comes_out_whole(
    tmp_path: Path, method: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "CHUNK", chunk)
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(method=method))
    assert unzipped(path) == CONTENT
    assert unzipped(tmp_path / "not there", path.read_bytes()) == CONTENT


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_other_packings_are_refused_by_name_whole_or_damaged(
    tmp_path: Path, method: int, is_damaged: bool
) -> None:
    content = zipped(method=method)
    if is_damaged:
        content = content[:60] + bytes(20) + content[80:]
    message = rf"a\.zip, a\.txt: packed by method {method}, expected 0 \(stored\) or 8 \(deflated\)"
    with pytest.raises(DataError, match=message):
        unzipped(tmp_path / "a.zip", content)


def test_an_entry_beyond_the_end_of_every_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(far_away())
    for content in (None, far_away()):
        with pytest.raises(DataError, match=r"a\.zip: it cannot be read \(.*; fetch or copy the"):
            unzipped(tmp_path / "a.zip", content)


@given(damages(), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
def test_a_damaged_file_is_read_right_or_refused_in_one_line(damage: Damage, method: int) -> None:
    found, refusal = None, "a.zip"
    try:
        found = unzipped(Path("a.zip"), damage(zipped(b"some text", method)))
    except DataError as error:
        refusal = str(error)
    assert found in (b"some text", None)
    assert refusal.startswith("a.zip")
    assert "\n" not in refusal


def test_what_the_block_itself_raises_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk"), zip_file(tmp_path, io.BytesIO(zipped())):
        raise OSError("the disk")


def test_a_missing_file_and_what_is_no_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: it cannot be read \(.*No such file"):
        unzipped(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"not a zip file\), expected a whole zip file without a"):
        unzipped(tmp_path / "page", b"<html>")
