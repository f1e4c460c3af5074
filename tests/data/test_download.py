"""nnseq.data.download: a file comes whole, however many connections and runs it takes."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.download import ResumingDownloader
from tests.data.downloads import CONTENT, PATH, content_of, fetch, new, started
from tests.data.flaky_server import Answer, Server, serving


def test_a_file_comes_in_one_request_and_is_linked_to_where_pooch_wants_it(
    server: Server, downloader: ResumingDownloader, tmp_path: Path, pauses: list[float]
) -> None:
    output = tmp_path / "output"
    output.write_bytes(b"pooch makes an empty file")
    downloader(server.url + PATH, str(output), None)
    assert output.read_bytes() == CONTENT == content_of(downloader)
    assert output.stat().st_ino == downloader.part.path.stat().st_ino
    (_, headers), *more = server.seen
    assert headers["Accept-Encoding"] == "identity"
    assert "Range" not in headers
    assert not more
    assert not pauses
    assert not downloader.joined


def test_a_file_is_copied_where_links_are_impossible(
    server: Server, downloader: ResumingDownloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Any, target: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    downloader(server.url + PATH, tmp_path / "output", None)
    assert (tmp_path / "output").read_bytes() == CONTENT == content_of(downloader)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_connection_is_resumed_at_the_byte_where_it_broke(
    server: Server,
    downloader: ResumingDownloader,
    pauses: list[float],
    reset: bool,
    chunked: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cuts = Answer(cut=70_001, reset=reset, chunked=chunked), Answer(cut=1, reset=reset)
    assert fetch(server, downloader, *cuts) == ["", "bytes=70001-", "bytes=70002-"]
    assert pauses == [0.1, 0.1]
    assert downloader.joined
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if "again in 0.1 s from byte 7000" in line] == out
    assert len(out) == 2


def killed(seconds: float) -> None:
    raise KeyboardInterrupt


@given(
    cuts=st.lists(st.integers(0, len(CONTENT) // 3), max_size=8),
    reset=st.booleans(),
    kills=st.sets(st.integers(0, 8)),
    tagged=st.booleans(),
)
def test_cuts_at_any_bytes_and_new_runs_between_them_give_the_same_file(
    cuts: list[int], reset: bool, kills: set[int], tagged: bool
) -> None:
    with TemporaryDirectory() as folder, serving({PATH: CONTENT}) as server:
        tag = '"v1"' if tagged else ""
        server.usual = Answer(tag=tag)
        server.script = [Answer(cut=cut, reset=reset, tag=tag) for cut in cuts]
        for number in range(9):
            sleep = killed if number in kills else [].append
            try:
                new(Path(folder), [], tries=9, sleep=sleep).download(server.url + PATH)
            except KeyboardInterrupt:
                continue
            break
        assert Path(folder, "file.gz.part").read_bytes() == CONTENT
        starts = np.cumsum([0, *cuts])  # where each connection should begin
        starts = starts[starts < len(CONTENT)]
        assert server.ranges() == [f"bytes={start}-" if start else "" for start in starts]


def test_a_part_of_an_earlier_run_is_asked_for_with_its_tag(
    server: Server, downloader: ResumingDownloader
) -> None:
    url = server.url + PATH
    started(downloader, 1000, url=url, ETag='"v1"')
    server.usual = Answer(tag='"v1"')
    assert fetch(server, downloader) == ["bytes=1000-"]
    assert server.seen[0][1]["If-Range"] == '"v1"'


@pytest.mark.parametrize(
    ("info", "header"),
    [
        ({"ETag": 'W/"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, None),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": '"v1"', "url": "http://elsewhere/file.gz"}, None),
    ],
)
def test_weak_tags_and_other_hosts_tags_are_not_sent(
    server: Server, downloader: ResumingDownloader, info: dict[str, str], header: str | None
) -> None:
    started(downloader, 1000, **{"url": server.url + PATH, **info})
    server.usual = Answer(if_range=False)
    fetch(server, downloader)
    assert server.seen[0][1].get("If-Range") == header


def test_a_whole_part_needs_no_request(server: Server, downloader: ResumingDownloader) -> None:
    started(downloader, len(CONTENT), url="http://elsewhere", total=len(CONTENT))
    assert fetch(server, downloader) == []
    assert downloader.joined


def test_a_server_may_send_less_than_the_range_asked_for(
    server: Server, downloader: ResumingDownloader, pauses: list[float]
) -> None:
    started(downloader, 10)
    server.usual = Answer(longest=50_000)
    asked = [f"bytes={n}-" for n in (10, 50_010, 100_010, 150_010)]
    assert fetch(server, downloader) == asked
    assert pauses == []
