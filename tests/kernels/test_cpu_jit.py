"""The cache of compiled kernels: fresh after any edit, shared between processes, optional."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PAIR = """
from nnseq_kernels.cpu_jit import cpu_jit

FACTOR = {factor}

@cpu_jit()
def pointwise(x):
    return x * FACTOR {extra}
"""

LOOP = """
import sys
import numba, numpy as np
from nnseq_kernels.cpu_jit import cpu_jit
from pair import pointwise

def make(pointwise):
    @cpu_jit(parallel=True)
    def loop(x):
        y = np.empty_like(x)
        for i in numba.prange(x.size):
            y[i] = pointwise(x[i])
        return y
    return loop

imported_pair = make(pointwise)
print(imported_pair(np.arange(3.0)).sum())
"""


@pytest.fixture
def run(tmp_path):
    """Write pair.py and loop.py, run loop.py in a new process; return (its result, its stderr)."""

    def run(factor: float = 2, extra: str = "", cache: Path = tmp_path / "cache", **variables):
        (tmp_path / "pair.py").write_text(PAIR.format(factor=factor, extra=extra))
        (tmp_path / "loop.py").write_text(LOOP)
        kernels = Path(__file__).parents[2] / "kernels"
        environment = os.environ | {
            "PYTHONPATH": str(kernels),
            "NUMBA_CACHE_DIR": str(cache),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }
        done = subprocess.run(
            [sys.executable, tmp_path / "loop.py"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout), done.stderr

    return run


def compiled(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}


def test_an_edited_pair_changes_the_result_in_a_new_process(run):
    assert run(factor=2)[0] == 6
    assert run(factor=3)[0] == 9
    assert run(factor=3, extra="+ 1")[0] == 12
    assert run(factor=2)[0] == 6


def test_a_second_process_compiles_nothing(run, tmp_path):
    run()
    first = compiled(tmp_path / "cache")
    assert len(first) >= 2
    run()
    assert compiled(tmp_path / "cache") == first


def test_a_damaged_file_is_compiled_again(run, tmp_path):
    run()
    for path in compiled(tmp_path / "cache"):
        path.write_bytes(path.read_bytes()[:100])
    assert run()[0] == 6


def test_a_folder_that_cannot_be_written_gives_one_warning(run, tmp_path):
    blocked = tmp_path / "a_file"
    blocked.write_text("a file where the folder should be")
    result, stderr = run(cache=blocked)
    assert result == 6
    assert stderr.count("compiled kernels cannot be kept in") == 1
    assert "NUMBA_CACHE_DIR" in stderr
