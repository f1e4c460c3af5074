"""From the options of a classifier to its files, real or made up, and to examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from nnseq.classification.options import ClassificationOptions
from nnseq.data.examples import Examples, Labelled
from nnseq.options import OptionError
from nnseq.runs.data_files import read_files
from nnseq.task import DataNote

FEW = 12  # files that are named one by one


class FromFiles(Protocol):
    """A set that knows the files it was read from."""

    @property
    def files(self) -> tuple[str, ...]:
        """Their names."""


S = TypeVar("S", bound=FromFiles)


def read(
    o: ClassificationOptions, name: str, reader: Callable[[Path, str], S]
) -> tuple[tuple[S, S] | None, DataNote]:
    """The training and the test set of some files, and what to say of the files.

    Args:
        o: data, smoke, max_steps, resume, eval, out.
        name: of the set, as `python -m nnseq.data fetch` and made-up files have it.
        reader: reader(folder, "train" or "test").

    Returns:
        (train, test) and a note; None where nothing is read: `--max_steps 0` without `--data`.

    Raises:
        OptionError: no `--data` although it is needed.
        DataError: files that are missing or wrong.
    """

    def both(folder: Path) -> tuple[S, S]:
        return reader(folder, "train"), reader(folder, "test")

    found, note = read_files(o, name, both, name=name, files=f"the files of {name}")
    if found is None:
        return None, note
    files = [x for part in found for x in part.files]
    some = ", ".join(files[:FEW]) + f" and {len(files) - FEW:,} more" * (len(files) > FEW)
    return found, note._replace(text=f"{note.text}: {some}" if note.text else some)


def build_examples(
    o: ClassificationOptions,
    train: Labelled,
    test: Labelled,
    rng: np.random.Generator,
    **looks: Any,
) -> Examples:
    """The examples with the sizes of the options.

    Args:
        o: batch_size, eval_batch_size, valid_share, eval.
        train, test, rng, looks: as Examples.

    Raises:
        OptionError: too few examples.
    """
    names = ("batch_size", "eval_batch_size", "valid_share")
    looks |= {name: getattr(o, name) for name in names}
    looks |= {"batch_size": 1} if o.eval else {}  # no step is taken, and --batch_size refused
    try:
        return Examples(train, test, rng=rng, **looks)
    except ValueError as error:
        raise OptionError(f"--batch_size or --valid_share: {error}") from None
