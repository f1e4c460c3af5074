"""Vocabularies, files of words, and text from ids: what is written comes back, wrong is refused."""

import collections
import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nnseq.data import corpus as module
from nnseq.data.corpus import Corpus, Vocabulary, read_words, text_of
from nnseq.data.files import DataError
from tests.data.damage import damages

NAMES = ("train.txt", "valid.txt", "test.txt")
GOOD = " a cat sat \n the cat \n", " cat the \n", " a \n sat \n"


def write(folder, texts=GOOD):
    """The three files; a text is written as UTF-8, bytes as they are."""
    paths = [folder / name for name in NAMES]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that every example of a property writes anew."""
    return tmp_path_factory.mktemp("words")


def one_word():
    """A word of letters of many scripts, or with spaces in it that are not the ASCII one."""
    letters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=" ")
    return st.one_of(
        st.sampled_from(["the", "cat", "<unk>", "N", "a\u00a0b", "\u2028", "\u3000", "é"]),
        st.text(letters, min_size=1, max_size=5).filter(lambda w: w[0] != "\ufeff"),
    )


def texts():
    """Lines of words, some of them empty; the first line makes it a text of words."""
    lines = st.lists(st.lists(one_word(), max_size=6), max_size=6)
    return lines.map(lambda rest: as_file([["<unk>", "longer"], *rest]))


def as_file(lines):
    return "".join(" " + "".join(f"{word} " for word in words) + "\n" for words in lines)


# ---- Vocabulary ----------------------------------------------------------------------------------


def test_the_id_of_a_token_is_its_place():
    vocabulary = Vocabulary(["b", "<eos>", "a"])
    ids = vocabulary.encode(["a", "b", "a", "<eos>"])
    assert ids.dtype == np.int32
    assert ids.tolist() == [2, 0, 2, 1]
    assert vocabulary.decode(ids) == ["a", "b", "a", "<eos>"]
    assert vocabulary.index == {"b": 0, "<eos>": 1, "a": 2}
    assert len(vocabulary) == 3
    assert vocabulary.tokens == ("b", "<eos>", "a")


@given(st.lists(one_word(), unique=True, min_size=1), st.data())
def test_decode_undoes_encode(tokens, data):
    vocabulary = Vocabulary(tokens)
    text = data.draw(st.lists(st.sampled_from(tokens)))
    assert vocabulary.decode(vocabulary.encode(iter(text))) == text


def test_nothing_becomes_nothing():
    vocabulary = Vocabulary(["a"])
    assert vocabulary.encode([]).shape == (0,)
    assert vocabulary.decode([]) == []


def test_a_vocabulary_refuses_tokens_and_ids_that_are_not_its_own():
    with pytest.raises(ValueError, match=r"the token 'a' came twice, expected each once"):
        Vocabulary(["a", "b", "a"])
    vocabulary = Vocabulary(["a", "b"])
    with pytest.raises(KeyError, match=r"the token 'c' came, expected one of the vocabulary's 2"):
        vocabulary.encode(["a", "c"])
    for wrong in (2, -1):
        with pytest.raises(IndexError, match=rf"the id {wrong} came, expected 0 to 1"):
            vocabulary.decode([0, wrong])
    with pytest.raises(TypeError):
        vocabulary.decode([0.5])


# ---- text_of -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "text"), [("character", "b \nab"), ("word", "b _ \n a b")], ids=["characters", "words"]
)
def test_text_has_spaces_and_line_ends_where_they_belong(unit, text):
    vocabulary = Vocabulary(["a", "b", "_", "<eos>"])
    nothing = np.zeros(0, np.int32)
    corpus = Corpus(nothing, nothing, nothing, vocabulary, unit, ())
    assert text_of(corpus, np.array([1, 2, 3, 0, 1])) == text


# ---- files of words ------------------------------------------------------------------------------


def test_ids_go_by_frequency_in_train_then_by_the_alphabet(tmp_path):
    corpus = read_words(write(tmp_path, (" b c a Z \n c b é \n c \n", " a b \n", " c \n")))
    assert corpus.vocabulary.tokens == ("<eos>", "c", "b", "Z", "a", "é")  # 3, 3, 2, 1, 1, 1
    assert corpus.train.tolist() == [2, 1, 4, 3, 0, 1, 2, 5, 0, 1, 0]
    assert corpus.valid.tolist() == [4, 2, 0]
    assert corpus.test.tolist() == [1, 0]
    assert [part.dtype for part in corpus[:3]] == [np.int32] * 3
    assert corpus.unit == "word"
    assert corpus.files == NAMES


@given(st.tuples(texts(), texts(), texts()), st.booleans())
def test_the_text_of_a_file_comes_back(folder, parts, packed):
    everything = "".join(parts)  # so that no word of valid or test is unknown
    paths = write(folder, (everything, *parts[1:]))
    if packed:
        for path in paths:
            path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    corpus = read_words(paths)
    for ids, text in zip(corpus[:3], (everything, *parts[1:]), strict=True):
        assert " " + text_of(corpus, ids) == text


@given(texts())
def test_the_vocabulary_is_what_counting_gives(folder, text):
    corpus = read_words(write(folder, (text, text, text)))
    tokens = [
        word for line in text.split("\n")[:-1] for word in [*line.split(" "), "<eos>"] if word
    ]
    counts = collections.Counter(tokens)
    assert list(corpus.vocabulary.tokens) == sorted(counts, key=lambda w: (-counts[w], w))
    assert corpus.vocabulary.decode(corpus.train) == tokens


@given(texts())
@example("".join(" word word2 \n" for _ in range(100)))
def test_the_size_of_a_block_changes_nothing(folder, text):
    whole = read_words(write(folder, (text, text, text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 3)
        by_lines = read_words(write(folder, (text, text, text)))
    assert whole.vocabulary.tokens == by_lines.vocabulary.tokens
    np.testing.assert_array_equal(whole.train, by_lines.train)


def test_spaces_may_be_more_or_fewer(tmp_path):
    tidy = read_words(write(tmp_path))
    loose = read_words(write(tmp_path, ("a  cat sat\nthe   cat\n", " cat the\n", "a \nsat\n")))
    assert tidy.vocabulary.tokens == loose.vocabulary.tokens
    for one, other in zip(tidy[:3], loose[:3], strict=True):
        np.testing.assert_array_equal(one, other)


def test_words_that_train_does_not_have_become_unk(tmp_path):
    train, valid, test = " cat <unk> sat cat \n", " new cat \n", " newer new \n sat \n"
    with pytest.warns(UserWarning, match="train does not have; they count as <unk>") as warned:
        corpus = read_words(write(tmp_path, (train, valid, test)))
    for each, said in zip(
        warned, ("valid.txt: 1 of 3 tokens", "test.txt: 2 of 5 tokens"), strict=True
    ):
        assert said in str(each.message)
    assert text_of(corpus, corpus.valid) == "<unk> cat \n"
    assert text_of(corpus, corpus.test) == "<unk> <unk> \n sat \n"
    assert len(corpus.vocabulary) == 4


def test_a_word_that_is_new_in_valid_is_said_of_test_too(tmp_path):
    paths = write(tmp_path, (" cat <unk> \n", " new \n", " new cat new \n"))
    with pytest.warns(UserWarning, match="train does not have") as warned:
        corpus = read_words(paths)
    assert "test.txt: 2 of 4 tokens" in str(warned[1].message)
    assert text_of(corpus, corpus.test) == "<unk> cat <unk> \n"


def test_without_unk_a_word_that_train_does_not_have_is_refused_with_its_line(tmp_path):
    paths = write(tmp_path, (GOOD[0], GOOD[1], " cat \n \n the a dog cow \n"))
    message = r"test\.txt, line 3: the word 'dog', expected words of the training file, which has "
    with pytest.raises(DataError, match=message + "no <unk> to stand for others"):
        read_words(paths)


def test_reading_takes_a_few_bytes_for_each_token(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1 << 12)
    line = " a b c d e f g h i j k l \n"
    N = 20_000 * 13
    paths = write(tmp_path, (line * 20_000, line, line))
    tracemalloc.start()
    corpus = read_words(paths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(corpus.train) == N
    assert peak < max(20_000 * len(line) + 4.5 * N, 8.5 * N)


# ---- wrong files of words ------------------------------------------------------------------------

WRONG = [
    (b"", "byte 0: an empty file, expected text"),
    (b" \n \n\n", "line ends and nothing else, expected words"),
    (" a cat \r\n sat \r\n", r"line 1, byte 7: CR \(0x0d\), expected line ends of LF alone; fetch"),
    (b" a cat \n s\x00t \n", "line 2, byte 10: the control character 0x00, expected text"),
    (" a\tcat \n", "line 1, byte 2: the control character 0x09, expected text"),
    (b" a cat \n caf\xe9 au \n", r"line 2, byte 12: 0xe9 \(invalid continuation byte\), expected"),
    (" a cat \n".encode("utf-16"), r"line 1, byte 0: 0xff \(invalid start byte\), expected UTF-8"),
    (b"\xef\xbb\xbf a cat \n", "byte 0: a byte order mark .*; write the file without it"),
    (" a cat \n sat", "line 2, byte 12: the file ends inside a line, expected a newline; fetch a"),
    (" a cat <eos> sat \n", "line 1, byte 7: the word <eos>, expected a newline, which stands for"),
    (
        "a _ c a t \n ",
        '4 kinds of words, "_" and others of one character, expected longer words too; a file',
    ),
    (gzip.compress(b" a cat \n", mtime=0)[:-9], "byte .* of the packed file: the file ends"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
@pytest.mark.parametrize("split", range(3))
def test_a_wrong_file_is_refused_with_the_place(tmp_path, content, message, split):
    texts = list(GOOD)
    texts[split] = content
    with pytest.raises(DataError, match=rf"{NAMES[split]}(, |: ){message}"):
        read_words(write(tmp_path, texts))


def test_the_place_is_right_beyond_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)
    for bad, what in ((b"\x01", "the control character 0x01"), (b"\xff", "0xff")):
        content = b" a cat \n the cat \n sat " + bad + b" \n"
        with pytest.raises(DataError, match=rf"train\.txt, line 3, byte 23: {what}"):
            read_words(write(tmp_path, (content, *GOOD[1:])))


@given(damages(), st.integers(0, 2))
def test_a_damaged_file_is_read_or_refused_in_one_line(folder, damage, split):
    texts = [text.encode() for text in GOOD]
    texts[split] = damage(texts[split])
    corpus, error = None, ""
    try:
        corpus = read_words(write(folder, texts))
    except DataError as refusal:
        error = str(refusal)
    if corpus:
        read = corpus.vocabulary.decode(corpus[split])
        assert " ".join(read).replace("<eos>", "\n").split() == texts[split].decode().split()
    else:
        assert str(folder) in error
        assert "expected" in error
        assert "\n" not in error
