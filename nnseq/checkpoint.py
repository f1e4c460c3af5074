"""Checkpoints: nested dicts of arrays in one HDF5 file that is either whole or not there.

A checkpoint is a tree: dicts become HDF5 groups, NumPy arrays datasets, and every other leaf
(number, text, bool, None, list) a dataset that holds its JSON text. Attributes of the root say what
the tree is.

    write:  temporary file in the same folder -> fsync -> keep the present file as NAME.prev.h5
            -> os.replace -> fsync of the folder
    read:   every leaf is compared with the CRC-32 that was written beside it

So a kill, a crash or a full disk at any moment leaves the file of before or the file of after, and
a file that was damaged later is refused by name. Nothing is ever unpickled: a checkpoint cannot run
code.

All texts have a fixed length: HDF5 keeps the others in a heap without checksums, and a damaged heap
was seen to send its reader into an endless loop.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "nnseq-checkpoint-1"
CRC = "crc32"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

Tree = Mapping[str, Any]


class CheckpointError(Exception):
    """A checkpoint cannot be read or written, or does not fit: why, and what to do, in one line."""


def previous_path(path: Path) -> Path:
    """Where the checkpoint before the present one is kept: checkpoint.h5 -> checkpoint.prev.h5."""
    return path.with_name(f"{path.stem}.prev{path.suffix}")


def unfinished_paths(path: Path) -> tuple[Path, Path]:
    """Where a kill leaves what was about to become this file: new content, or a second name."""
    return path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.link")


def write(path: str | os.PathLike[str], tree: Tree, attributes: Mapping[str, Any]) -> None:
    """Writes a tree and its attributes to one HDF5 file, atomically; the file before it is kept.

    Args:
        path: the file. A file already there becomes NAME.prev.h5 beside it.
        tree: nested dicts with text keys (no "/"); leaves are NumPy arrays or JSON-able values.
        attributes: whole numbers, and JSON-able values (kept as JSON text) for the file's root.

    Raises:
        TypeError, ValueError: a leaf that is neither, or a key that HDF5 cannot hold.
        CheckpointError: the file system refused (full disk, no permission); the file that was there
            before is untouched.
    """
    path = Path(path)
    # The image is made in memory and written as plain bytes: HDF5 itself, when a write fails in the
    # middle, can neither finish nor close its file.
    image = io.BytesIO()
    _write_image(image, tree, attributes)
    temporary, _ = unfinished_paths(path)
    try:
        _write_durably(temporary, image.getbuffer())
        _keep_previous(path)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove_quietly(temporary)
        kept = "; the one from before is whole" if path.exists() else ""
        raise CheckpointError(
            f"{path}: cannot be written: {error.strerror or error}{kept}; free space or "
            "correct the folder's permissions, then run again"
        ) from error


def put_back(path: Path) -> None:
    """Makes NAME.prev.h5 the present file NAME.h5 again; it keeps its own name too.

    Raises:
        OSError: the file system refused; both files are as they were.
    """
    _name_also(previous_path(path), path)
    _sync_folder(path.parent)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a file that `write` wrote.

    Returns:
        (tree, attributes), as they were given; tuples come back as lists, keys in order of names.

    Raises:
        CheckpointError: no such file, not HDF5, truncated, damaged, or not written by `write`.
    """
    path = Path(path)
    import h5py  # late: a command line that only prints its help has no use for it

    try:
        with path.open("rb") as file:
            signature = file.read(len(HDF5_SIGNATURE))
            if signature != HDF5_SIGNATURE:
                raise _unreadable(path, f"begins with {signature!r}", "an HDF5 file")
            with h5py.File(file, "r") as root:
                return _read_root(path, root)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file, expected a checkpoint" + _cure(path)
        ) from None
    except (PermissionError, IsADirectoryError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _unreadable(
            path, f"is truncated or damaged ({reason})", "a whole checkpoint"
        ) from error


def _write_image(image: io.BytesIO, tree: Tree, attributes: Mapping[str, Any]) -> None:
    import h5py

    # v110 is the first format with checksums on all of HDF5's own structures.
    with h5py.File(image, "w", libver=("v110", "v110")) as root:
        _write_group(root, tree, "")
        root.attrs["format"] = np.bytes_(FORMAT)
        for name, value in attributes.items():
            root.attrs[name] = value if type(value) is int else _as_json(value, name)


def _write_group(group: Any, tree: Tree, address: str) -> None:
    for name, leaf in tree.items():
        if not isinstance(name, str) or not name or name == "." or "/" in name:
            raise ValueError(
                f"checkpoint: the key {name!r} in {address or '/'} cannot name an HDF5 object, "
                "expected text that is not empty, not '.', and without '/'"
            )
        where = f"{address}/{name}"
        if isinstance(leaf, Mapping):
            _write_group(group.create_group(name), leaf, where)
            continue
        array = _as_array(leaf, where)
        dataset = group.create_dataset(name, data=array)
        dataset.attrs[CRC] = _crc(array)


def _as_array(leaf: Any, where: str) -> np.ndarray:
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "biufc":
            raise TypeError(
                f"checkpoint: {where} has dtype {leaf.dtype}, expected bool, integer, float or "
                "complex"
            )
        return leaf
    return np.asarray(_as_json(leaf, where))


def _as_json(value: Any, where: str) -> np.bytes_:
    try:
        return np.bytes_(json.dumps(value))
    except TypeError:
        raise TypeError(
            f"checkpoint: {where} is a {type(value).__module__}.{type(value).__name__}, expected a "
            "NumPy array or a value that JSON can hold"
        ) from None


def _read_root(path: Path, root: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    values = dict(root.attrs)
    came = values.pop("format", None)
    if came != FORMAT.encode():
        raise _unreadable(path, f"is HDF5 with format {came!r}", f"format {FORMAT!r}")
    attributes = {
        name: json.loads(value) if isinstance(value, bytes | str) else int(value)
        for name, value in values.items()
    }
    return _read_group(path, root), attributes


def _read_group(path: Path, group: Any) -> dict[str, Any]:
    import h5py

    tree: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            tree[name] = _read_group(path, item)
            continue
        array = np.asarray(item[()])
        # An array that another program put there has no checksum, and is taken as it is.
        crc = _crc(array)
        if item.attrs.get(CRC, crc) != crc:
            raise _unreadable(
                path, f"is damaged ({item.name} does not match its checksum)", "a whole checkpoint"
            )
        tree[name] = json.loads(array.tobytes()) if array.dtype.kind == "S" else array
    return tree


def _crc(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def _unreadable(path: Path, came: str, expected: str) -> CheckpointError:
    return CheckpointError(f"{path}: {came}, expected {expected}{_cure(path)}")


def _cure(path: Path) -> str:
    previous = previous_path(path)
    if previous.exists():
        return f"; the one before it exists and may do: cp '{previous}' '{path}'"
    return "; name another file"


def write_durably(path: Path, content: bytes) -> None:
    """Replaces a whole file by new content, atomically and on the disk when this returns.

    Raises:
        OSError: the file system refused; a file that was there before is untouched.
    """
    temporary, _ = unfinished_paths(path)
    try:
        _write_durably(temporary, memoryview(content))
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError:
        _remove_quietly(temporary)
        raise


def _write_durably(path: Path, content: memoryview) -> None:
    with path.open("wb", buffering=0) as file:
        while content:
            content = content[file.write(content) :]
        os.fsync(file.fileno())


def _keep_previous(path: Path) -> None:
    if path.exists():
        _name_also(path, previous_path(path))


def _name_also(path: Path, second: Path) -> None:
    """Gives a file a second name, that of another file or not; neither is missing at any moment."""
    # No writer opens a file of this name: it would write into the one at `path`.
    _, link = unfinished_paths(second)
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        _write_durably(link, memoryview(path.read_bytes()))
    link.replace(second)
    # rename() does nothing when both names are already the same file, as after a kill right here.
    link.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: Path) -> None:
    """Removes what a failed write left; that failure, not this one, is what the caller reports."""
    if os.access(path.parent, os.W_OK):
        path.unlink(missing_ok=True)
