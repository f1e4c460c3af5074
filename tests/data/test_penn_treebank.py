"""The Penn Treebank: words and characters come back as written, and the real files' counts."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.corpus import text_of
from nnseq.data.files import DataError
from nnseq.data.penn_treebank import ptb_chars, ptb_words
from tests.data.damage import damages

SPLITS = ("train", "valid", "test")
WORDS = " a cat sat \n the cat \n", " cat the \n", " a \n sat \n"
CHARS = "a _ c a t \n s a t \n ", "c a t \n ", "s a t _ a t \n "


def write(folder, texts, form="ptb.char.{}.txt"):
    """The three files; a text is written as UTF-8, bytes as they are."""
    for split, text in zip(SPLITS, texts, strict=True):
        content = text if isinstance(text, bytes) else text.encode()
        (folder / form.format(split)).write_bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that every example of a property writes anew."""
    return tmp_path_factory.mktemp("ptb")


def as_characters(text):
    """The form of a file of characters, character by character."""
    return "".join(("_" if c == " " else c) + " " for c in text)


def lines(alphabet):
    """Lines of text, at least one of them not empty."""
    line = st.text(alphabet, max_size=8)
    return st.lists(line, min_size=1, max_size=6).map(lambda some: "\n".join(["a", *some]) + "\n")


# ---- words ---------------------------------------------------------------------------------------


def test_words_are_read_from_the_files_of_words(tmp_path):
    write(tmp_path, WORDS, "ptb.{}.txt")
    write(tmp_path, CHARS)
    corpus = ptb_words(tmp_path)
    assert corpus.vocabulary.tokens == ("<eos>", "cat", "a", "sat", "the")
    assert corpus.unit == "word"
    assert corpus.files == ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")
    assert [" " + text_of(corpus, ids) for ids in corpus[:3]] == list(WORDS)


def test_a_file_of_characters_under_the_name_of_words_is_refused(tmp_path):
    write(tmp_path, CHARS, "ptb.{}.txt")
    with pytest.raises(DataError, match=r"ptb\.train\.txt: 5 kinds of words, \"_\" and"):
        ptb_words(tmp_path)


# ---- characters ----------------------------------------------------------------------------------


def test_characters_go_by_frequency_in_train_then_by_the_alphabet(tmp_path):
    write(tmp_path, CHARS)
    corpus = ptb_chars(tmp_path)
    assert corpus.vocabulary.tokens == ("a", "<eos>", "t", "_", "c", "s")  # 3, 2, 2, 1, 1, 1
    assert corpus.train.tolist() == [0, 3, 4, 0, 2, 1, 5, 0, 2, 1]
    assert corpus.valid.tolist() == [4, 0, 2, 1]
    assert corpus.test.tolist() == [5, 0, 2, 3, 0, 2, 1]
    assert [part.dtype for part in corpus[:3]] == [np.int32] * 3
    assert corpus.unit == "character"
    assert corpus.files == ("ptb.char.train.txt", "ptb.char.valid.txt", "ptb.char.test.txt")


LETTERS = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="_\ufeff") | st.just(
    "e"
)


@given(st.tuples(lines(LETTERS), lines(LETTERS), lines(LETTERS)), st.booleans())
def test_the_text_of_a_file_comes_back(folder, parts, packed):
    parts = ("".join(parts), *parts[1:])  # so that no character of valid or test is unknown
    for split, text in zip(SPLITS, parts, strict=True):
        content = as_characters(text).encode()
        (folder / f"ptb.char.{split}.txt").write_bytes(
            gzip.compress(content, mtime=0) if packed else content
        )
    corpus = ptb_chars(folder)
    for ids, text in zip(corpus[:3], parts, strict=True):
        assert text_of(corpus, ids) == text
        tokens = corpus.vocabulary.decode(ids)
        again = "".join(token.replace("<eos>", "\n") + " " for token in tokens)
        assert again == as_characters(text)


WRONG = [
    (b"", "byte 0: an empty file, expected text"),
    ("\n \n ", "line ends and nothing else, expected characters"),
    (" a cat \n sat \n", "line 1, byte 0: the word 'cat', expected single .*; a file of words is"),
    ("a _ c a t \n s at \n ", "line 2, byte 15: the word 'at', expected single characters with"),
    ("c a t   s a t \n ", 'line 1, byte 6: a space that is behind no .* between words "_"'),
    ("c a t\ns a t\n", r"line 1, byte 5: '\\n' with no space before it, expected single"),
    ("é a t \nc a t \n", "line 2, byte 8: 'c' with no space before it, expected single"),
    ("c a t \r\n s a t \r\n", r"line 1, byte 6: CR \(0x0d\), expected line ends of LF alone"),
    ("c a t \n s a t \n", "line 3, byte 15: the file ends inside a line, expected a newline and a"),
    ("c a t \n s a t ", "line 2, byte 14: the file ends inside a line"),
    ("c a t \n s", "line 2, byte 9: the file ends inside a line"),
    ("c \x07 \n ", "line 1, byte 2: the control character 0x07, expected text"),
    (b"c a t \n s \xe9 t \n ", r"line 2, byte 10: 0xe9 \(invalid continuation byte\), expected"),
    ("\ufeffc a t \n ", "byte 0: a byte order mark"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
@pytest.mark.parametrize("split", range(3))
def test_a_wrong_file_is_refused_with_the_place(tmp_path, content, message, split):
    texts = list(CHARS)
    texts[split] = content
    write(tmp_path, texts)
    with pytest.raises(DataError, match=rf"ptb\.char\.{SPLITS[split]}\.txt(, |: ){message}"):
        ptb_chars(tmp_path)


def test_a_character_that_train_does_not_have_is_refused_with_its_line(tmp_path):
    write(tmp_path, (CHARS[0], CHARS[1], "s a t \n é x \n "))
    message = r"ptb\.char\.test\.txt, line 2: the character 'é', expected one of the 6 of the train"
    with pytest.raises(DataError, match=message):
        ptb_chars(tmp_path)


@pytest.mark.parametrize("missing", SPLITS)
def test_a_missing_file_is_named_with_how_to_get_it(tmp_path, missing):
    for read, form, texts in (
        (ptb_words, "ptb.{}.txt", WORDS),
        (ptb_chars, "ptb.char.{}.txt", CHARS),
    ):
        write(tmp_path, texts, form)
        (tmp_path / form.format(missing)).unlink()
        expected = f"expected {form.format(missing)} .*python -m nnseq.data fetch ptb"
        with pytest.raises(DataError, match=expected):
            read(tmp_path)


@given(damages(), st.integers(0, 2))
def test_a_damaged_file_is_read_or_refused_in_one_line(folder, damage, split):
    texts = [text.encode() for text in CHARS]
    texts[split] = damage(texts[split])
    write(folder, texts)
    corpus, error = None, ""
    try:
        corpus = ptb_chars(folder)
    except DataError as refusal:
        error = str(refusal)
    if corpus:
        assert as_characters(text_of(corpus, corpus[split])).encode() == texts[split]
    else:
        assert str(folder) in error
        assert "expected" in error
        assert "\n" not in error


# ---- the real files ------------------------------------------------------------------------------


def test_the_real_words_have_their_counts_and_come_back(data_folder):
    folder = data_folder("ptb")
    corpus = ptb_words(folder)
    assert [len(ids) for ids in corpus[:3]] == [929_589, 73_760, 82_430]
    assert len(corpus.vocabulary) == 10_000
    assert corpus.vocabulary.tokens[:3] == ("the", "<unk>", "<eos>")
    end = corpus.vocabulary.index["<eos>"]
    assert [np.count_nonzero(ids == end) for ids in corpus[:3]] == [42_068, 3_370, 3_761]
    counts = np.bincount(corpus.train)
    assert (np.diff(counts) <= 0).all()
    assert counts.min() > 0
    for split, ids in zip(SPLITS, corpus, strict=False):
        assert " " + text_of(corpus, ids) == (folder / f"ptb.{split}.txt").read_text()


def test_the_real_characters_have_their_counts_and_are_those_of_the_words(data_folder):
    folder = data_folder("ptb")
    corpus = ptb_chars(folder)
    assert [len(ids) for ids in corpus[:3]] == [5_017_482, 393_042, 442_423]
    assert len(corpus.vocabulary) == 50
    assert corpus.vocabulary.tokens[:3] == ("_", "e", "t")
    for split, ids in zip(SPLITS[1:], corpus[1:3], strict=True):
        words = (folder / f"ptb.{split}.txt").read_text().splitlines()
        assert text_of(corpus, ids).splitlines() == [line.strip() for line in words]
