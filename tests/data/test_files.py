"""Data files: found by name, unpacked by content, and refused with the place of the damage."""

import gzip
import re
import shlex
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.files import (
    DataError,
    contents,
    data_error,
    find,
    first_file,
    is_file,
    is_folder,
    read_bytes,
    read_text,
)

CONTENT = bytes(range(256)) * 3 + b"the end"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file that every example of a property writes anew."""
    return tmp_path_factory.mktemp("files") / "some.file"


def offset(error):
    """The byte that a message names."""
    return int(re.search(r"byte (\d+)", str(error.value)).group(1))


# ---- errors -------------------------------------------------------------------------------------


def test_an_error_says_file_place_what_came_what_was_expected_and_the_cure():
    error = data_error("a/b.gz", "byte 16", "label 11", "0 to 9", "fetch it again")
    assert str(error) == "a/b.gz, byte 16: label 11, expected 0 to 9; fetch it again"


def test_an_error_without_place_and_cure_leaves_no_trace_of_them(tmp_path):
    error = data_error(tmp_path, "", "no such folder", "a folder")
    assert str(error) == f"{tmp_path}: no such folder, expected a folder"


def test_an_error_is_one_line_even_where_the_data_are_not():
    assert "\n" not in str(data_error("a", "line 1", "'x\ny'", "a word"))


# ---- find ---------------------------------------------------------------------------------------


def test_finds_the_first_name_and_plain_before_packed(tmp_path):
    for name in ("second", "second.gz", "first.gz"):
        (tmp_path / name).write_bytes(b"")
    assert find(tmp_path, "ptb", "first", "second") == tmp_path / "first.gz"
    assert find(str(tmp_path), "ptb", "second", "first") == tmp_path / "second"
    assert first_file(tmp_path, "third") is None


def test_a_folder_of_the_same_name_is_not_the_file(tmp_path):
    (tmp_path / "text8").mkdir()
    with pytest.raises(DataError, match=r"holds text8/, expected text8 \(plain or \.gz\)"):
        find(tmp_path, "text8", "text8")


def test_a_missing_file_is_answered_with_what_is_there_and_how_to_fetch_it(tmp_path):
    for k in range(11):
        (tmp_path / f"other{k:02d}").write_bytes(b"")
    with pytest.raises(DataError) as error:
        find(tmp_path, "mnist", "train", "training")
    assert str(error.value) == (
        f"{tmp_path}: the folder holds other00, other01, other02, other03, other04, other05, "
        "other06, other07 and 3 more, expected train or training (plain or .gz); "
        f"python -m nnseq.data fetch mnist --data {tmp_path}"
    )


def test_the_cure_fetches_into_the_folder_that_was_asked_for(tmp_path):
    folder = tmp_path / "my data"
    with pytest.raises(DataError) as error:
        find(folder, ("wikitext-2", "wikitext-103"), "train.txt")
    cure = str(error.value).partition("; ")[2]
    for command, name in zip(cure.split(" or "), ("wikitext-2", "wikitext-103"), strict=True):
        words = shlex.split(command)
        assert words == ["python", "-m", "nnseq.data", "fetch", name, "--data", str(folder)]
    folder.write_bytes(b"")  # a file: no folder to fetch into
    with pytest.raises(DataError, match=r"fetch mnist --data FOLDER$"):
        find(folder, "mnist", "train")


def test_an_empty_a_missing_and_a_false_folder_are_told_apart(tmp_path):
    file = tmp_path / "file"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds nothing, expected train"):
        find(tmp_path / "empty", "mnist", "train")
    with pytest.raises(DataError, match="no such folder, expected a folder with train"):
        find(tmp_path / "nowhere", "mnist", "train")
    file.write_bytes(b"")
    with pytest.raises(DataError, match="a file, not a folder, expected a folder with train"):
        find(file, "mnist", "train")


def test_a_folder_that_the_system_refuses_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="fetch mnist") as error:
        find(tmp_path / ("x" * 300), "mnist", "train")
    assert "train (plain or .gz)" in str(error.value)


def test_what_is_in_place_of_a_file_is_said_of_every_path(tmp_path):
    (tmp_path / "file").touch()
    assert contents(tmp_path) == "the folder holds file"
    assert contents(tmp_path / "file") == "a file, not a folder"
    for name in ("nowhere", "file/below", "x" * 300):
        assert contents(tmp_path / name) == "no such folder"
        assert not is_file(tmp_path / name)
        assert not is_folder(tmp_path / name)


# ---- bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\x1f", b"x", CONTENT])
def test_plain_and_packed_bytes_come_back_whatever_the_name(tmp_path, content):
    for name in ("plain", "plain.gz"):
        (tmp_path / name).write_bytes(content)
        assert read_bytes(tmp_path / name) == content
    for name in ("packed", "packed.gz"):
        (tmp_path / name).write_bytes(gzip.compress(content, mtime=0))
        assert read_bytes(str(tmp_path / name)) == content


def test_members_follow_each_other_and_zeros_may_fill_the_file_up(path):
    path.write_bytes(
        gzip.compress(b"one ", mtime=0)
        + gzip.compress(b"", mtime=0)
        + gzip.compress(b"two", mtime=0)
    )
    assert read_bytes(path) == b"one two"
    path.write_bytes(gzip.compress(b"one ", mtime=0) + bytes(512))
    assert read_bytes(path) == b"one "


def test_a_file_of_many_chunks_is_whole_and_its_damage_found_to_the_byte(path):
    stored = zlib.compressobj(0, wbits=31)  # level 0: the packed bytes are the bytes
    content = CONTENT * 500
    packed = stored.compress(content) + stored.flush()
    path.write_bytes(packed)
    assert read_bytes(path) == content
    path.write_bytes(packed[:-3])
    with pytest.raises(DataError, match="the file ends, expected more gzip data"):
        read_bytes(path)
    end = len(packed) - 8  # four bytes of checksum, four of length
    path.write_bytes(packed[:200_000] + b"?" + packed[200_001:])
    with pytest.raises(DataError, match="incorrect data check") as error:
        read_bytes(path)
    assert end <= offset(error) < end + 4


def test_bytes_behind_the_gzip_data_are_refused(path):
    packed = gzip.compress(CONTENT, mtime=0)
    path.write_bytes(packed + b"\0\0<html>")
    with pytest.raises(DataError, match="8 bytes behind the end of the gzip data") as error:
        read_bytes(path)
    assert offset(error) == len(packed)


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="nowhere: No such file"):
        read_bytes(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected a file to read"):
        read_bytes(tmp_path)


@given(cut=st.integers(0, 2**20))
def test_a_packed_file_that_is_cut_is_refused_where_it_ends(path, cut):
    packed = gzip.compress(CONTENT, mtime=0)
    cut = 2 + cut % (len(packed) - 2)
    path.write_bytes(packed[:cut])
    with pytest.raises(DataError, match="the file ends") as error:
        read_bytes(path)
    assert str(error.value).startswith(f"{path}, byte {cut} of the packed file")


@given(at=st.integers(0, 2**20), flip=st.integers(1, 255), text=st.binary(max_size=2000))
def test_a_packed_file_with_a_wrong_byte_is_refused_behind_it_or_read_right(path, at, flip, text):
    packed = bytearray(gzip.compress(text, mtime=0))
    at = 2 + at % (len(packed) - 2)
    packed[at] ^= flip
    path.write_bytes(packed)
    try:
        assert read_bytes(path) == text
    except DataError as error:
        found = re.fullmatch(rf"{re.escape(str(path))}, byte (\d+) of the packed .*", str(error))
        assert at <= int(found.group(1)) <= len(packed)


# ---- text ---------------------------------------------------------------------------------------


def test_text_keeps_its_line_ends_and_its_accents(path):
    text = "na\u00efve \r\n two \n"
    for content in (text.encode(), gzip.compress(text.encode(), mtime=0)):
        path.write_bytes(content)
        assert read_text(path) == text
    path.write_bytes(text.encode("latin-1"))
    assert read_text(path, "latin-1") == text


@given(before=st.text("a \né€𝄞", max_size=50))
def test_a_byte_that_is_no_text_is_refused_with_its_offset(path, before):
    content = before.encode() + b"\xff" + b" more"
    expected = f"{path}, byte {len(before.encode())}: 0xff "
    for written in (content, gzip.compress(content, mtime=0)):
        path.write_bytes(written)
        with pytest.raises(DataError, match="expected utf-8 text") as error:
            read_text(path)
        assert str(error.value).startswith(expected)
