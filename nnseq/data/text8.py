"""text8: one run of a-z and single spaces, the first 10⁸ bytes of a cleaned Wikipedia.

Mahoney 2006, "About the test data" (of the Large Text Compression Benchmark).
"""

from __future__ import annotations

import io
import os
import string
from pathlib import Path

import numpy as np

from nnseq.data.corpus import Corpus, Vocabulary, look_up
from nnseq.data.files import data_error, find, is_file, read_bytes
from nnseq.data.zips import zip_chunks, zip_file

TOKENS = " " + string.ascii_lowercase
ZIP_MAGIC = b"PK\x03\x04"


def text8(path: str | os.PathLike[str], split: tuple[int, int, int] = (90, 5, 5)) -> Corpus:
    """Reads a file of text8's form and splits it by position.

    Args:
        path: the file, plain, gzip or the published zip; or a folder with `text8` or `text8.zip`.
        split: the shares of train, valid and test; of text8 itself, 90, 5 and 5 million bytes.

    Returns:
        the characters: 27 kinds, the space first, then the alphabet.

    Raises:
        DataError: the file is missing or empty, has another byte than a-z and the space, or is too
            short: each part needs an input and its target.
        ValueError: `split` is not three positive whole shares.
    """
    if len(split) != 3 or not all(isinstance(share, int) and share > 0 for share in split):
        raise ValueError(f"text8: split = {split} came, expected three positive whole shares")
    path = Path(path)
    if not is_file(path):
        path = find(path, "text8", "text8", "text8.zip")
    content = read_bytes(path)
    if content.startswith(ZIP_MAGIC):
        content = unzip(path, content)
    ids = encode(path, content)
    N, whole = len(ids), sum(split)
    first, second = N * split[0] // whole, N * (split[0] + split[1]) // whole
    parts = ids[:first], ids[first:second], ids[second:]
    if min(len(part) for part in parts) < 2:
        came = f"{N} characters, {' + '.join(str(len(part)) for part in parts)} of them split"
        raise data_error(path, "", came, "at least 2 of train, valid and test each")
    return Corpus(*parts, Vocabulary(TOKENS), "character", (path.name,))


def encode(path: Path, content: bytes) -> np.ndarray:
    """Gives each byte its id: (N,) int32."""
    if not content:
        raise data_error(path, "byte 0", "an empty file", "a-z and spaces")
    id_of = np.full(256, -1, np.int32)
    id_of[np.frombuffer(TOKENS.encode(), np.uint8)] = np.arange(len(TOKENS), dtype=np.int32)
    ids = look_up(id_of, np.frombuffer(content, np.uint8))
    if ids.min() < 0:
        at = int(np.argmax(ids < 0))
        came = f"0x{content[at]:02x} ({chr(content[at])!a})"
        raise data_error(path, f"byte {at}", came, "a-z or a space, as in all of text8")
    return ids


def unzip(path: Path, content: bytes) -> bytes:
    """The one member of a zip file whose bytes are `content`."""
    with zip_file(path, io.BytesIO(content)) as packed:
        # Not is_dir(), which raises IndexError for a damaged name.
        members = [each for each in packed.infolist() if not each.filename.endswith("/")]
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:5])
            came = f"a zip file of {len(members)} files ({names})"
            raise data_error(path, "", came, "one file, text8")
        return b"".join(zip_chunks(path, packed, members[0]))
