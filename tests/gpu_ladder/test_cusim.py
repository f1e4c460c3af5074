"""The CPU shim itself: correct kernels in three orders, translation, cache, and what it refuses.

What it must object to is in planted_bugs/; test_planted.py runs that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.gpu_ladder.cusim import ORDERS, CompileError, LaunchError, Module, build
from tests.gpu_ladder.cusim.translate import translate
from tests.gpu_ladder.planted_bugs.case import Case
from tests.gpu_ladder.planted_bugs.good import GOOD
from tests.gpu_ladder.sanitizer import ROOT

TICKETS = """
extern "C" __global__ void draw_tickets(int* ticket, int* next) {
  ticket[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(next, 1);
}
"""


def tickets(order: str, seed: int = 0) -> list[int]:
    """In which turn each of 4 x 8 threads came."""
    kernel = Module(TICKETS).get_function("draw_tickets")
    ticket, counter = np.full(32, -1, np.int32), np.zeros(1, np.int32)
    kernel((4,), (8,), (ticket, counter), order=order, seed=seed)
    return ticket.tolist()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_correct_kernel_gives_the_right_values(case: Case, order: str) -> None:
    assert case.result is not None
    module = Module(case.path, (), case.names, "fast", case.cooperative)
    arguments = case.arguments()
    kernel = module.get_function(case.kernel)
    kernel(case.grid, case.block, arguments, shared_mem=case.shared_mem, order=order)
    np.testing.assert_allclose(arguments[case.output], case.result(arguments), rtol=1e-6)


def test_orders_are_what_they_say_and_repeat() -> None:
    assert tickets("forward") == list(range(32))
    assert tickets("reverse") == list(range(32))[::-1]
    first = tickets("random", seed=1)
    assert sorted(first) == list(range(32))
    assert first == tickets("random", seed=1)
    assert first != tickets("random", seed=2)


def test_arrays_that_the_kernel_does_not_write_stay_as_they_were() -> None:
    kernel = Module(GOOD[0].path).get_function("scale")
    x, y = np.ones(40, np.float32), np.full(40, np.nan, np.float32)
    x.flags.writeable = False
    kernel((1,), (32,), (x, y, np.float32(2), np.int32(32)))
    assert np.array_equal(x, np.ones(40))
    assert np.array_equal(y, [2] * 32 + [np.nan] * 8, equal_nan=True)


def test_one_array_may_be_input_and_output() -> None:
    kernel = Module(GOOD[0].path).get_function("scale")
    x = np.arange(32, dtype=np.float32)
    kernel((1,), (32,), (x, x, np.float32(2), np.int32(32)))
    assert np.array_equal(x, 2 * np.arange(32))


def test_dynamic_shared_memory_beyond_48_kb_must_be_asked_for() -> None:
    kernel = Module(GOOD[0].path).get_function("scale")
    arguments = (np.ones(4, np.float32), np.ones(4, np.float32), np.float32(1), np.int32(4))
    with pytest.raises(LaunchError, match="max_dynamic_shared_size_bytes"):
        kernel((1,), (32,), arguments, shared_mem=64 << 10)
    kernel.max_dynamic_shared_size_bytes = 64 << 10
    kernel((1,), (32,), arguments, shared_mem=64 << 10)


def test_a_failed_launch_leaves_the_module_usable() -> None:
    path = GOOD[0].path.with_name("groups.cu")
    module = Module(path)
    arguments = (np.ones(64, np.float32), np.ones(64, np.float32), np.int32(64))
    for _ in range(2):
        with pytest.raises(LaunchError, match="line 6 by some threads and at line 8 by"):
            module.get_function("barrier_in_both_branches")((1,), (64,), arguments)
    with pytest.raises(AttributeError, match="no kernel 'missing', only barrier_in_both"):
        module.get_function("missing")


def test_translation_keeps_lines_and_ignores_comments() -> None:
    code = """// __shared__ float a, b;
    extern "C" __global__ void k() { /* __shared__
      int c, d; */ __shared__ __align__(16) float s[4]
          [8];
      extern __shared__ double t[]; const char* u = "// no comment";
      int here = __LINE__;
    }"""
    text = translate(code, "k.cu").text
    assert text.count("\n") == code.count("\n") + 1  # the #line
    assert "float (&s)[4]" in text
    assert "double* t = (double*)cusim_dynamic_shared(__LINE__);" in text
    assert '"// no comment"' in text
    assert "int c, d" not in text


def test_translation_refuses_two_declarators_with_the_line() -> None:
    with pytest.raises(SyntaxError, match=r"k\.cu:2: .*one declarator per statement"):
        translate("\n__shared__ float a[2], b[2];", "k.cu")


def test_translation_finds_kernels_and_their_bounds() -> None:
    code = """
    template <int N> __global__ void __launch_bounds__(N) a(float* x) {}
    extern "C" __global__ void __launch_bounds__(2 * (3 + 4), 2) b(float* x) {}
    __global__ __launch_bounds__(64) void c(const float* x,
                                            int n) {
    }
    static __global__ void d() {}
    """
    found = translate(code, "k.cu")
    assert found.kernels == ("b", "c", "d")
    for bound in ("N", "2 * (3 + 4)", "64"):
        assert f"{{ cusim_launch_bounds({bound});" in found.text


def test_quoted_includes_are_translated_too(tmp_path: Path) -> None:
    (tmp_path / "tile.cuh").write_text(
        "#pragma once\n__device__ float* tile() { __shared__ float s[32]; return s; }\n"
    )
    (tmp_path / "k.cu").write_text(
        '#include "tile.cuh"\n#include "tile.cuh"\n'
        'extern "C" __global__ void k(float* y, int* line) {\n'
        "  tile()[threadIdx.x] = threadIdx.x; __syncthreads();\n"
        "  y[threadIdx.x] = tile()[31 - threadIdx.x]; line[0] = __LINE__; }\n"
    )
    y, line = np.zeros(32, np.float32), np.zeros(1, np.int32)
    Module(tmp_path / "k.cu").get_function("k")((1,), (32,), (y, line))
    assert np.array_equal(y, np.arange(32)[::-1])
    assert line[0] == 5


def test_a_compile_error_names_file_and_line() -> None:
    with pytest.raises(CompileError, match=r"kernel\.cu:2:.*INFINITY"):
        Module('extern "C" __global__ void k(float* y) {\n  y[0] = INFINITY; }')


def test_unknown_mode_order_and_unsanitized_process_are_refused() -> None:
    with pytest.raises(ValueError, match="mode is 'quick'"):
        Module(TICKETS, mode="quick")
    with pytest.raises(ValueError, match="order is 'backward'"):
        tickets("backward")
    with pytest.raises(RuntimeError, match="needs a process started under that sanitizer"):
        build.load(Path("never_opened.so"), "tsan")


def test_a_kernel_is_compiled_once_even_by_two_processes(tmp_path: Path) -> None:
    script = tmp_path / "build_it.py"
    script.write_text(
        f"from tests.gpu_ladder.cusim import Module\nprint(Module({TICKETS!r}).path)\n"
    )
    variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, script], env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(paths) == 1
    folder = tmp_path / "nnseq" / "cusim"
    assert [str(path) for path in folder.glob("*.so")] == list(paths)
    assert not [path for path in folder.iterdir() if path.is_dir()]  # nothing temporary is left


def test_cache_moves_where_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert build.cache_folder.__wrapped__().parent == tmp_path
