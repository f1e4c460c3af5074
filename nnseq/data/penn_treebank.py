"""The Penn Treebank text as Mikolov prepared it, as words and as characters.

In a file of characters each character, the newline too, has one space behind it, and the space
between two words is written "_":

    "a _ c a t \\n s a t \\n "  ->  a, _, c, a, t, <eos>, s, a, t, <eos>

So a word that Mikolov replaced stands there as the five characters `< u n k >`.

Marcus, Marcinkiewicz and Santorini 1993, "Building a large annotated corpus of English: the Penn
Treebank"; Mikolov et al. 2010, "Recurrent neural network based language model".
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nnseq.data.corpus import (
    EOS,
    SPLITS,
    Corpus,
    Vocabulary,
    check_text,
    look_up,
    place,
    read_content,
    read_words,
)
from nnseq.data.files import DataError, data_error, find

SPACE, NEWLINE = ord(" "), ord("\n")
CODE_POINTS = 0x110000  # how many Unicode has


def ptb_words(folder: str | os.PathLike[str]) -> Corpus:
    """Reads ptb.train.txt, ptb.valid.txt and ptb.test.txt.

    Args:
        folder: where they are, plain or .gz.

    Returns:
        the words, with `<eos>` at the end of each line. The published files have 929,589, 73,760
        and 82,430 tokens of 10,000 kinds.

    Raises:
        DataError: a file is missing or is not of words, as read_words says.
    """
    return read_words([find(folder, "ptb", f"ptb.{split}.txt") for split in SPLITS])


def ptb_chars(folder: str | os.PathLike[str]) -> Corpus:
    """Reads ptb.char.train.txt, ptb.char.valid.txt and ptb.char.test.txt.

    The vocabulary is that of train, the most frequent character first, then by the alphabet.

    Args:
        folder: where they are, plain or .gz.

    Returns:
        the characters, "_" between words and `<eos>` at the end of each line. The published files
        have 5,017,482, 393,042 and 442,423 tokens of 50 kinds.

    Raises:
        DataError: a file is missing, empty, cut, not UTF-8, not of single characters, or has
            characters that train does not have.
    """
    paths = [find(folder, "ptb", f"ptb.char.{split}.txt") for split in SPLITS]
    codes = [read_codes(path) for path in paths]
    counts = np.bincount(codes[0])
    token_of = {int(code): chr(code) for code in np.flatnonzero(counts)} | {NEWLINE: EOS}
    order = sorted(token_of, key=lambda code: (-counts[code], token_of[code]))
    id_of = np.full(CODE_POINTS, -1, np.int32)
    id_of[order] = np.arange(len(order), dtype=np.int32)
    train, valid, test = (look_up(id_of, part) for part in codes)
    for path, part, ids in zip(paths, codes, (train, valid, test), strict=True):
        if ids.min() < 0:
            raise unknown_character(path, part, int(np.argmin(ids)), len(order))
    vocabulary = Vocabulary([token_of[code] for code in order])
    return Corpus(train, valid, test, vocabulary, "character", tuple(path.name for path in paths))


def read_codes(path: Path) -> np.ndarray:
    """Reads one file of characters: (N,) uint32 code points, the spaces behind them left out."""
    content = read_content(path)
    check_text(path, content, 0, len(content))
    codes = np.frombuffer(content.decode().encode("utf-32-le"), np.uint32)
    is_space = codes == SPACE
    wrong = is_space.copy()
    wrong[1::2] ^= True  # characters at 0, 2, ...; spaces at 1, 3, ...
    if wrong.any():
        raise misplaced(path, content, codes, int(np.argmax(wrong)))
    if len(codes) % 2 or codes[-2] != NEWLINE:
        came, cure = "the file ends inside a line", "fetch a whole file again"
        at = place(content, len(content))
        raise data_error(path, at, came, "a newline and a space at its end", cure)
    if (codes[::2] == NEWLINE).all():
        raise data_error(path, "", "line ends and nothing else", "characters")
    return codes[::2]


# ---- errors --------------------------------------------------------------------------------------


def misplaced(path: Path, content: bytes, codes: np.ndarray, i: int) -> DataError:
    """The error of a space or a character at i where the other should be."""
    line = content.split(b"\n")[int(np.count_nonzero(codes[:i] == NEWLINE))].decode()
    at = place(content, len(codes[:i].tobytes().decode("utf-32-le").encode()))
    word = next((word for word in line.split() if len(word) > 1), None)
    expected = "single characters with one space behind each"
    if word is not None:
        cure = 'a file of words is read as words; as characters, its spaces are written "_"'
        return data_error(path, at, f"the word {word[:40]!r}", expected, cure)
    if codes[i] == SPACE:
        came = "a space that is behind no character"
        return data_error(path, at, came, expected, 'write the space between words "_"')
    return data_error(path, at, f"{chr(codes[i])!r} with no space before it", expected)


def unknown_character(path: Path, codes: np.ndarray, i: int, V: int) -> DataError:
    """The error of the i-th character of a file that is not one of the V of the vocabulary."""
    line = int(np.count_nonzero(codes[:i] == NEWLINE)) + 1
    came = f"the character {chr(codes[i])!r}"
    return data_error(path, f"line {line}", came, f"one of the {V} of the training file")
