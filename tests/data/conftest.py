"""Fixtures of the tests of downloading: a server that misbehaves, and a downloader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nnseq.data.download import ResumingDownloader
from tests.data.downloads import CONTENT, PATH, new
from tests.data.flaky_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({PATH: CONTENT}) as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """How long the downloader has waited, each time."""
    return []


@pytest.fixture
def downloader(tmp_path: Path, pauses: list[float]) -> ResumingDownloader:
    return new(tmp_path, pauses)
