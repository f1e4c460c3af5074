"""WikiText: both namings of its files, and the real WikiText-2."""

import gzip

import pytest

from nnseq.data.corpus import text_of
from nnseq.data.files import DataError
from nnseq.data.wikitext import wikitext

SHORT = ("train.txt", "valid.txt", "test.txt")
LONG = ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens")
TEXTS = (
    " \n = Robert <unk> = \n \n Robert is an actor @-@ director – born in 1 @,@ 900 . \n",
    " \n Robert <unk> . \n",
    " \n = Jane = \n born in Rome \n",
)

# "Jane" and "Rome" stand for words that train does not have.
pytestmark = pytest.mark.filterwarnings("ignore:.*words that train does not have:UserWarning")


def write(folder, names, texts=TEXTS):
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_bytes(text.encode())


@pytest.mark.parametrize("names", [SHORT, LONG])
def test_both_namings_are_read_and_said(tmp_path, names):
    write(tmp_path, names)
    corpus = wikitext(tmp_path)
    assert corpus.files == names
    assert corpus.unit == "word"
    assert " " + text_of(corpus, corpus.train) == TEXTS[0]
    assert " " + text_of(corpus, corpus.valid) == TEXTS[1]
    assert text_of(corpus, corpus.test) == "\n = <unk> = \n born in <unk> \n"
    assert corpus.vocabulary.tokens[:3] == ("<eos>", "=", "Robert")


def test_where_both_are_there_the_short_names_are_taken_and_said(tmp_path):
    write(tmp_path, LONG, (" other words \n",) * 3)
    write(tmp_path, SHORT)
    corpus = wikitext(tmp_path)
    assert corpus.files == SHORT
    assert "Robert" in corpus.vocabulary.index
    assert "other" not in corpus.vocabulary.index


def test_packed_files_keep_to_one_naming(tmp_path):
    write(tmp_path, LONG)
    for name in LONG[:2]:
        packed = gzip.compress((tmp_path / name).read_bytes(), mtime=0)
        (tmp_path / name).unlink()
        (tmp_path / f"{name}.gz").write_bytes(packed)
    assert wikitext(tmp_path).files == (f"{LONG[0]}.gz", f"{LONG[1]}.gz", LONG[2])


def test_a_split_is_not_taken_from_the_other_naming(tmp_path):
    write(tmp_path, LONG)
    (tmp_path / LONG[1]).rename(tmp_path / "valid.txt")
    with pytest.raises(DataError, match=r"valid\.txt.*, expected wiki\.valid\.tokens"):
        wikitext(tmp_path)


def test_a_folder_without_the_files_is_told_both_namings(tmp_path):
    (tmp_path / "wiki.train.raw").write_bytes(b" text \n")
    message = (
        r"holds wiki\.train\.raw, expected train\.txt or wiki\.train\.tokens "
        r".* fetch wikitext-2 --data .* fetch wikitext-103 --data "
    )
    with pytest.raises(DataError, match=message):
        wikitext(tmp_path)


def test_the_real_files_have_their_counts_and_come_back(data_folder):
    folder = data_folder("wikitext-2")
    corpus = wikitext(folder)
    assert [len(ids) for ids in corpus[:3]] == [2_088_628, 217_646, 245_569]
    assert len(corpus.vocabulary) == 33_278
    for name, ids in zip(SHORT[1:], corpus[1:3], strict=True):
        assert " " + text_of(corpus, ids) == (folder / name).read_bytes().decode()
