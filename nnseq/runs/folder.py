"""The files of one run: metrics.jsonl, checkpoint.h5, best.h5, curve.png, summary.json.

Beside them are those that its task leaves (Task.leaves).
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from nnseq.checkpoint import previous_path, unfinished_paths, write_durably
from nnseq.options import OptionError, Options

MADE_UP = ".made_up_"  # how the name of a folder with made-up files begins
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class RunFolder:
    """The folder `--out`, held by one process at a time.

    Args:
        options: out, resume, overwrite, eval.

    Raises:
        OptionError: the folder cannot be used as the options ask; nothing in it was touched.
    """

    def __init__(self, options: Options) -> None:
        if options.out is None:
            raise OptionError("--out: nothing came, expected a folder for the results")
        self.path = Path(options.out)
        self.checkpoint = self.path / "checkpoint.h5"
        self.best = self.path / "best.h5"
        self.metrics = self.path / "metrics.jsonl"
        self.curve = self.path / "curve.png"
        self.summary = self.path / "summary.json"
        self.best_step: int | None = None  # of what best.h5 holds, as far as this process knows
        try:
            self._check_use(options)
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise self._unusable("no permission to write there")
            self._lock = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from None
        self._hold()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    def start(self, leaves: Sequence[str] = ()) -> None:
        """Removes what an earlier run left, killed or not, just before a new one begins.

        Args:
            leaves: the names of the files that its task left.
        """
        weights = (self.checkpoint, self.best)
        shown = (self.metrics, self.curve, *(self.path / name for name in leaves))
        # The summary goes first: alone, after a kill, it would speak of a run that is gone.
        for path in (self.summary, *weights, *map(previous_path, weights), *shown):
            with naming(path):
                for name in (path, *unfinished_paths(path)):
                    name.unlink(missing_ok=True)
        for path in self.path.glob(f"{MADE_UP}*"):
            with naming(path):
                shutil.rmtree(path)

    def cut_back(self, step: int) -> None:
        """Shortens metrics.jsonl to the lines of steps up to `step`; drops half a last line.

        Raises:
            OptionError: a line in the middle is not one of ours.
            OSError: the file system refused.
        """
        kept = 0
        content = self.metrics.read_bytes() if self.metrics.exists() else b""
        for line in content.splitlines(keepends=True):
            try:
                of_step = json.loads(line)["step"] if line.endswith(b"\n") else math.inf
            except (ValueError, KeyError, TypeError):
                raise OptionError(
                    f"{self.metrics}: {line[:60]!r} came, expected one JSON object with a step; "
                    "repair or remove the line"
                ) from None
            if of_step > step:
                break
            kept += len(line)
        if kept < len(content):
            with naming(self.metrics):
                os.truncate(self.metrics, kept)

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl.

        Raises:
            OSError: the file system refused.
        """
        line = (json.dumps(row) + "\n").encode()
        with naming(self.metrics), self.metrics.open("ab", buffering=0) as file:
            while line:
                line = line[file.write(line) :]

    def sync_metrics(self) -> None:
        """Puts the lines so far on the disk, so that no checkpoint is ahead of them.

        Raises:
            OSError: the file system refused.
        """
        with naming(self.metrics), self.metrics.open("ab") as file:
            os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """What metrics.jsonl holds."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def origin(self) -> dict[str, Any]:
        """By which commit and command the summary that is there came about; {} where none is."""
        found = read_summary(self.summary) or {}
        return {name: found[name] for name in ("commit", "command") if name in found}

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json as a whole.

        Raises:
            OSError: the file system refused.
        """
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        with naming(self.summary):
            write_durably(self.summary, text.encode())

    def _check_use(self, options: Options) -> None:
        has_checkpoint = self.checkpoint.exists()
        previous = previous_path(self.checkpoint)
        if options.resume and not has_checkpoint:
            cure = f"cp '{previous}' '{self.checkpoint}'" if previous.exists() else "drop --resume"
            raise OptionError(
                f"--resume: {self.path} holds no checkpoint.h5 to continue from; {cure}"
            )
        free = options.resume or options.overwrite or options.eval
        if (has_checkpoint or previous.exists()) and not free:
            raise OptionError(
                f"--out: {self.path} already holds a checkpoint, expected a folder without one; "
                "give --resume to continue it, --overwrite to discard it, or another --out"
            )

    def _hold(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise self._unusable("another run is writing there") from None
        except OSError as error:
            # Some network file systems have no locks: two runs in one folder are then not noticed.
            if error.errno not in NO_LOCKS:
                os.close(self._lock)
                raise

    def _unusable(self, reason: str) -> OptionError:
        return OptionError(
            f"--out: {self.path} cannot be used: {reason}; name a folder that only this run writes"
        )


def read_summary(path: Path) -> dict[str, Any] | None:
    """What a summary.json holds; None where there is none.

    Raises:
        OptionError: it is not one of ours.
    """
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_bytes()))
    except (TypeError, ValueError):
        raise OptionError(
            f"{path}: it holds no JSON object, expected a summary of a run; remove it"
        ) from None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside the block, what the file system refuses is raised with the file's name and the cure.

    Raises:
        OSError: an OSError of the block, in words.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path}: cannot be written: {error.strerror or error}; free space or correct the "
            "folder's permissions, then run again"
        ) from error
