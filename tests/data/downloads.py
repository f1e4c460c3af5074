"""A file and its downloader, for the tests of downloading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nnseq.data.download import ResumingDownloader
from nnseq.data.meter import Meter
from nnseq.data.part import Part
from tests.data.flaky_server import Answer, Server

CONTENT = np.random.default_rng(0).bytes(200_003)  # more than three chunks, and odd
PATH = "/some/file.gz"


def new(folder: Path, pauses: list[float], **settings: Any) -> ResumingDownloader:
    name = settings.pop("name", "file.gz")
    settings = {"size": None, "at_most": 10**6, "timeout": 5.0, "sleep": pauses.append} | settings
    return ResumingDownloader(Part(folder / f"{name}.part"), Meter(name), **settings)


def started(downloader: ResumingDownloader, n: int, **info: Any) -> None:
    """Puts n bytes into the part, as an earlier run would have left them."""
    downloader.part.path.write_bytes(CONTENT[:n])
    if info:
        downloader.part.info = {"url": "", "total": None, **info}
        downloader.part.total = info.get("total") or len(CONTENT)


def content_of(downloader: ResumingDownloader) -> bytes:
    return downloader.part.path.read_bytes()


def fetch(server: Server, downloader: ResumingDownloader, *script: Answer) -> list[str]:
    """Downloads the file, whole whatever the script answers first; returns the ranges asked for."""
    server.script = list(script)
    downloader.download(server.url + PATH)
    assert content_of(downloader) == CONTENT
    return server.ranges()
