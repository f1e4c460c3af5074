"""nnseq.data.sources: hashes of the real files, whole addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nnseq.data.fetched import SHA256, sha256_of
from nnseq.data.source_files import SourceFile
from nnseq.data.sources import SETS

FILES = [(name, file) for name, data_set in SETS.items() for file in data_set.files]
KNOWN = [(name, file) for name, file in FILES if file.sha256]


@pytest.mark.parametrize(("name", "file"), KNOWN, ids=lambda item: getattr(item, "name", item))
def test_known_sizes_and_hashes_are_those_of_the_real_files(
    name: str, file: SourceFile, data_folder: Callable[[str], Path]
) -> None:
    path = data_folder(name) / file.name
    assert path.stat().st_size == file.size
    assert sha256_of(path) == file.sha256


def test_only_what_was_in_hand_has_a_hash() -> None:
    assert {name for name, _ in KNOWN} == {"mnist", "ptb", "wikitext-2"}
    unknown = {(name, file.name) for name, file in FILES if not file.sha256}
    assert unknown == {
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("text8", "text8.zip"),
        ("wikitext-2", "train.txt"),
        ("wikitext-103", "wikitext-103-v1.zip"),
    }


def test_a_note_gives_no_sha256_and_no_hash_but_those_two() -> None:
    digits = {name: re.findall(r"[0-9a-f]{30,}", file.note) for name, file in FILES if file.note}
    assert {name: [len(x) for x in found] for name, found in digits.items()} == {
        "cifar10": [32],  # MD5, of its page
        "text8": [],
        "wikitext-2": [40],  # git's
    }


@pytest.mark.parametrize(("name", "file"), FILES, ids=lambda item: getattr(item, "name", item))
def test_every_file_has_whole_addresses_bounds_and_a_name_without_folders(
    name: str, file: SourceFile
) -> None:
    assert file.urls
    for url in file.urls:
        parts = urlsplit(url)
        assert parts.scheme in ("http", "https")
        assert parts.netloc
        assert not parts.query
        assert url.endswith(f"/{file.name}")
    assert file.at_most >= (file.size or 1)
    assert SHA256.match(file.sha256 or "0" * 64)
    assert "/" not in file.name
    for member in file.members:
        assert member.at_most >= (member.size or 1)
        assert member.path.endswith(member.name)
    assert len({member.name for member in file.members}) == len(file.members)


def test_the_names_that_readers_look_for_are_those_that_a_fetch_leaves() -> None:
    kept = {
        name: {m.name for file in data_set.files for m in (file.members or [file])}
        for name, data_set in SETS.items()
    }
    assert kept["mnist"] == {
        f"{split}-{kind}-ubyte.gz"
        for split in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    }
    assert kept["cifar10"] >= {"data_batch_1.bin", "data_batch_5.bin", "test_batch.bin"}
    assert kept["text8"] == {"text8"}
    assert kept["wikitext-2"] == {"train.txt", "valid.txt", "test.txt"}
    assert kept["wikitext-103"] == {f"wiki.{split}.tokens" for split in ("train", "valid", "test")}
    assert len(kept["ptb"]) == 6


def test_a_set_without_files_says_how_to_get_it() -> None:
    for data_set in SETS.values():
        assert bool(data_set.files) != bool(data_set.obtain)
    assert "convert_ntu" in SETS["ntu"].obtain
