"""nnseq.machine and `python -m nnseq info`: what a run stands on."""

from __future__ import annotations

import subprocess
import sys

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
