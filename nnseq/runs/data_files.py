"""Which files a run reads: those of --data, made-up ones for --smoke, or none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nnseq.data.fingerprint import fingerprint
from nnseq.data.made_up import write_made_up
from nnseq.options import OptionError
from nnseq.runs.folder import MADE_UP
from nnseq.task import DataNote

R = TypeVar("R")

MADE_UP_SEED = 4


def read_files(
    o: Any, source: str, reader: Callable[[Path], R], *, name: str, files: str
) -> tuple[R | None, DataNote]:
    """What a reader makes of the files of the options.

    Args:
        o: data, smoke, max_steps, resume, eval, out.
        source: the set, as `python -m nnseq.data fetch` and made-up files have it.
        reader: reader(folder); of what it returns, arrays and vocabularies make the fingerprint.
        name: of the set, as a sentence has it.
        files: what the folder must hold, as a message says it.

    Returns:
        What reader returned, and a note whose text is "", or that the files are made up. None and
        an empty note where nothing is read: `--max_steps 0` without `--data`.

    Raises:
        OptionError: no `--data` although it is needed.
        DataError: files that are missing or wrong.
    """
    if o.data is not None:
        found = reader(Path(o.data))
        return found, DataNote("", fingerprint(found))
    if o.smoke:
        with tempfile.TemporaryDirectory(dir=o.out, prefix=MADE_UP) as folder:
            write_made_up(source, folder, np.random.default_rng(MADE_UP_SEED))
            found = reader(Path(folder))
        return found, DataNote(f"made-up files in the format of {name}", fingerprint(found))
    if o.max_steps == 0 and not o.resume and not o.eval:
        return None, DataNote()
    raise OptionError(
        f"--data: nothing came, expected the folder with {files}; get them by "
        f"`python -m nnseq.data fetch {source}` and name their folder, or try --smoke"
    )
