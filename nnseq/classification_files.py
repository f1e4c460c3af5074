"""From the options of a classifier to its files, real or made up, and to examples."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from nnseq.classification_options import ClassificationOptions
from nnseq.data.examples import Examples, Labelled
from nnseq.data.made_up import write_made_up
from nnseq.options import OptionError

MADE_UP_SEED = 4
FEW = 12  # files that are named one by one


class FromFiles(Protocol):
    """A set that knows the files it was read from."""

    @property
    def files(self) -> tuple[str, ...]:
        """Their names."""


S = TypeVar("S", bound=FromFiles)

MADE_UP_SEED = 4
FEW = 12  # files that are named one by one


def read(
    o: ClassificationOptions, name: str, reader: Callable[[Path, str], S]
) -> tuple[tuple[S, S] | None, str]:
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

    def both(folder: Path, note: str = "") -> tuple[tuple[S, S], str]:
        train, test = reader(folder, "train"), reader(folder, "test")
        files = [*train.files, *test.files]
        some = ", ".join(files[:FEW]) + f" and {len(files) - FEW:,} more" * (len(files) > FEW)
        return (train, test), note + some

    if o.data is not None:
        return both(Path(o.data))
    if o.smoke:
        with tempfile.TemporaryDirectory(dir=o.out, prefix="made_up_") as folder:
            write_made_up(name, folder, np.random.default_rng(MADE_UP_SEED))
            return both(Path(folder), f"made-up files in the format of {name}: ")
    if o.max_steps == 0 and not o.resume and not o.eval:
        return None, ""
    raise OptionError(
        f"--data: nothing came, expected the folder with the files of {name}; get them by "
        f"`python -m nnseq.data fetch {name}`, or try --smoke"
    )


def build_examples(
    o: ClassificationOptions,
    train: Labelled,
    test: Labelled,
    rng: np.random.Generator,
    **looks: Any,
) -> Examples:
    """The examples with the sizes of the options.

    Args:
        o: batch_size, eval_batch_size, valid_share.
        train, test, rng, looks: as Examples.

    Raises:
        OptionError: too few examples.
    """
    names = ("batch_size", "eval_batch_size", "valid_share")
    looks |= {name: getattr(o, name) for name in names}
    try:
        return Examples(train, test, rng=rng, **looks)
    except ValueError as error:
        raise OptionError(f"--batch_size or --valid_share: {error}") from None
