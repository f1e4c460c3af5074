"""Downloads one file over HTTP, and goes on where the last connection broke off.

What has come is kept (nnseq.data.part). The next request, in this run or after a kill, asks for the
bytes behind it (RFC 9110, section 14, range requests). The server may not play along:

    it answers                          then
    206, the bytes asked for            they are appended
    206, other bytes or another version the part is dropped, the download begins again
    200 (no ranges, or it has changed)  the part is dropped, what comes is the file
    416 with the part's length          the part is the whole file
    416 otherwise                       the part is dropped, the download begins again
    408, 429, 5xx, silence, a cut       tried again after a pause
    anything else                       FetchError

Redirects are followed, to http and https alone.

Each pause is four times the last. After `tries` connections in a row without a new byte, or more
than `tries` beginnings again, it gives up with FetchError. A new byte starts the count anew.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request

from nnseq.data.files import DataError
from nnseq.data.meter import Meter
from nnseq.data.part import Part
from nnseq.data.redirects import WebRedirects

CHUNK = 1 << 16
TIMEOUT = 20.0  # seconds without a byte
TRIES = 5
FIRST_PAUSE, LAST_PAUSE, GROWTH = 0.1, 30.0, 4  # seconds, seconds, factor
TRY_AGAIN = (408, 425, 429)  # and every 5xx
AGENT = {"User-Agent": "nnseq", "Accept-Encoding": "identity"}
# int() of a number without end would raise; 18 digits are more bytes than any file has.
COUNT = re.compile(r"\d{1,18}\Z", re.ASCII)
CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)\Z", re.ASCII)


class FetchError(DataError):
    """A file that could not be fetched: one line, which, why, and what to do."""


class ResumingDownloader:
    """A downloader for pooch: a callable of (url, output_file, pooch) that returns nothing.

    That protocol is described in pooch's documentation, "Downloaders: Customizing the download",
    https://www.fatiando.org/pooch/latest/downloaders.html.

    The part is not moved to `output_file` but linked (copied where links are impossible), because
    pooch deletes `output_file` when it is interrupted while it computes the hash. Whoever called
    pooch deletes the part when the file has got its name, or when its hash was wrong.

    Args:
        part: where the bytes are kept until then.
        meter: told of every byte.
        size: of the file in bytes, where known; an answer of another size is refused.
        at_most: bytes; an answer with more is refused.
        timeout: seconds without a byte after which a connection is given up.
        tries: as described above.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        part: Part,
        meter: Meter,
        *,
        size: int | None,
        at_most: int,
        timeout: float = TIMEOUT,
        tries: int = TRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.part, self.meter = part, meter
        self.size, self.at_most = size, at_most
        self.timeout, self.tries, self.sleep = timeout, tries, sleep
        self.joined = False  # the part may hold bytes of more than one connection
        self.has_delivered = False  # pooch has the file, and compares its hash

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        """Downloads `url` to the path `output_file`.

        Raises:
            FetchError: this address does not give the file.
            OSError: the part cannot be written.
        """
        self.download(url)
        Path(output_file).unlink(missing_ok=True)
        try:
            os.link(self.part.path, output_file)
        except OSError:
            shutil.copyfile(self.part.path, output_file)
        self.has_delivered = True

    def download(self, url: str) -> None:
        """Returns when the part is the whole file; Raises as __call__."""
        self.joined = self.part.size > 0  # by an earlier run
        vain = beginnings = 0
        while not self.is_complete():
            before = self.part.size
            self.joined = self.joined or before > 0
            try:
                self.connect(url)
            except TryAgainError as error:
                beginnings += error.begin_again
                vain = 0 if self.part.size > before and not error.begin_again else vain + 1
                if vain >= self.tries or beginnings > self.tries:
                    raise FetchError(f"{url}: {error}; gave up, {self.part.kept()}") from error
                pause = max(error.wait, min(FIRST_PAUSE * GROWTH**vain, LAST_PAUSE))
                self.meter.say(
                    f"{self.meter.name}: {error}; again in {pause:.1f} s from byte {self.part.size}"
                )
                self.sleep(pause)
            else:
                vain = 0

    def is_complete(self) -> bool:
        """Whether nothing is missing, as far as the length can tell."""
        total = self.size if self.size is not None else self.part.total
        if total is not None and self.part.size > total:
            self.part.clear()
        return total is not None and self.part.size == total

    def connect(self, url: str) -> None:
        """One request: appends what comes.

        Raises:
            TryAgainError: it may be worth another request.
            FetchError, OSError: it is not.
        """
        have = self.part.size
        headers = AGENT | (self.part.range_headers(url) if have else {})
        request = Request(url, headers=headers)
        try:
            opener = urllib.request.build_opener(WebRedirects)
            response = opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                self.refused(url, error)
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise failed_to_connect(url, error) from error
        with response:
            answer = self.read_answer(url, response)
            begin_again = have > 0 and answer.start == 0
            if begin_again:
                self.part.clear()
            self.part.describe(url, response.headers, answer.total)
            try:
                self.append(response, answer)
            except TryAgainError as error:
                error.begin_again = error.begin_again or begin_again
                raise

    def refused(self, url: str, error: urllib.error.HTTPError) -> None:
        """An answer that is an error: raises, unless it means that the part is whole."""
        have = self.part.size
        if error.code == 416 and have:
            span = CONTENT_RANGE.match(error.headers.get("Content-Range", ""))
            total = int(span[3]) if span and span[3] != "*" else None
            if total == have and self.size in (None, have):
                self.part.describe(url, error.headers, total)
                return
            raise self.drop(f"HTTP 416, it has no byte {have}")
        reason = " ".join(f"HTTP {error.code} {error.reason}".split())  # of a loop: three lines
        if error.code in TRY_AGAIN or error.code >= 500:
            wait = count_of(error.headers.get("Retry-After", ""))
            raise TryAgainError(reason, wait=min(wait or 0, LAST_PAUSE))
        raise FetchError(f"{url}: {reason}")

    def read_answer(self, url: str, response: http.client.HTTPResponse) -> Answer:
        """Which bytes an answer will bring, once they are known to be bytes of this file."""
        answer = answer_of(response)
        if answer is None:
            came = response.headers.get("Content-Range")
            raise self.drop(f"HTTP {response.status} with Content-Range {came}")
        packing = response.headers.get("Content-Encoding", "identity")
        if packing != "identity" and not self.meter.name.endswith(".gz"):
            raise FetchError(f"{url}: the file came packed ({packing}), expected it as it is")
        total = answer.total
        if total is not None and self.size not in (None, total):
            raise FetchError(f"{url}: the file has {total:,} bytes, expected {self.size:,}")
        if total is not None and total > self.at_most:
            raise FetchError(
                f"{url}: the file has {total:,} bytes, expected up to {self.at_most:,}"
            )
        if answer.start:
            changed = self.part.changed(url, response.headers, total)
            if answer.start != self.part.size:
                changed = f"byte {answer.start} came, expected byte {self.part.size}"
            if changed:
                raise self.drop(changed)
        return answer

    def drop(self, why: str) -> TryAgainError:
        """Deletes what has come, of which the server has nothing more; the error to raise."""
        self.part.clear()
        return TryAgainError(why, begin_again=True)

    def append(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        """Writes the body behind what is there, up to the length that was announced."""
        self.meter.begin(answer.start, answer.total)
        left = answer.stop - answer.start if answer.stop is not None else None
        with self.part.path.open("ab") as file:
            while left is None or left > 0:
                try:
                    # read1 hands over what is there: a cut loses nothing that has come.
                    chunk = response.read1(CHUNK if left is None else min(CHUNK, left))
                except (OSError, http.client.HTTPException) as error:
                    raise TryAgainError(f"the connection broke ({reason_of(error)})") from error
                if not chunk:
                    break
                file.write(chunk)
                file.flush()
                self.meter.move(len(chunk))
                left = None if left is None else left - len(chunk)
                if self.part.size > self.at_most:
                    self.part.clear()
                    raise FetchError(f"{response.url}: more than {self.at_most:,} bytes came")
        if left:
            raise TryAgainError(f"the connection broke {left:,} bytes before the end")
        if answer.stop is None:
            self.end_without_length()

    def end_without_length(self) -> None:
        """The body ended, and nothing said how long it would be."""
        if self.size is not None and self.part.size > self.size:
            raise self.drop(f"{self.part.size:,} bytes came, expected {self.size:,}")
        if self.size is not None and self.part.size < self.size:
            raise TryAgainError(f"the answer ended at byte {self.part.size:,} of {self.size:,}")
        self.part.total = self.part.size


class TryAgainError(Exception):
    """One connection failed. `begin_again`: at byte 0. `wait`: seconds the server asks for."""

    def __init__(self, message: str, begin_again: bool = False, wait: float = 0.0) -> None:
        super().__init__(message)
        self.begin_again, self.wait = begin_again, wait


def failed_to_connect(url: str, error: Exception) -> Exception:
    """No answer: wrong certificates will stay wrong, everything else may be better next time."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError(f"{url}: the server's certificate is wrong ({cause.verify_message})")
    if isinstance(cause, ValueError):  # of the address itself
        return FetchError(f"{url}: {cause}")
    return TryAgainError(f"no answer ({reason_of(cause)})")


def reason_of(error: object) -> str:
    """A few words about a failed connection."""
    if isinstance(error, TimeoutError):
        return "timed out"
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__


class Answer(NamedTuple):
    """The bytes start..stop-1 of a file of `total` bytes; None where the server does not say."""

    start: int
    stop: int | None
    total: int | None


def answer_of(response: http.client.HTTPResponse) -> Answer | None:
    """Reads the headers of an answer; None where they do not say which bytes it brings."""
    if response.status == 206:
        span = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if span is None or span[1] is None or int(span[2]) < int(span[1]):
            return None
        total = int(span[3]) if span[3] != "*" else None
        return Answer(int(span[1]), int(span[2]) + 1, total)
    total = count_of(response.headers.get("Content-Length", ""))
    return Answer(0, total, total) if response.status == 200 else None


def count_of(text: str) -> int | None:
    """A number of a header; None where it is none, or too long to be meant."""
    return int(text) if COUNT.match(text) else None
