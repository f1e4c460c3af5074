"""nnseq.data.download: whatever a server does, the right bytes or one line that says why not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.data.download import TRIES, FetchError, ResumingDownloader
from tests.data.downloads import CONTENT, PATH, content_of, fetch, new, started
from tests.data.flaky_server import Answer, Server

ENDLESS = "9" * 5000  # more digits than int() takes


def test_a_server_without_ranges_begins_again_and_nothing_is_doubled(
    server: Server, downloader: ResumingDownloader
) -> None:
    server.usual = Answer(ranges=False)
    assert fetch(server, downloader, Answer(ranges=False, cut=100_000)) == ["", "bytes=100000-"]


def test_a_server_without_ranges_that_always_cuts_is_given_up(
    server: Server, downloader: ResumingDownloader
) -> None:
    # Each connection may get farther than the last: progress alone must not keep it going.
    server.usual = lambda number: Answer(ranges=False, cut=1000 + 2000 * (number % 2))
    with pytest.raises(FetchError, match=r"gave up, .* bytes are kept in .*file.gz.part"):
        downloader.download(server.url + PATH)
    assert len(server.seen) == 1 + TRIES


def test_a_part_as_long_as_the_file_is_the_file(
    server: Server, downloader: ResumingDownloader
) -> None:
    started(downloader, len(CONTENT))
    assert fetch(server, downloader) == [f"bytes={len(CONTENT)}-"]  # answered 416, with the length
    assert downloader.part.total == len(CONTENT)


def test_a_part_longer_than_the_file_is_dropped(
    server: Server, downloader: ResumingDownloader
) -> None:
    downloader.part.path.write_bytes(CONTENT + b"more")
    assert fetch(server, downloader) == [f"bytes={len(CONTENT) + 4}-", ""]


def test_a_part_longer_than_the_known_size_is_dropped_without_asking(
    server: Server, tmp_path: Path
) -> None:
    downloader = new(tmp_path, [], size=len(CONTENT))
    downloader.part.path.write_bytes(CONTENT + b"more")
    assert fetch(server, downloader) == [""]


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ({"ETag": '"v1"'}, {"tag": '"v2"'}, 'ETag was "v1", is "v2"'),
        ({"ETag": 'W/"v1"'}, {"tag": 'W/"v2"'}, 'ETag was W/"v1", is W/"v2"'),
        ({"Last-Modified": "Mon"}, {"date": "Tue"}, "Last-Modified was Mon, is Tue"),
        ({"total": 200_002}, {}, "changed from 200,002 bytes to 200,003"),
    ],
)
def test_a_changed_file_is_fetched_from_its_beginning(
    server: Server,
    downloader: ResumingDownloader,
    was: dict[str, Any],
    now: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = server.url + PATH
    started(downloader, 100, url=url, **was)
    downloader.part.path.write_bytes(b"o" * 100)  # of the old version
    server.usual = Answer(if_range=False, **now)
    assert fetch(server, downloader) == ["bytes=100-", ""]
    assert message in capsys.readouterr().out


def test_a_changed_file_comes_whole_from_a_server_that_knows_if_range(
    server: Server, downloader: ResumingDownloader
) -> None:
    url = server.url + PATH
    started(downloader, 100, url=url, ETag='"v1"')
    downloader.part.path.write_bytes(b"o" * 100)
    server.usual = Answer(tag='"v2"')
    assert fetch(server, downloader) == ["bytes=100-"]


def test_a_file_that_changes_with_every_request_is_given_up(
    server: Server, downloader: ResumingDownloader
) -> None:
    server.usual = lambda number: Answer(tag=f'"v{number}"', if_range=False, cut=5000)
    with pytest.raises(FetchError, match=r"the file has changed .* gave up"):
        downloader.download(server.url + PATH)
    assert len(server.seen) == 2 * (1 + TRIES), "some bytes, then the change"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(shift=7),
        Answer(headers={"Content-Range": "nonsense"}),
        Answer(headers={"Content-Range": "bytes 5-4/200003"}),
        Answer(headers={"Content-Range": "bytes */200003"}),
        Answer(headers={"Content-Range": f"bytes {ENDLESS}-{ENDLESS}/{ENDLESS}"}),
        Answer(headers={"Content-Range": f"bytes 1000-2000/{ENDLESS}"}),
        Answer(status=416, headers={"Content-Range": f"bytes */{ENDLESS}"}),
    ],
)
def test_bytes_that_were_not_asked_for_are_not_taken(
    server: Server, downloader: ResumingDownloader, answer: Answer
) -> None:
    started(downloader, 1000)
    assert fetch(server, downloader, answer) == ["bytes=1000-", ""]


def test_a_range_of_a_file_of_unknown_length_is_followed_to_its_end(
    server: Server, downloader: ResumingDownloader
) -> None:
    started(downloader, 199_000)
    answer = Answer(longest=500, headers={"Content-Range": "bytes 199000-199499/*"})
    assert fetch(server, downloader, answer) == ["bytes=199000-", "bytes=199500-"]


def test_what_comes_behind_the_announced_range_is_left(
    server: Server, downloader: ResumingDownloader
) -> None:
    started(downloader, 1000)
    answer = Answer(headers={"Content-Range": "bytes 1000-1099/200003"})
    assert fetch(server, downloader, answer) == ["bytes=1000-", "bytes=1100-"]


def test_what_comes_behind_the_announced_length_is_left(
    server: Server, downloader: ResumingDownloader
) -> None:
    assert fetch(server, downloader, Answer(extra=b"HTTP/1.1 and more")) == [""]


def test_the_end_of_an_answer_without_length_is_the_end_of_the_file(
    server: Server, downloader: ResumingDownloader
) -> None:
    assert len(fetch(server, downloader, Answer(length=False))) == 1


def test_an_answer_without_length_that_ends_early_is_resumed_where_the_size_is_known(
    server: Server, tmp_path: Path
) -> None:
    downloader = new(tmp_path, [], size=len(CONTENT))
    assert fetch(server, downloader, Answer(length=False, cut=99)) == ["", "bytes=99-"]


def test_an_answer_without_length_that_is_too_long_is_not_taken(
    server: Server, tmp_path: Path
) -> None:
    downloader = new(tmp_path, [], size=len(CONTENT))
    assert fetch(server, downloader, Answer(length=False, extra=b"more")) == ["", ""]


def test_an_endless_answer_is_stopped_at_the_bound(server: Server, tmp_path: Path) -> None:
    downloader = new(tmp_path, [], at_most=150_000)
    server.usual = Answer(length=False)
    with pytest.raises(FetchError, match=r"file.gz: more than 150,000 bytes came"):
        downloader.download(server.url + PATH)
    assert not downloader.part.path.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 77}, "the file has 200,003 bytes, expected 77"),
        ({"at_most": 77}, "the file has 200,003 bytes, expected up to 77"),
    ],
)
def test_another_length_is_refused_and_the_part_is_left(
    server: Server, tmp_path: Path, settings: dict[str, int], message: str
) -> None:
    downloader = new(tmp_path, [], **settings)
    started(downloader, 50)
    with pytest.raises(FetchError, match=message):
        downloader.download(server.url + PATH)
    assert content_of(downloader) == CONTENT[:50]
    assert len(server.seen) == 1


def test_a_text_that_comes_packed_is_refused_but_not_a_gz_file(
    server: Server, tmp_path: Path
) -> None:
    server.usual = Answer(headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match=r"came packed \(gzip\), expected it as it is"):
        new(tmp_path, [], name="file.txt").download(server.url + PATH)
    assert fetch(server, new(tmp_path, [])) == ["", ""]


@pytest.mark.parametrize("cut", [None, 1000])
def test_silence_is_a_broken_connection(server: Server, tmp_path: Path, cut: int | None) -> None:
    asked = fetch(server, new(tmp_path, [], timeout=0.1), Answer(stall=5.0, cut=cut))
    assert asked == ["", f"bytes={cut}-" if cut else ""]


@pytest.mark.parametrize("status", [404, 403, 410, 401])
def test_an_address_without_the_file_is_given_up_at_once(
    server: Server, downloader: ResumingDownloader, pauses: list[float], status: int
) -> None:
    server.usual = Answer(status=status)
    started(downloader, 10)
    with pytest.raises(FetchError, match=f"{PATH}: HTTP {status} "):
        downloader.download(server.url + PATH)
    assert len(server.seen) == 1
    assert pauses == []
    assert content_of(downloader) == CONTENT[:10]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
def test_a_server_in_trouble_is_asked_again_later(
    server: Server, downloader: ResumingDownloader, pauses: list[float], status: int
) -> None:
    fetch(server, downloader, Answer(status=status), Answer(status=status))
    np.testing.assert_allclose(pauses, [0.4, 1.6])


def test_a_server_that_names_a_time_is_left_alone_so_long_but_not_for_ever(
    server: Server, downloader: ResumingDownloader, pauses: list[float]
) -> None:
    times = ("7", "86400", "Fri, 31 Dec 1999 23:59:59 GMT", ENDLESS)
    fetch(
        server, downloader, *(Answer(status=503, headers={"Retry-After": time}) for time in times)
    )
    np.testing.assert_allclose(pauses, [7, 30, 6.4, 25.6])


def test_a_length_without_end_is_as_good_as_none(
    server: Server, downloader: ResumingDownloader
) -> None:
    headers = {"Content-Length": ENDLESS}
    assert len(fetch(server, downloader, Answer(length=False, headers=headers))) == 1


def test_a_server_that_stays_in_trouble_is_given_up_after_a_bounded_time(
    server: Server, downloader: ResumingDownloader, pauses: list[float]
) -> None:
    server.usual = Answer(status=500)
    with pytest.raises(FetchError, match=r"HTTP 500 .* gave up, nothing came"):
        downloader.download(server.url + PATH)
    assert len(server.seen) == TRIES
    np.testing.assert_allclose(pauses, [0.4, 1.6, 6.4, 25.6])


def test_new_bytes_start_the_count_of_tries_anew(
    server: Server, downloader: ResumingDownloader, pauses: list[float]
) -> None:
    trouble = [Answer(status=500)] * 4
    script = [*trouble, Answer(cut=1), *trouble, Answer(cut=1), *trouble]
    assert fetch(server, downloader, *script) == [""] * 5 + ["bytes=1-"] * 5 + ["bytes=2-"] * 5
    np.testing.assert_allclose(pauses, [0.4, 1.6, 6.4, 25.6, 0.1] * 2 + [0.4, 1.6, 6.4, 25.6])


def test_a_connection_that_is_cut_before_the_first_byte_is_no_progress(
    server: Server, downloader: ResumingDownloader
) -> None:
    server.usual = Answer(cut=0)
    with pytest.raises(FetchError, match="broke 200,003 bytes before the end; gave up"):
        downloader.download(server.url + PATH)
    assert len(server.seen) == TRIES


def test_nobody_listening_is_given_up_and_the_part_is_kept(downloader: ResumingDownloader) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    started(downloader, 10)
    with pytest.raises(FetchError, match=r"no answer \(Connection refused\); gave up, 10 bytes"):
        downloader.download(f"http://127.0.0.1:{port}/file")
    assert content_of(downloader) == CONTENT[:10]


def test_a_full_disk_is_no_reason_to_ask_again(
    server: Server, downloader: ResumingDownloader, tmp_path: Path
) -> None:
    downloader.part.path = tmp_path / "no folder" / "file.gz.part"
    downloader.part.info_path = tmp_path / "info"
    with pytest.raises(FileNotFoundError):
        downloader.download(server.url + PATH)
    assert len(server.seen) == 1


@pytest.mark.parametrize("info", [b"{", b"[1]", b'{"total": "many", "ETag": 7}', b"\xff"])
def test_what_cannot_be_read_beside_a_part_is_ignored(
    server: Server, tmp_path: Path, info: bytes
) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:123])
    (tmp_path / "file.gz.part.info").write_bytes(info)
    downloader = new(tmp_path, [])
    assert fetch(server, downloader) == ["bytes=123-"]
