"""Made-up files in the real formats, for `--smoke` and tests: small, learnable, repeatable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nnseq.data.made_up_images import made_up_cifar10, made_up_mnist
from nnseq.data.made_up_ntu import made_up_ntu
from nnseq.data.made_up_text import made_up_ptb, made_up_text8, made_up_wikitext

MADE_UP: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "mnist": made_up_mnist,
    "cifar10": made_up_cifar10,
    "ptb": made_up_ptb,
    "text8": made_up_text8,
    "wikitext": made_up_wikitext,
    "ntu": made_up_ntu,
}


def write_made_up(name: str, folder: str | os.PathLike[str], rng: np.random.Generator) -> None:
    """Writes a made-up data set that the reader of the real one takes.

    Args:
        name: one of MADE_UP.
        folder: made where it is missing; files of the same names are written over, so never give
            the folder of a real set.
        rng: where everything comes from: the same state gives the same files.

    Raises:
        ValueError: another name.
    """
    if name not in MADE_UP:
        raise ValueError(f"write_made_up: {name!r} came, expected one of {', '.join(MADE_UP)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    MADE_UP[name](folder, rng)
