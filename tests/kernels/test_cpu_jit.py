"""The cache of compiled kernels: fresh after any edit, shared between processes, optional."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from nnseq_kernels.cpu_jit import cpu_jit, text_hash

from tests.child import ENVIRONMENT

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


def test_a_user_without_a_home_gets_the_warning_too(run, tmp_path):
    without_home = "import pathlib, runpy, sys\n"
    without_home += "def home(cls): raise RuntimeError('Could not determine home directory.')\n"
    without_home += "pathlib.Path.home = classmethod(home)\n"
    (tmp_path / "sitecustomize.py").write_text(without_home)
    kernels = Path(__file__).parents[2] / "kernels"
    result, stderr = run(
        NUMBA_CACHE_DIR="", XDG_CACHE_HOME="", PYTHONPATH=f"{tmp_path}{os.pathsep}{kernels}"
    )
    assert result == 6
    assert stderr.count("Could not determine home directory") == 1


# ---- options of the compiler -------------------------------------------------------------------


def test_a_promise_that_arrays_do_not_overlap_reaches_the_compiler_and_has_a_file_of_its_own(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    def add(to, x):
        for j in range(x.size):
            to[j] += x[j]

    def promises(**options):
        kernel, to = cpu_jit(**options)(add), np.ones(3)
        kernel(to, np.arange(3.0))
        np.testing.assert_array_equal(to, [1, 2, 3])
        (llvm,) = kernel.inspect_llvm().values()
        return next(x for x in llvm.splitlines() if x.startswith("define")).count("noalias")

    assert promises() < promises(noalias=True)
    assert len(compiled(tmp_path)) == 2


# ---- what the name of a file depends on --------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.float32(0.1), np.float32(0.2)),
        (np.float32(0), np.float64(0)),
        (np.zeros(2000), np.eye(1, 2000, 1000)[0]),
        ((1, np.float32(2)), (1, np.float32(3))),
        (abs, max),
    ],
)
def test_every_constant_of_a_closure_counts(one, other):
    def make(constant):
        def pointwise(x):
            return x, constant

        def loop(x):
            return pointwise(x)

        return loop

    assert text_hash(make(one)) == text_hash(make(one))
    assert text_hash(make(one)) != text_hash(make(other))


def test_functions_in_a_tuple_count():
    def make(pair):
        def loop(x):
            return pair[0](x)

        return loop

    assert text_hash(make((lambda x: x + 1,))) == text_hash(make((lambda x: x + 1,)))
    assert text_hash(make((lambda x: x + 1,))) != text_hash(make((lambda x: x + 2,)))


def test_what_a_function_of_a_module_calls_counts():
    def make(factor):
        deep, middle = ModuleType("deep"), ModuleType("middle")
        exec(f"def scaled(x): return x * {factor}", vars(deep))
        exec("def pointwise(x): return scaled(x)", vars(middle))
        middle.scaled = deep.scaled

        def loop(x):
            return middle.pointwise(x)

        return loop

    assert text_hash(make(2)) == text_hash(make(2))
    assert text_hash(make(2)) != text_hash(make(3))


def test_a_file_edited_after_its_import_is_not_taken_for_the_code_that_runs(tmp_path):
    path = tmp_path / "edited_pair.py"

    def imported():
        spec = importlib.util.spec_from_file_location("edited_pair", path)
        module = importlib.util.module_from_spec(spec)
        exec(compile(path.read_text(), path, "exec"), vars(module))
        return module

    path.write_text("def pointwise(x): return x * 2")
    old = imported().pointwise
    path.write_text("def pointwise(x): return x * 3")
    assert text_hash(old) != text_hash(imported().pointwise)


INTRINSIC = """
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

class Builder:
    def build(self, builder, x):
        return builder.fmul(x, ir.Constant(x.type, {factor}))

@intrinsic
def scaled(typingctx, x):
    def generate(context, builder, signature, arguments):
        return Builder().build(builder, arguments[0])
    return types.float64(types.float64), generate
"""


def test_an_edit_of_what_builds_an_intrinsic_is_noticed(tmp_path, monkeypatch):
    """The edit is in a class: the bytecode that a kernel reaches is the same, the text is not."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "edited_intrinsic.py"

    def make(scaled):
        @cpu_jit()
        def loop(x):
            return scaled(x)

        return loop

    for factor, files in [(2.0, 1), (3.0, 2), (2.0, 2)]:
        path.write_text(INTRINSIC.format(factor=factor))
        spec = importlib.util.spec_from_file_location("edited_intrinsic", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "edited_intrinsic", module)  # where its text is found
        exec(compile(path.read_text(), path, "exec"), vars(module))
        assert make(module.scaled)(5.0) == 5 * factor
        assert len(compiled(tmp_path / "cache")) == files


CLOSURES = """
import math, sys
import numpy as np
from nnseq_kernels.cpu_jit import cpu_jit

def make(factor):
    @cpu_jit()
    def scale_row(x):
        for n in range(x.size):
            x[n] = x[n] * factor if math.tanh(x[n]) < 2 else math.exp(x[n])

    @cpu_jit()  # twice: so that the compiler leaves it a function with a name
    def loop(x):
        for row in range(x.shape[0]):
            if x[row, 0] > 0:
                scale_row(x[row])
            else:
                scale_row(x[row, 1:])

    return loop

loops = {factor: make(factor) for factor in map(float, sys.argv[1:])}
for factor, loop in loops.items():
    x = np.ones((2, 3))
    loop(x)
    print(x.sum() / 6)
"""


def test_closures_compiled_in_different_processes_do_not_take_each_others_place(tmp_path):
    """Their names would be the same: Numba counts the functions of a process."""
    script = tmp_path / "closures.py"
    script.write_text(CLOSURES)

    def run(*factors: int) -> list[float]:
        arguments = [sys.executable, script, *map(str, factors)]
        environment = ENVIRONMENT | {"NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [float(line) for line in done.stdout.split()]

    assert run(2) == [2]
    assert run(3) == [3]
    assert run(2, 3) == [2, 3]
    assert run(3, 5, 2) == [3, 5, 2]
