"""Small made-up texts in the forms of the real ones, for `--smoke` and tests.

Sentences of a little grammar: the class of a word depends on the class before it, and which word of
its class it is, on the word before it. So a model that looks one word back is far better than one
that does not, and there is more to find within words. Nothing measured on them says anything about
the real texts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nnseq.data.corpus import SPLITS, UNK

WORDS = {
    "article": ("the", "a", "its", "this"),
    "adjective": ("new", "big", "old", "quiet", UNK),
    "noun": ("bank", "company", "market", "price", "trader", UNK),
    "verb": ("said", "bought", "sold", "raised", "cut"),
    "preposition": ("in", "of", "for", "with"),
    "number": ("N",),
    "unit": ("million", "shares", "years"),
}
FOLLOWS = {  # the most likely first
    "start": ("article", "preposition"),
    "article": ("noun", "adjective"),
    "adjective": ("noun",),
    "noun": ("verb", "preposition"),
    "verb": ("article", "number", "end"),
    "preposition": ("article", "number"),
    "number": ("unit",),
    "unit": ("end", "preposition"),
}
ALL_WORDS = sorted({word for words in WORDS.values() for word in words})
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUM_SENTENCES = {"train": 300, "valid": 80, "test": 80}
NUM_ARTICLES = {"train": 60, "valid": 12, "test": 12}
NUM_TEXT8_SENTENCES = 1000
WEIGHTS = np.cumsum(1 / np.arange(1, max(map(len, WORDS.values())) + 1) ** 2).tolist()

Words = list[str]


def made_up_ptb(folder: Path, rng: np.random.Generator) -> None:
    """Writes ptb.train.txt and its like, and the same text as ptb.char.train.txt and its like.

    Args:
        folder: must exist.
        rng: where the sentences come from.
    """
    for split in SPLITS:
        lines = [sentence(rng) for _ in range(NUM_SENTENCES[split])]
        if split == "train":
            lines[0] = ALL_WORDS  # no word or character of valid and test is new
        write(folder / f"ptb.{split}.txt", lines_of_words(lines))
        write(folder / f"ptb.char.{split}.txt", characters(lines))


def made_up_text8(folder: Path, rng: np.random.Generator) -> None:
    """Writes text8: letters and single spaces only, numbers digit by digit as words.

    Args:
        folder: must exist.
        rng: where the sentences and the digits come from.
    """
    words: Words = []
    for _ in range(NUM_TEXT8_SENTENCES):
        for word in sentence(rng):
            if word == "N":
                words += [DIGITS[digit] for digit in rng.integers(0, 10, 2)]
            elif word != UNK:
                words.append(word)
    write(folder / "text8", "".join(f" {word}" for word in words))


def made_up_wikitext(folder: Path, rng: np.random.Generator) -> None:
    """Writes wiki.train.tokens and its like: titles between "=", paragraphs, lines left empty.

    Args:
        folder: must exist.
        rng: where the sentences and the numbers come from.
    """
    for split in SPLITS:
        lines: list[Words] = []
        for i in range(NUM_ARTICLES[split]):
            noun = WORDS["noun"][rng.integers(len(WORDS["noun"]))]
            lines += [[], ["=", capital(noun), "="], []]
            lines.append(ALL_WORDS if split == "train" and i == 0 else paragraph(rng))
            lines += [[], ["=", "=", "History", "=", "="], [], paragraph(rng)]
        write(folder / f"wiki.{split}.tokens", lines_of_words([*lines, []]))


# ---- the grammar ---------------------------------------------------------------------------------


def sentence(rng: np.random.Generator) -> Words:
    """Draws a sentence: a walk through FOLLOWS from "start" to "end"."""
    words: Words = []
    kind, place = "start", 0
    while (kind := FOLLOWS[kind][draw(rng, len(FOLLOWS[kind]), 0)]) != "end":
        place = draw(rng, len(WORDS[kind]), place)
        words.append(WORDS[kind][place])
    return words


def draw(rng: np.random.Generator, n: int, first: int) -> int:
    """Draws one of n: `first` with weight 1, then round the circle with weights 1/4, 1/9, ..."""
    weights = WEIGHTS[:n]
    return (first + bisect_right(weights, rng.random() * weights[-1])) % n


def paragraph(rng: np.random.Generator) -> Words:
    """Draws three sentences with capitals, commas inside of numbers, and full stops."""
    words: Words = []
    for _ in range(3):
        first, *others = sentence(rng)
        words.append(capital(first))
        for word in others:
            words += [str(rng.integers(1, 9)), "@,@", "000"] if word == "N" else [word]
        words.append(".")
    return words


def capital(word: str) -> str:
    """A word with a capital letter; `<unk>` has none."""
    return word if word == UNK else word.capitalize()


# ---- the forms -----------------------------------------------------------------------------------


def lines_of_words(lines: Iterable[Words]) -> str:
    """Each line as the Penn Treebank and WikiText have it: spaces around every word."""
    return "".join(" ".join(["", *words, "\n"]) for words in lines)


def characters(lines: Iterable[Words]) -> str:
    """Each character with a space behind it, "_" for the space between two words."""
    text = "".join("_".join(words) + "\n" for words in lines)
    return re.sub("(.)", r"\1 ", text, flags=re.DOTALL)


def write(path: Path, text: str) -> None:
    """Writes a text with line ends of LF on every system."""
    path.write_bytes(text.encode())
