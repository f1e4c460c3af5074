"""A text as numbers: its vocabulary, its three parts as ids, and the reading of files of words.

A file of words holds words with spaces between and around them, and each of its lines, the last
too, ends in a newline. The newline is a token of its own, `<eos>`:

    " a cat \\n sat \\n"  ->  a, cat, <eos>, sat, <eos>

The vocabulary is that of the training file, the most frequent token first, tokens of equal
frequency in alphabetical order (by code point): the same files give the same ids everywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nnseq.data.files import DataError, data_error, read_bytes

EOS = "<eos>"  # the end of a line
UNK = "<unk>"  # any word that is not in the vocabulary
SPLITS = ("train", "valid", "test")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLOCK = 1 << 22  # bytes of a file that are words of Python, or ids looked up, at one time


class Vocabulary:
    """The kinds of tokens of a text; the id of a token is its place among them.

    Args:
        tokens: (V,) every kind once, in the order of their ids.

    Raises:
        ValueError: a token came twice.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self.index = {token: i for i, token in enumerate(self.tokens)}
        if len(self.index) < len(self.tokens):
            twice = next(t for i, t in enumerate(self.tokens) if self.index[t] != i)
            raise ValueError(f"Vocabulary: the token {twice!r} came twice, expected each once")

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Gives each token its id.

        Args:
            tokens: (N,) of them, any iterable.

        Returns:
            (N,) int32 ids.

        Raises:
            KeyError: a token that the vocabulary does not have.
        """
        try:
            return np.fromiter(map(self.index.__getitem__, tokens), np.int32)
        except KeyError as error:
            has = f"expected one of the vocabulary's {len(self):,}"
            raise KeyError(f"Vocabulary: the token {error.args[0]!r} came, {has}") from None

    def decode(self, ids: ArrayLike) -> list[str]:
        """Gives each id its token: encode's inverse.

        Args:
            ids: (N,) integers in [0, V).

        Returns:
            (N,) tokens.

        Raises:
            IndexError: an id outside [0, V).
        """
        numbers = np.asarray(ids).tolist()
        for number in numbers:
            if not 0 <= number < len(self):
                raise IndexError(f"Vocabulary: the id {number} came, expected 0 to {len(self) - 1}")
        return [self.tokens[number] for number in numbers]


class Corpus(NamedTuple):
    """A text in its three parts.

    train, valid, test: (N,) int32 ids, each part of its own length.
    vocabulary: what the ids stand for.
    unit: what a token is, "character" or "word".
    files: the names of the files that were read.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    vocabulary: Vocabulary
    unit: Literal["character", "word"]
    files: tuple[str, ...]


def text_of(corpus: Corpus, ids: ArrayLike) -> str:
    """Writes ids as text to be read, with a newline for every `<eos>`.

    Args:
        corpus: which the ids are of.
        ids: (N,) integers in [0, V).

    Returns:
        words joined by spaces; or characters joined, "_" (the space between words) as a space.
    """
    tokens = corpus.vocabulary.decode(ids)
    if corpus.unit == "word":
        return " ".join("\n" if token == EOS else token for token in tokens)
    shown = {"_": " ", EOS: "\n"}
    return "".join(shown.get(token, token) for token in tokens)


def read_words(paths: Sequence[Path]) -> Corpus:
    """Reads three files of words.

    A word of valid or test that train does not have becomes `<unk>`, if train has that; a warning
    says how often (of Penn Treebank and WikiText-2, never).
    In memory at one time: one file, and up to 8 bytes a token.

    Args:
        paths: the files of train, valid and test, UTF-8, plain or gzip.

    Raises:
        DataError: a file that is empty, cut, not UTF-8, not of words, has control characters (CR
            too) or an `<eos>` spelled out; or a word without `<unk>` to stand for it.
    """
    ids_of = Growing()
    train, counts = number_words(paths[0], ids_of)
    tokens = [token.decode() for token in ids_of]
    order = sorted(range(len(tokens)), key=lambda i: (-counts[i], tokens[i]))
    vocabulary = Vocabulary([tokens[i] for i in order])
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    others = []
    for path in paths[1:]:
        numbers, _ = number_words(path, ids_of)
        if count := np.count_nonzero(numbers >= len(order)):
            unknown = vocabulary.index.get(UNK)
            if unknown is None:
                raise unknown_word(path, numbers, ids_of, len(order))
            came = f"{count:,} of {len(numbers):,} tokens are words that train does not have"
            warnings.warn(f"{path}: {came}; they count as {UNK}", UserWarning, stacklevel=3)
            added = np.full(len(ids_of) - len(rank), unknown, np.int32)
            rank = np.concatenate([rank, added])
        others.append(look_up(rank, numbers))
    names = tuple(path.name for path in paths)
    return Corpus(look_up(rank, train), others[0], others[1], vocabulary, "word", names)


class Growing(dict[bytes, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, token: bytes) -> int:
        self[token] = number = len(self)
        return number


def number_words(path: Path, ids_of: Growing) -> tuple[np.ndarray, np.ndarray]:
    """Reads one file of words.

    Args:
        path: the file.
        ids_of: the words seen so far and their numbers; the file's new ones are added.

    Returns:
        (N,) int32 the number of each token, and (len(ids_of),) how often each came.
    """
    blocks: list[np.ndarray] = []
    counts = np.zeros(0, np.int64)
    for block in blocks_of_lines(path):
        words = block.replace(b"\n", b" <eos> ").split()
        if not blocks:
            refuse_characters(path, words)
        numbers = np.fromiter(map(ids_of.__getitem__, words), np.int32, len(words))
        more = np.bincount(numbers, minlength=len(ids_of))
        more[: len(counts)] += counts
        blocks.append(numbers)
        counts = more
    if counts.sum() == counts[ids_of[EOS.encode()]]:
        raise data_error(path, "", "line ends and nothing else", "words")
    return np.concatenate(blocks), counts


def blocks_of_lines(path: Path) -> Iterator[bytes]:
    """Yields whole lines of a file of words, some MiB at a time, each byte of them checked."""
    content = read_content(path)
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + BLOCK) + 1 or len(content)
        check_text(path, content, start, end)
        if (at := content.find(EOS.encode(), start, end)) >= 0:
            came, expected = f"the word {EOS}", "a newline, which stands for it"
            raise data_error(path, place(content, at), came, expected)
        yield content[start:end]
        start = end
    if not content.endswith(b"\n"):
        came = "the file ends inside a line"
        cure = "fetch a whole file again, or end its last line"
        raise data_error(path, place(content, len(content)), came, "a newline", cure)


def read_content(path: Path) -> bytes:
    """Reads a text file, plain or gzip, as bytes; refuses an empty one and a byte order mark."""
    content = read_bytes(path)
    if not content:
        raise data_error(path, "byte 0", "an empty file", "text")
    if content.startswith(BYTE_ORDER_MARK):
        came, cure = "a byte order mark (0xef 0xbb 0xbf)", "write the file without it"
        raise data_error(path, "byte 0", came, "the first character", cure)
    return content


def look_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """table[codes] as int32, block by block: NumPy makes 8 bytes of every index on its way."""
    ids = np.empty(len(codes), np.int32)
    for start in range(0, len(codes), BLOCK):
        ids[start : start + BLOCK] = table[codes[start : start + BLOCK]]
    return ids


# ---- errors --------------------------------------------------------------------------------------


def check_text(path: Path, content: bytes, start: int, end: int) -> None:
    """Refuses bytes that no text of ours has.

    Args:
        path: the file, to be named.
        content: all of its bytes.
        start, end: the bytes to look at; neither may be inside a character.

    Raises:
        DataError: bytes that are not UTF-8, or a control character other than a newline.
    """
    block = content[start:end]
    try:
        block.decode()
    except UnicodeDecodeError as error:
        at = start + error.start
        came = f"0x{content[at]:02x} ({error.reason})"
        raise data_error(path, place(content, at), came, "UTF-8 text") from error
    codes = np.frombuffer(block, np.uint8)
    control = np.flatnonzero((codes < 32) & (codes != 10))
    if len(control):
        at = start + int(control[0])
        if content[at] == 13:
            cure = "fetch the file again, or remove every CR"
            raise data_error(path, place(content, at), "CR (0x0d)", "line ends of LF alone", cure)
        came = f"the control character 0x{content[at]:02x}"
        raise data_error(path, place(content, at), came, "text")


def refuse_characters(path: Path, words: list[bytes]) -> None:
    """Refuses "_" among words of one character each: somebody took the wrong one of two files."""
    kinds = {word.decode() for word in set(words)} - {EOS}
    if "_" in kinds and all(len(kind) == 1 for kind in kinds):
        came = f'{len(kinds)} kinds of words, "_" and others of one character'
        cure = "a file of characters is read as characters, not as words"
        raise data_error(path, "", came, "longer words too", cure)


def unknown_word(path: Path, numbers: np.ndarray, ids_of: Growing, V: int) -> DataError:
    """The error of the first word of a file that is not one of the V of the vocabulary."""
    at = int(np.argmax(numbers >= V))
    word = list(ids_of)[numbers[at]].decode()
    line = int(np.count_nonzero(numbers[:at] == ids_of[EOS.encode()])) + 1
    expected = f"words of the training file, which has no {UNK} to stand for others"
    return data_error(path, f"line {line}", f"the word {word[:40]!r}", expected)


def place(content: bytes, at: int) -> str:
    """Where byte `at` is, as errors say it."""
    return f"line {content.count(10, 0, at) + 1}, byte {at}"
