"""The calls of cuBLAS: against a library with the same functions, and on a GPU."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nnseq_kernels.recurrence import cublas
from nnseq_kernels.recurrence.cublas import Cublas

from tests.kernels.indrnn.parity import require_gpu

SOURCE = Path(__file__).with_name("cublas_stand_in.c")


class DeviceArray(np.ndarray):
    """A NumPy array with the address where CuPy's arrays have it."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=self.ctypes.data)


class Stream:
    """CuPy's current stream."""

    ptr = 0


def as_device(x: Any) -> Any:
    return np.asarray(x).view(DeviceArray)


@pytest.fixture(scope="module")
def library(tmp_path_factory: Any) -> Any:
    path = tmp_path_factory.mktemp("cublas") / "libcublas_stand_in.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(path)], check=True)
    loaded = ctypes.CDLL(str(path))
    loaded.calls.restype = ctypes.c_char_p
    return loaded


@pytest.fixture
def ours(library: Any) -> Any:
    gc.collect()  # what earlier tests made is destroyed now
    library.forget_calls()
    cupy = SimpleNamespace(
        empty=lambda size, dtype: as_device(np.empty(size, dtype)),
        uint8=np.uint8,
        cuda=SimpleNamespace(get_current_stream=lambda: Stream),
    )
    return Cublas(cupy, library)


def calls(library: Any) -> list[str]:
    """What the library was asked for since the last time."""
    found = library.calls().decode().split()
    library.forget_calls()
    return found


def layouts(rng: Any, rows: int, columns: int, dtype: str) -> list[Any]:
    """A matrix as it is in memory, and one that is the transpose of what is in memory."""
    return [
        as_device(rng.standard_normal((rows, columns)).astype(dtype)),
        as_device(rng.standard_normal((columns, rows)).astype(dtype)).T,
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 5, 1), (1, 1, 1)])
def test_products_in_every_layout(ours: Any, size: tuple[int, int, int], dtype: str) -> None:
    rng = np.random.default_rng(0)
    M, K, N = size
    for x, W in product(layouts(rng, M, K, dtype), layouts(rng, K, N, dtype)):
        out = as_device(np.full((M, N), np.nan, dtype))
        ours.multiply(x, W, out)
        np.testing.assert_allclose(out, np.asarray(x) @ np.asarray(W), rtol=1e-5)


def test_rows_of_larger_arrays(ours: Any) -> None:
    rng = np.random.default_rng(1)
    h, W, q = (as_device(rng.standard_normal(shape)) for shape in ((4, 3, 5), (5, 7), (4, 3, 7)))
    before = np.array(q)
    ours.multiply(h[2], W, q[1])
    np.testing.assert_allclose(q[1], np.asarray(h)[2] @ np.asarray(W))
    assert np.array_equal(np.delete(q, 1, 0), np.delete(before, 1, 0))


def test_the_workspace_is_set_again_after_every_change_of_stream(ours: Any, library: Any) -> None:
    x = as_device(np.ones((2, 2)))
    calls(library)
    ours.multiply(x, x, x.copy())
    ours.multiply(x, x, x.copy())
    assert calls(library) == ["stream", "workspace", "cublasDgemm_v2", "cublasDgemm_v2"]
    Stream.ptr = 1234
    try:
        ours.multiply(x, x, x.copy())
    finally:
        Stream.ptr = 0
    assert calls(library) == ["stream", "workspace", "cublasDgemm_v2"]


def test_tf32_follows_cupys_variable(ours: Any, library: Any, monkeypatch: Any) -> None:
    assert calls(library) == ["create"]
    monkeypatch.setenv("CUPY_TF32", "1")
    other = Cublas(ours.cupy, library)
    assert calls(library) == ["create", "math"]
    del other
    gc.collect()
    assert calls(library) == ["destroy"]


def test_what_cublas_or_the_shapes_refuse_is_named(ours: Any) -> None:
    x, W = as_device(np.ones((2, 3))), as_device(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"product: \(2, 3\) float64 @ \(3, 4\) float64 into \(2,"):
        ours.multiply(x, W, as_device(np.ones((2, 3))))
    with pytest.raises(ValueError, match="float32"):
        ours.multiply(x, W, as_device(np.ones((2, 4), np.float32)))
    with pytest.raises(RuntimeError, match=r"cublasGarbage is not in .*NNSEQ_CUDA_GRAPHS=0"):
        ours._call("cublasGarbage")
    ours.handle = ctypes.c_void_p(0)
    ours.stream = 0
    with pytest.raises(RuntimeError, match="cublasDgemm_v2 failed with cuBLAS status 1"):
        ours.multiply(x, W, as_device(np.ones((2, 4))))


def test_a_missing_cublas_is_refused_with_the_cure(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", None)
    with pytest.raises(RuntimeError, match=r"cannot be loaded .*set NNSEQ_CUDA_GRAPHS=0"):
        cublas._library()


def test_a_library_gives_the_symbols_of_what_it_is_linked_against(
    library: Any, tmp_path: Path
) -> None:
    """As CuPy's module gives those of cuBLAS."""
    source, path = tmp_path / "module.c", tmp_path / "module.so"
    source.write_text("int unrelated(void) { return 0; }")
    flags = ["-shared", "-fPIC", "-Wl,--no-as-needed", library._name]
    subprocess.run(["gcc", str(source), *flags, "-o", str(path)], check=True)
    assert ctypes.CDLL(str(path)).cublasSgemm_v2


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_on_a_gpu(dtype: str) -> None:
    cupy = require_gpu()
    rng = np.random.default_rng(0)
    mine = Cublas(cupy)
    for M, K, N in ((32, 128, 512), (1, 700, 33), (33, 1, 5)):
        for x, W in product(layouts(rng, M, K, dtype), layouts(rng, K, N, dtype)):
            there = [cupy.asarray(np.asarray(a if a.flags.c_contiguous else a.T)) for a in (x, W)]
            there = [a if b.flags.c_contiguous else a.T for a, b in zip(there, (x, W), strict=True)]
            out = cupy.full((M, N), cupy.nan, dtype)
            mine.multiply(*there, out)
            right = np.asarray(x, np.float64) @ np.asarray(W, np.float64)
            bound = {"float32": 1e-5, "float64": 1e-12}[dtype] * np.abs(right).max()
            assert np.abs(cupy.asnumpy(out) - right).max() <= bound
