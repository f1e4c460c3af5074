"""nnseq.machine and `python -m nnseq info`: what a run stands on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from nnseq import backend, machine
from tests.child import ENVIRONMENT


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_limited_threads_holds_numba_and_blas_and_lets_go() -> None:
    before = numba.get_num_threads(), blas_threads()
    with machine.limited_threads(1):
        assert numba.get_num_threads() == 1
        assert blas_threads() == {1}
    assert (numba.get_num_threads(), blas_threads()) == before


def test_auto_is_the_cpu_where_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DRIVER", "libno_such_driver.so")
    assert machine.choose_device("auto") == "cpu"
    assert machine.choose_device("cpu") == "cpu"


def test_auto_is_the_cpu_where_cupy_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_driver", lambda: True)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert machine.choose_device("auto") == "cpu"
    with pytest.raises(backend.DeviceError, match="not installed"):
        machine.choose_device("cuda")


def test_versions_are_those_in_use() -> None:
    versions = machine.versions()
    assert versions["numpy"] == np.__version__
    assert versions["numba"] == numba.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with one commit, that nnseq seems to be imported from."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # inside a hook of git they would name the real repository
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (tmp_path / "file").write_text("one")
    for argv in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *argv], check=True)
    monkeypatch.setattr(machine, "CHECKOUT", tmp_path.resolve())
    machine.commit.cache_clear()
    yield tmp_path
    machine.commit.cache_clear()


def test_the_commit_is_that_of_the_checkout_and_says_when_files_differ(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    first = machine.commit()
    assert first is not None
    assert re.fullmatch("[0-9a-f]{7,40}", first)
    (checkout / "file").write_text("two")
    assert machine.commit() == first, "asked once"
    machine.commit.cache_clear()
    assert machine.commit() == f"{first}-dirty"


def test_there_is_no_commit_without_git_or_where_nnseq_is_only_installed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = checkout / "lib"
    inside.mkdir()
    monkeypatch.setattr(machine, "CHECKOUT", inside)
    assert machine.commit() is None
    machine.commit.cache_clear()
    monkeypatch.setattr(machine, "CHECKOUT", checkout)
    monkeypatch.setenv("PATH", str(inside))
    assert machine.commit() is None


def test_the_command_has_the_script_as_it_is_in_the_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(checkout / "experiments" / "a.py"), "--out", "my runs"])
    assert machine.command() == "python experiments/a.py --out 'my runs'"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest", "-q"])
    assert machine.command() == "pytest -q"


def info(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nnseq", *argv],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )


def test_info_prints_backends_threads_and_versions() -> None:
    done = info("info")
    assert done.returncode == 0, done.stderr
    assert "device: " in done.stdout
    assert "kernels on cpu, in order: numba, reference" in done.stdout
    assert f"threads: {machine.usable_cpus()}" in done.stdout
    assert f"numpy: {np.__version__}" in done.stdout


def test_another_command_is_refused_in_one_line() -> None:
    done = info("inof")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nnseq: inof came, expected: python -m nnseq info\n"
