"""WikiText-2 and WikiText-103: articles of Wikipedia as words.

Merity et al. 2016, "Pointer sentinel mixture models".
"""

from __future__ import annotations

import os

from nnseq.data.corpus import SPLITS, Corpus, read_words
from nnseq.data.files import find

SETS = ("wikitext-2", "wikitext-103")
NAMINGS = ("{}.txt", "wiki.{}.tokens")


def wikitext(folder: str | os.PathLike[str]) -> Corpus:
    """Reads train.txt, valid.txt and test.txt, or wiki.train.tokens and the like.

    Where both are there, train.txt and its like are taken; Corpus.files says which were.

    Args:
        folder: where they are, plain or .gz; all three are named in the same way.

    Returns:
        the words, with `<eos>` at the end of each line. WikiText-2 has 2,088,628, 217,646 and
        245,569 tokens of 33,278 kinds.

    Raises:
        DataError: a file is missing or is not of words, as read_words says.
    """
    train = find(folder, SETS, *(naming.format("train") for naming in NAMINGS))
    naming = next(n for n in NAMINGS if train.name.removesuffix(".gz") == n.format("train"))
    others = [find(folder, SETS, naming.format(split)) for split in SPLITS[1:]]
    return read_words([train, *others])
