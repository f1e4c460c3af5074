"""Made-up texts: the real readers take them, and one word back helps to tell the next."""

import numpy as np
import pytest

from nnseq.data.corpus import text_of
from nnseq.data.made_up_text import made_up_ptb, made_up_text8, made_up_wikitext
from nnseq.data.penn_treebank import ptb_chars, ptb_words
from nnseq.data.text8 import text8
from nnseq.data.wikitext import wikitext

SETS = [
    (made_up_ptb, ptb_words),
    (made_up_ptb, ptb_chars),
    (made_up_text8, text8),
    (made_up_wikitext, wikitext),
]


def entropies(corpus):
    """Nats a token of valid, from train's counts plus a little: of tokens, and given the last."""
    V = len(corpus.vocabulary)
    pairs = np.full((V, V), 0.01)
    np.add.at(pairs, (corpus.train[:-1], corpus.train[1:]), 1)
    x, y = corpus.valid[:-1], corpus.valid[1:]
    alone = pairs.sum(axis=0) / pairs.sum()
    given = pairs / pairs.sum(axis=1, keepdims=True)
    return -np.log(alone[y]).mean(), -np.log(given[x, y]).mean()


@pytest.mark.parametrize(("make", "read"), SETS)
def test_the_token_before_tells_much_about_the_next(tmp_path, make, read):
    make(tmp_path, np.random.default_rng(0))
    alone, given = entropies(read(tmp_path))
    assert 1 < given < 0.8 * alone


@pytest.mark.parametrize(("make", "read"), SETS)
def test_the_files_are_small_and_the_three_parts_differ(tmp_path, make, read):
    make(tmp_path, np.random.default_rng(0))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000
    train, valid, test = read(tmp_path)[:3]
    assert len(train) > 3 * len(valid)
    assert min(len(valid), len(test)) > 700
    size = min(len(valid), len(test))
    assert not np.array_equal(valid[:size], test[:size])


@pytest.mark.parametrize("seed", range(5))
def test_the_characters_are_those_of_the_words_and_none_is_new(tmp_path, seed):
    make_and = np.random.default_rng(seed)
    made_up_ptb(tmp_path, make_and)
    words, chars = ptb_words(tmp_path), ptb_chars(tmp_path)
    for ids, character_ids in zip(words[:3], chars[:3], strict=True):
        lines = text_of(words, ids).splitlines()
        assert text_of(chars, character_ids).splitlines() == [line.strip() for line in lines]
    assert {"<unk>", "N", "<eos>"} <= set(words.vocabulary.tokens)
    assert {"_", "<", "<eos>"} <= set(chars.vocabulary.tokens)


@pytest.mark.parametrize(
    ("make", "name"), [(made_up_ptb, "ptb.valid.txt"), (made_up_wikitext, "wiki.valid.tokens")]
)
def test_lines_have_single_spaces_around_every_word(tmp_path, make, name):
    make(tmp_path, np.random.default_rng(0))
    content = (tmp_path / name).read_bytes().decode()
    assert content == "".join(
        " " + "".join(f"{word} " for word in line.split()) + "\n"
        for line in content.split("\n")[:-1]
    )


def test_articles_have_titles_and_lines_left_empty(tmp_path):
    made_up_wikitext(tmp_path, np.random.default_rng(0))
    lines = (tmp_path / "wiki.valid.tokens").read_text().split("\n")
    assert lines[0] == lines[2] == " "
    assert lines[1].startswith(" = ")
    assert lines[5] == " = = History = = "
    assert lines[3].endswith(" . ")
    assert any("@,@" in line for line in lines)


def test_text8_is_one_run_of_letters_and_single_spaces(tmp_path):
    made_up_text8(tmp_path, np.random.default_rng(0))
    text = (tmp_path / "text8").read_text()
    assert text == " " + " ".join(text.split())
    assert {"the", "seven"} <= set(text.split())
    assert not {"unk", "n"} & set(text.split())
