"""Products in row blocks: the same numbers, the same bits twice, and BLAS left as it was."""

import os
import subprocess
import sys

import numpy as np
import pytest
from nnseq_kernels import threads as kernel_threads
from threadpoolctl import ThreadpoolController, threadpool_limits

from nnseq import backend
from nnseq.backend import DeviceError, use_kernels
from nnseq.products import LEAST, product


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "shape",
    [
        *((4001, 33, 17), (33, 40_001, 17), (300, 200, 100), (17, 33, 4001), (5, 4, 3)),
        *((40_001, 1, 17), (9001, 4, 33), (4001, 300, 1), (9001, 37, 4)),  # few rows, few columns
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("kernels", ["numba", "reference"])
def test_is_the_matrix_product(dtype, threads, shape, transposed, has_bias, kernels, monkeypatch):
    monkeypatch.setattr(kernel_threads, "allowed", lambda: threads)
    rng = np.random.default_rng(0)
    M, K, N = shape
    x, y = rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)
    if transposed:
        x, y = np.asfortranarray(x), np.asfortranarray(y)
    b = rng.standard_normal(N).astype(dtype) if has_bias else None
    with threadpool_limits(threads), use_kernels(kernels):
        z, again = product(x, y, b), product(x, y, b)
    expected = x.astype(np.longdouble) @ y.astype(np.longdouble) + (0 if b is None else b)
    assert z.dtype == dtype
    tolerance = np.finfo(dtype).eps * np.sqrt(K) * 10
    assert np.abs(z - expected).max() <= tolerance * np.abs(expected).max()
    np.testing.assert_array_equal(z, again)


def test_integers_take_the_dtype_that_holds_both():
    x, y = np.ones((LEAST // 100, 10), np.int32), np.full((10, 20), 2**40)
    z = product(x, y)
    assert z.dtype == np.int64
    assert (z == 10 * 2**40).all()


def test_a_forced_kernel_that_cannot_take_the_arrays_is_refused_and_on_a_gpu_none_is_asked_for(
    monkeypatch,
):
    x, y = np.ones((LEAST // 100, 10)), np.ones((10, 20))
    with use_kernels("cupy"):
        with pytest.raises(DeviceError, match="products: kernels 'cupy' cannot take an array on"):
            product(x, y)
        monkeypatch.setattr(backend, "device_of", lambda _: "cuda")
        assert (product(x, y) == 10).all()
    assert backend.report()["products"] == "reference"


def test_the_number_of_blas_threads_is_restored():
    x = np.ones((LEAST // 100, 10))
    with threadpool_limits(2), use_kernels("reference"):
        before = [library["num_threads"] for library in ThreadpoolController().info()]
        product(x, np.ones((10, 20)))
        assert [library["num_threads"] for library in ThreadpoolController().info()] == before


def test_a_fork_waits_for_a_product_that_runs():
    code = """
import os, signal, sys, threading, time
os.environ["NNSEQ_KERNELS"] = "reference"
import numpy as np
from nnseq import products
x, y = np.ones((products.LEAST // 100, 10)), np.ones((10, 20))
running = threading.Event()
def multiply():
    with products._one_at_a_time:
        running.set()
        time.sleep(0.2)
threading.Thread(target=multiply).start()
running.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(5)  # a child that waits for ever would outlive the test
    os._exit(0 if (products.product(x, y) == 10).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert exit_code(code) == 0


@pytest.mark.parametrize("kernels", ["numba", "reference"])
def test_works_in_a_forked_process(kernels):
    code = f"""
import os, sys
os.environ["NNSEQ_KERNELS"] = "{kernels}"
import numpy as np
from nnseq.products import LEAST, product
x, y = np.ones((LEAST // 100, 10)), np.ones((10, 20))
product(x, y)
pid = os.fork()
if pid == 0:
    os._exit(0 if (product(x, y) == 10).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert exit_code(code) == 0


def exit_code(code):
    environment = os.environ | {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, env=environment, timeout=20, check=False).returncode
