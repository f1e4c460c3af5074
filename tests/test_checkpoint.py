"""nnseq.checkpoint: whole or not there, kept before it is replaced, refused when damaged."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.checkpoint import CheckpointError, previous_path, read, write
from tests.child import ENVIRONMENT


def tree_of(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "params": {
            "layers.0.W_ih": rng.normal(size=(4, 5)).astype(np.float32),
            "layers.0.u": rng.normal(size=5),
            "empty": np.zeros((0, 3)),
        },
        "rng": {"data": rng.bit_generator.state},
        "state": {
            "mask": rng.random((3, 2)) < 0.5,
            "count": 7,
            "best": None,
            "text": "µ",
            "l": [1, 2.5],
        },
    }


ATTRIBUTES = {"options": {"lr": 1e-3, "out": "x" * 100_000}, "step": 12, "epoch": 0}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            assert_same(a[name], b[name])
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    else:
        assert a == b


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write(path, tree_of(0), ATTRIBUTES)
    tree, attributes = read(path)
    assert_same(tree, tree_of(0))
    assert attributes == ATTRIBUTES
    assert names_in(tmp_path) == ["checkpoint.h5"]


def test_a_generator_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rng.random(5, dtype=np.float32)  # an odd number leaves half a word buffered
    write(tmp_path / "x.h5", {"rng": rng.bit_generator.state}, {})
    other = np.random.default_rng(4)
    other.bit_generator.state = read(tmp_path / "x.h5")[0]["rng"]
    np.testing.assert_array_equal(rng.random(9, np.float32), other.random(9, np.float32))


def test_a_non_contiguous_array_is_written_as_it_reads(tmp_path: Path) -> None:
    x = np.arange(24.0).reshape(4, 6).T[::2]
    write(tmp_path / "x.h5", {"x": x}, {})
    np.testing.assert_array_equal(read(tmp_path / "x.h5")[0]["x"], x)


def test_any_hdf5_reader_finds_arrays_and_attributes_at_their_address(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", tree_of(0), ATTRIBUTES)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(
            file["params/layers.0.u"][()], tree_of(0)["params"]["layers.0.u"]
        )
        assert int(file.attrs["step"]) == 12
        assert b"nnseq" in file.attrs["format"]
        assert b'"lr": 0.001' in file.attrs["options"]


def test_the_previous_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    for seed in range(3):
        write(path, tree_of(seed), {"step": seed})
    assert read(path)[1]["step"] == 2
    assert read(previous_path(path))[1]["step"] == 1
    assert names_in(tmp_path) == ["checkpoint.h5", "checkpoint.prev.h5"]


def test_the_previous_one_is_kept_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    write_to_disk, on_disk = checkpoint._write_durably, []

    def noting(path: Path, content: memoryview) -> None:
        write_to_disk(path, content)
        on_disk.append(path.name)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(checkpoint, "_write_durably", noting)
    test_the_previous_one_is_kept(tmp_path)
    assert set(on_disk) == {".checkpoint.h5.tmp", ".checkpoint.prev.h5.link"}


@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_a_kill_before_any_call_to_the_system_leaves_a_whole_checkpoint(
    tmp_path: Path, call: str
) -> None:
    """Dies (as by kill -9) just before the n-th such call, for every n that a write reaches."""
    path = tmp_path / "checkpoint.h5"
    code = f"""
import os, sys
from nnseq.checkpoint import write
path, n = sys.argv[1], int(sys.argv[2])
real, calls = os.{call}, 0
def dying(*arguments):
    global calls
    calls += 1
    if calls == n:
        os._exit(77)
    return real(*arguments)
os.{call} = dying
write(path, {{"x": 2.0}}, {{"step": 2}})
"""
    for n in range(1, 9):
        write(path, {"x": 0.0}, {"step": 0})
        write(path, {"x": 1.0}, {"step": 1})
        argv = [sys.executable, "-c", code, str(path), str(n)]
        done = subprocess.run(argv, check=False, env=ENVIRONMENT)
        assert read(path)[1]["step"] in (1, 2)
        write(path, {"x": 3.0}, {"step": 3})  # whatever the dead one left is no obstacle
        assert read(path)[1]["step"] == 3
        assert read(previous_path(path))[1]["step"] in (1, 2)
        if done.returncode == 0:
            break
        assert done.returncode == 77
    assert n > 1, "the call was never reached"
    assert names_in(tmp_path) == ["checkpoint.h5", "checkpoint.prev.h5"]


def test_a_full_disk_leaves_the_checkpoint_whole_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write(path, tree_of(0), {"step": 1})
    before = path.read_bytes()
    big = {"x": np.zeros(100_000)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"checkpoint\.h5: cannot be written.*free space"):
            write(path, big, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["checkpoint.h5"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_of_the_disk_leaves_the_checkpoint_whole(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.h5"
    write(path, tree_of(0), {"step": 1})

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(
        CheckpointError, match="No space left on device; the one from before is whole"
    ):
        write(path, tree_of(1), {"step": 2})
    monkeypatch.undo()
    assert read(path)[1]["step"] == 1


def test_every_truncation_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write(path, tree_of(0), {"step": 1})
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError) as refusal:
            read(path)
        line = str(refusal.value)
        assert "\n" not in line
        assert line.startswith(str(path))
        assert "expected" in line


def test_every_flipped_bit_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    small = {"params": {"u": np.arange(3.0)}, "rng": {"n": 2**100}, "text": "abc"}
    write(path, small, {"step": 1, "options": {"lr": 0.5}})
    content = bytearray(path.read_bytes())
    rng, refused = np.random.default_rng(0), 0
    for place in rng.permutation(len(content))[:150]:
        damaged = content.copy()
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            tree, attributes = read(path)
        except CheckpointError:
            refused += 1
            continue
        assert_same(tree, small)
        assert attributes == {"step": 1, "options": {"lr": 0.5}}
    assert refused > 50


def test_foreign_files_are_refused_with_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"PK\x03\x04 this is a zip file")
    with pytest.raises(CheckpointError, match=r"begins with b'PK.*expected an HDF5 file"):
        read(path)
    with h5py.File(path, "w") as file:
        file["params"] = np.zeros(3)
    with pytest.raises(CheckpointError, match="format None, expected format 'nnseq-checkpoint-1'"):
        read(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "missing.h5")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_a_damaged_checkpoint_points_to_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    write(path, tree_of(0), {"step": 1})
    write(path, tree_of(1), {"step": 2})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(
        CheckpointError, match=r"the one before it exists and may do: cp '.*checkpoint\.prev\.h5'"
    ):
        read(path)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint\.prev\.h5"):
        read(path)


@pytest.mark.parametrize("name", ["a/b", "", ".", 3])
def test_names_that_hdf5_cannot_hold_are_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ValueError, match="cannot name an HDF5 object"):
        write(tmp_path / "x.h5", {"params": {name: np.zeros(2)}}, {})
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("leaf", [np.array([object()]), np.array(["x"]), object(), {1, 2}])
def test_leaves_that_would_need_pickling_are_refused(tmp_path: Path, leaf: Any) -> None:
    with pytest.raises(TypeError, match="/state/x"):
        write(tmp_path / "x.h5", {"state": {"x": leaf}}, {})
    assert names_in(tmp_path) == []


def test_write_durably_replaces_a_file_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    checkpoint.write_durably(path, b"one")
    checkpoint.write_durably(path, b"two")
    assert path.read_bytes() == b"two"

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write_durably(path, b"three")
    assert path.read_bytes() == b"two"
    assert names_in(tmp_path) == ["summary.json"]
