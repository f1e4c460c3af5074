"""CIFAR-10: 32 × 32 coloured images of ten classes, in its binary version.

A file is a row of records without head or end: a byte with the label, then 1,024 red, 1,024 green
and 1,024 blue bytes, each plane row by row. As the format has no count, a plain file that is cut
exactly between two records is a file with fewer images; a packed one is noticed by its checksum.

Krizhevsky 2009, "Learning multiple layers of features from tiny images": five files of 10,000 to
train on and one to test on.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nnseq.data.files import AGAIN, data_error, find, first_file, read_bytes
from nnseq.data.images import Images, check_labels, check_split

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
NAMES = {"train": tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test": ("test_batch.bin",)}


def cifar10(folder: str | os.PathLike[str], split: str) -> Images:
    """Reads the images of one split.

    Args:
        folder: holds data_batch_1.bin to data_batch_5.bin and test_batch.bin, plain or packed. Not
            all of the five need be there: `files` of what comes back says which ones were.
        split: "train" or "test".

    Returns:
        images (N, 3, 32, 32) and labels (N,), the files one behind the other.

    Raises:
        ValueError: another split.
        DataError: no file of the split is there, one cannot be read or unpacked, ends inside a
            record, or has a label above 9.
    """
    check_split("cifar10", split)
    find(folder, "cifar10", *NAMES[split])
    found = [first_file(Path(folder), name) for name in NAMES[split]]
    paths = [path for path in found if path is not None]
    records = np.concatenate([read_records(path) for path in paths])
    records.flags.writeable = False
    images = records[:, 1:].reshape(-1, *SHAPE)  # a view, as the labels are
    return Images(images, records[:, 0], tuple(path.name for path in paths))


def read_records(path: Path) -> np.ndarray:
    """The records of one file.

    Args:
        path: plain or packed.

    Returns:
        (N, 3073) uint8: the label, then the pixels.

    Raises:
        DataError: as cifar10.
    """
    content = read_bytes(path)
    N, rest = divmod(len(content), RECORD)
    if rest or not N:
        came = f"the file ends after {rest} bytes of a record"
        raise data_error(path, f"byte {len(content)}", came, f"records of {RECORD} bytes", AGAIN)
    records = np.frombuffer(content, np.uint8).reshape(N, RECORD)
    check_labels(path, records[:, 0], start=0, stride=RECORD)
    return records
