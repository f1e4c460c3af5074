"""text8: the alphabet, the split by position, plain, packed and zipped, and a real text."""

import gzip
import io
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.corpus import text_of
from nnseq.data.files import DataError
from nnseq.data.text8 import text8
from tests.data.damage import damages

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
TEXT = " the quick brown fox jumps over a lazy dog" * 3


def write(folder, content=TEXT, name="text8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(members, method=zipfile.ZIP_DEFLATED):
    """A zip file of (name, content) members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that every example of a property writes anew."""
    return tmp_path_factory.mktemp("text8")


def test_the_space_is_0_and_the_letters_follow(tmp_path):
    corpus = text8(write(tmp_path, ALPHABET * 10), split=(8, 1, 1))
    assert corpus.vocabulary.tokens == tuple(ALPHABET)
    assert corpus.unit == "character"
    for ids in corpus[:3]:
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, np.arange(len(ids)) % 27)
    assert [len(ids) for ids in corpus[:3]] == [216, 27, 27]


@given(
    st.text(ALPHABET, min_size=60, max_size=200),
    st.sampled_from([(90, 5, 5), (1, 1, 1), (3, 2, 5)]),
)
def test_the_text_comes_back_in_the_shares_asked_for(folder, text, split):
    corpus = text8(write(folder, text), split)
    parts = [text_of(corpus, ids) for ids in corpus[:3]]
    assert "".join(parts) == text
    for i in (1, 2):
        before = sum(len(part) for part in parts[:i])
        assert 0 <= len(text) * sum(split[:i]) / sum(split) - before < 1


@pytest.mark.parametrize("name", ["text8", "text8.gz", "text8.zip"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_the_file_or_its_folder_plain_or_packed(tmp_path, name, by_folder):
    content = {
        "text8": TEXT.encode(),
        "text8.gz": gzip.compress(TEXT.encode(), mtime=0),
        "text8.zip": zipped([("text8", TEXT)]),
    }[name]
    path = write(tmp_path, content, name)
    corpus = text8(tmp_path if by_folder else path)
    assert corpus.files == (name,)
    assert text_of(corpus, np.concatenate(corpus[:3])) == TEXT


def test_the_plain_file_is_taken_before_the_zip(tmp_path):
    write(tmp_path, zipped([("text8", "a" * 200)]), "text8.zip")
    write(tmp_path)
    assert text8(tmp_path).files == ("text8",)


def test_a_file_of_another_name_is_read(tmp_path):
    assert text8(write(tmp_path, name="my text")).files == ("my text",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: an empty file, expected a-z and spaces"),
        (TEXT + "\n", rf"byte {len(TEXT)}: 0x0a \('\\n'\), expected a-z or a space"),
        (" The fox", r"byte 1: 0x54 \('T'\), expected a-z or a space, as in all of text8"),
        (" caf" + "é", r"byte 4: 0xc3 \('\\xc3'\), expected"),
        (TEXT + "_", rf"byte {len(TEXT)}: 0x5f \('_'\), expected"),
        (
            " a short text",
            r"13 characters, 11 \+ 1 \+ 1 of them split, expected at least 2 of train",
        ),
        (" ", r"1 characters, 0 \+ 0 \+ 1 of them split, expected at least 2 of train, valid and"),
        (zipped([("a", TEXT), ("b", TEXT)]), r"a zip file of 2 files \(a, b\), expected one file"),
        (zipped([("text8", TEXT)])[:-30], r"it cannot be read \(.*; fetch or copy the file again"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-4], "byte .* of the packed file: the file ends"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, content, message):
    write(tmp_path, content)
    with pytest.raises(DataError, match=rf"text8(, |: ){message}"):
        text8(tmp_path)


@given(damages(), st.sampled_from(["plain", "gzip", "zip"]))
def test_a_damaged_file_is_read_or_refused_in_one_line(folder, damage, form):
    pack = {
        "plain": bytes,
        "gzip": lambda content: gzip.compress(content, mtime=0),
        "zip": lambda content: zipped([("text8", content)]),
    }[form]
    content = damage(pack(TEXT.encode()))
    corpus, error = None, ""
    try:
        corpus = text8(write(folder, content))
    except DataError as refusal:
        error = str(refusal)
    if corpus:
        text = text_of(corpus, np.concatenate(corpus[:3]))
        assert text == (content.decode() if form == "plain" else TEXT)
    else:
        assert str(folder) in error
        assert "expected" in error
        assert "\n" not in error


def test_a_zip_file_with_a_changed_byte_is_refused_or_its_text_is_right(tmp_path):
    good = zipped([("text8", TEXT)])
    refusals = []
    for at in range(4, len(good)):
        path = write(tmp_path, good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :], "text8.zip")
        try:
            corpus = text8(path)
        except DataError as refusal:
            refusals.append(str(refusal))
        else:
            assert text_of(corpus, np.concatenate(corpus[:3])) == TEXT
    assert len(refusals) > len(good) // 2
    fault = re.compile(r"text8\.zip(: it cannot be read \(|, .*: packed by method \d+, expected)")
    assert all(fault.search(refusal) for refusal in refusals)


def test_a_zip_file_whose_name_inside_is_damaged_is_refused(tmp_path):
    good = zipped([("text8", TEXT)])
    at = good.rindex(b"text8")
    path = write(tmp_path, good[:at] + b"\0" + good[at + 1 :], "text8.zip")
    with pytest.raises(DataError, match=r"text8\.zip: it cannot be read \("):
        text8(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_file_packed_in_another_way_is_refused_before_it_is_read(tmp_path, method):
    path = write(tmp_path, zipped([("text8", TEXT)], method), "text8.zip")
    message = rf"packed by method {method}, expected 0 \(stored\) or 8 \(deflated\); pack it anew"
    with pytest.raises(DataError, match=message):
        text8(path)


def test_a_missing_file_is_named_with_how_to_get_it(tmp_path):
    with pytest.raises(
        DataError, match=r"holds nothing, expected text8 or text8\.zip .*fetch text8"
    ):
        text8(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        text8(tmp_path / "nowhere")
    with pytest.raises(DataError, match="name too long, expected text8"):
        text8(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    "split", [(90, 10), (90, 10, 0), (95, 10, -5), (90.0, 5.0, 5.0), (0.9, 0.05, 0.05)]
)
def test_shares_that_are_not_three_positive_ones_are_refused(tmp_path, split):
    with pytest.raises(ValueError, match=r"split = .* came, expected three positive whole shares"):
        text8(write(tmp_path), split)


def test_a_real_text_of_this_form_comes_back(data_folder):
    path = data_folder("text") / "wikitext2-as-text8"
    corpus = text8(path)
    parts = [text_of(corpus, ids) for ids in corpus[:3]]
    N = 2_178_501
    assert "".join(parts) == path.read_text()
    assert [len(part) for part in parts] == [N * 90 // 100, N * 95 // 100 - N * 90 // 100, 108_926]
    assert len(np.unique(corpus.train)) == 27
    assert len("".join(parts).split()) == 386_520


def test_a_real_text_of_another_form_is_refused_at_its_first_other_byte(data_folder):
    with pytest.raises(DataError, match=r"shakespeare\.txt, byte 0: 0x46 \('F'\), expected a-z"):
        text8(data_folder("text") / "shakespeare.txt")
