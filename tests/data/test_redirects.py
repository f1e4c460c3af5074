"""nnseq.data.redirects: followed to http and https, the range with them; else one line says no."""

from __future__ import annotations

import pytest

from nnseq.data.download import FetchError, ResumingDownloader
from tests.data.downloads import CONTENT, PATH, content_of, started
from tests.data.flaky_server import Answer, Server


def test_redirects_keep_the_range(server: Server, downloader: ResumingDownloader) -> None:
    started(downloader, 5000)
    server.script = [Answer(to="/elsewhere"), Answer(to=PATH)]
    downloader.download(server.url + "/start")
    assert content_of(downloader) == CONTENT
    assert [path for path, _ in server.seen] == ["/start", "/elsewhere", PATH]
    assert set(server.ranges()) == {"bytes=5000-"}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/loop", "infinite loop"),
        ("file:///etc/passwd", "not allowed"),
        ("ftp://127.0.0.1:9/x", "redirected to ftp://127.0.0.1:9/x, expected an http or https"),
        ("http://[broken", "Invalid IPv6 URL"),
    ],
)
def test_redirects_to_nowhere_are_one_line(
    server: Server,
    downloader: ResumingDownloader,
    pauses: list[float],
    target: str,
    message: str,
) -> None:
    server.usual = Answer(to=target)
    with pytest.raises(FetchError, match=f"/loop: .*{message}") as caught:
        downloader.download(server.url + "/loop")
    assert "\n" not in str(caught.value)
    assert not downloader.part.path.exists()
    assert pauses == []
