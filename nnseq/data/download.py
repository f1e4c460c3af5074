"""Downloads one file over HTTP, and goes on where the last connection broke off.

What has come lies in a file NAME.part; beside it NAME.part.info says which version of the file it
is part of. The next request, in this run or after a kill, asks for the bytes behind it (RFC 9110,
section 14, range requests). The server may not play along:

    it answers                          then
    206, the bytes asked for            they are appended
    206, other bytes or another version the part is dropped, the download begins again
    200 (no ranges, or it has changed)  the part is dropped, what comes is the file
    416 with the part's length          the part is the whole file
    416 otherwise                       the part is dropped, the download begins again
    408, 429, 5xx, silence, a cut       tried again after a pause
    anything else                       FetchError

Pauses double. `tries` connections in a row that brought no new byte, or more than `tries` beginnings
again, and it gives up with FetchError. A connection that brought new bytes starts the count anew.
"""

from __future__ import annotations

import contextlib
import http.client
import json
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

from nnseq.data.files import DataError
from nnseq.data.meter import Meter

CHUNK = 1 << 16
TIMEOUT = 20.0  # seconds without a byte
TRIES = 5
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds
TRY_AGAIN = (408, 425, 429)  # and every 5xx
AGENT = {"User-Agent": "nnseq", "Accept-Encoding": "identity"}
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)\Z")


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
        self.joined = False  # bytes of more than one connection lie in the part

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

    def download(self, url: str) -> None:
        """Returns when the part is the whole file; Raises as __call__."""
        self.joined = self.part.size > 0
        vain = beginnings = 0
        while not self.is_complete():
            before = self.part.size
            try:
                self.connect(url)
            except TryAgainError as error:
                beginnings += error.begin_again
                vain = 0 if self.part.size > before and not error.begin_again else vain + 1
                if vain >= self.tries or beginnings > self.tries:
                    raise FetchError(f"{url}: {error}; gave up, {self.part.kept()}") from error
                pause = max(error.wait, min(FIRST_PAUSE * 2**vain, LAST_PAUSE))
                self.meter.say(
                    f"{self.meter.name}: {error}; again in {pause:.1f} s from byte {self.part.size}"
                )
                self.sleep(pause)
            else:
                vain = 0
            self.joined = self.joined or self.part.size > 0

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
        request = urllib.request.Request(url, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                return self.refused(url, error)
        except (OSError, http.client.HTTPException) as error:
            raise failed_to_connect(url, error) from error
        with response:
            answer = self.read_answer(url, response)
            if have and answer.start == 0:
                self.part.clear()
            self.part.describe(url, response.headers, answer.total)
            self.append(response, answer)
        if have and answer.start == 0 and not self.is_complete():
            raise TryAgainError("the server begins at byte 0 again", begin_again=True)
        return None

    def refused(self, url: str, error: urllib.error.HTTPError) -> None:
        """An answer that is an error: returns where it means that the part is whole, else raises."""
        have = self.part.size
        if error.code == 416 and have:
            span = CONTENT_RANGE.match(error.headers.get("Content-Range", ""))
            total = int(span[3]) if span and span[3] != "*" else None
            if total == have and self.size in (None, have):
                self.part.describe(url, error.headers, total)
                return
            self.part.clear()
            raise TryAgainError(f"HTTP 416, it has no byte {have}", begin_again=True)
        reason = f"HTTP {error.code} {error.reason}".rstrip()
        if error.code in TRY_AGAIN or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            raise TryAgainError(reason, wait=min(int(wait), LAST_PAUSE) if wait.isdecimal() else 0)
        raise FetchError(f"{url}: {reason}")

    def read_answer(self, url: str, response: http.client.HTTPResponse) -> Answer:
        """Which bytes an answer will bring, once they are known to be bytes of this file."""
        answer = answer_of(response)
        packing = response.headers.get("Content-Encoding", "identity")
        if packing != "identity" and not self.meter.name.endswith(".gz"):
            raise FetchError(f"{url}: the file came packed ({packing}), expected it as it is")
        total = answer.total
        if total is not None and self.size not in (None, total):
            raise FetchError(f"{url}: the file has {total:,} bytes, expected {self.size:,}")
        if total is not None and total > self.at_most:
            raise FetchError(f"{url}: the file has {total:,} bytes, expected up to {self.at_most:,}")
        if answer.start:
            changed = self.part.changed(url, response.headers, total)
            if answer.start != self.part.size:
                changed = f"byte {answer.start} came, expected byte {self.part.size}"
            if changed:
                self.part.clear()
                raise TryAgainError(changed, begin_again=True)
        return answer

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
        if answer.total is None:
            self.end_without_length()

    def end_without_length(self) -> None:
        """The body ended, and nothing said how long it would be."""
        if self.size is not None and self.part.size > self.size:
            came = self.part.size
            self.part.clear()
            raise TryAgainError(f"{came:,} bytes came, expected {self.size:,}", begin_again=True)
        if self.size is not None and self.part.size < self.size:
            raise TryAgainError(f"the answer ended at byte {self.part.size:,} of {self.size:,}")
        self.part.total = self.part.size


class TryAgainError(Exception):
    """One connection failed. `begin_again`: from byte 0. `wait`: seconds that the server asks for."""

    def __init__(self, message: str, begin_again: bool = False, wait: float = 0.0) -> None:
        super().__init__(message)
        self.begin_again, self.wait = begin_again, wait


def failed_to_connect(url: str, error: Exception) -> Exception:
    """No answer: wrong certificates will stay wrong, everything else may be better next time."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError(f"{url}: the server's certificate is wrong ({cause.verify_message})")
    if isinstance(cause, http.client.InvalidURL):
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


def answer_of(response: http.client.HTTPResponse) -> Answer:
    """Reads the headers of an answer 200 or 206."""
    length = response.headers.get("Content-Length", "")
    if response.status == 206:
        text = response.headers.get("Content-Range", "")
        span = CONTENT_RANGE.match(text)
        if span is None or span[1] is None:
            raise TryAgainError(f"HTTP 206 with Content-Range {text!r}", begin_again=True)
        stop = int(span[2]) + 1
        return Answer(int(span[1]), stop, int(span[3]) if span[3] != "*" else None)
    if response.status != 200:
        raise TryAgainError(f"HTTP {response.status} {response.reason}")
    total = int(length) if length.isdecimal() else None
    return Answer(0, total, total)


# ---- what has come so far ---------------------------------------------------------------------


class Part:
    """The bytes that have come, in NAME.part, and what is known of their file, in NAME.part.info.

    Args:
        path: of NAME.part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info_path = path.with_name(path.name + ".info")
        self.info: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):  # without it, the hash has the last word
            read = json.loads(self.info_path.read_text(encoding="utf-8"))
            self.info = read if isinstance(read, dict) and self.size else {}

    @property
    def size(self) -> int:
        """Bytes that have come."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, where a server has said it."""
        total = self.info.get("total")
        return total if isinstance(total, int) else None

    @total.setter
    def total(self, total: int) -> None:
        self.info["total"] = total
        self.info_path.write_text(json.dumps(self.info), encoding="utf-8")

    def describe(self, url: str, headers: http.client.HTTPMessage, total: int | None) -> None:
        """Notes which version of the file an answer belongs to."""
        info = {"url": url, "total": total if total is not None else self.total}
        info |= {name: headers.get(name) for name in ("ETag", "Last-Modified")}
        if info != self.info:
            self.info = info
            self.info_path.write_text(json.dumps(info), encoding="utf-8")

    def range_headers(self, url: str) -> dict[str, str]:
        """Asks for the bytes behind the part, if the file is still the same there."""
        headers = {"Range": f"bytes={self.size}-"}
        if self.info.get("url") == url:
            tag = self.info.get("ETag") or ""
            weak = not tag or tag.startswith("W/")  # RFC 9110: If-Range takes no weak tags
            validator = self.info.get("Last-Modified") if weak else tag
            if validator:
                headers["If-Range"] = validator
        return headers

    def changed(self, url: str, headers: http.client.HTTPMessage, total: int | None) -> str:
        """What says that an answer is of another version than the part; "" where nothing does."""
        if total is not None and self.total not in (None, total):
            return f"the file has changed from {self.total:,} bytes to {total:,}"
        if self.info.get("url") == url:
            for name in ("ETag", "Last-Modified"):
                was, now = self.info.get(name), headers.get(name)
                if was and now and was != now:
                    return f"the file has changed ({name} was {was}, is {now})"
        return ""

    def kept(self) -> str:
        """Where to find what has come, for an error."""
        return f"{self.size:,} bytes are kept in {self.path}" if self.size else "nothing came"

    def clear(self) -> None:
        """Deletes the bytes and what is known of them."""
        self.info = {}
        self.path.unlink(missing_ok=True)
        self.info_path.unlink(missing_ok=True)
