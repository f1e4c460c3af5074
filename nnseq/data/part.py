"""The part of a file that has come, kept from one connection, and from one run, to the next."""

from __future__ import annotations

import contextlib
import json
from email.message import Message
from pathlib import Path
from typing import Any


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

    def describe(self, url: str, headers: Message, total: int | None) -> None:
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
            # RFC 9110, section 13.1.5: no weak tag, and a date only where there is no tag.
            validator = self.info.get("ETag") or self.info.get("Last-Modified") or ""
            if validator and not validator.startswith("W/"):
                headers["If-Range"] = validator
        return headers

    def changed(self, url: str, headers: Message, total: int | None) -> str:
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
