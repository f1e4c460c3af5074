"""Matrix products by cuBLAS, in a form that a CUDA graph may record.

CuPy's own products refuse to be recorded: its cuBLAS module raises NotImplementedError while a
stream captures (CuPy 14). cuBLAS itself can be captured, if it need not allocate. So this calls the
library that CuPy has loaded, with a handle and a workspace of its own.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from nnseq_kernels.graphs import VARIABLE

OFF = f"{VARIABLE}=0"
WORKSPACE_BYTES = 32 << 20  # what NVIDIA's documentation recommends for the H100; less elsewhere
TF32_MATH = 3  # CUBLAS_TF32_TENSOR_OP_MATH
GEMM = {
    "float32": ("cublasSgemm_v2", ctypes.c_float),
    "float64": ("cublasDgemm_v2", ctypes.c_double),
}

Array = Any  # cupy.ndarray


class Cublas:
    """One handle of cuBLAS, for one thread and one stream besides those that record.

    The handle is destroyed with the object; at the end of the process, by the driver.

    Args:
        cupy: the module.
        library: the loaded library; None: the one that CuPy uses.

    Raises:
        RuntimeError: the library lacks a function, or gives no handle.
    """

    def __init__(self, cupy: Any, library: Any = None) -> None:
        self.cupy = cupy
        self.library = _library() if library is None else library
        self.handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        destroy = getattr(self.library, "cublasDestroy_v2", None)
        if destroy is None:
            raise RuntimeError(f"cublasDestroy_v2 is not in {self.library}; set {OFF}")
        # The number, not self.handle: whoever changes that must not leave the handle behind.
        weakref.finalize(self, destroy, ctypes.c_void_p(self.handle.value)).atexit = False
        if os.environ.get("CUPY_TF32") == "1":  # as CuPy's own float32 products then do
            self._call("cublasSetMathMode", self.handle, ctypes.c_int(TF32_MATH))
        self.workspace = cupy.empty(WORKSPACE_BYTES, cupy.uint8)
        self.stream: int | None = None

    def multiply(self, x: Array, W: Array, out: Array) -> None:
        """Writes x @ W into out, on the current stream.

        Args:
            x: (M, K), W: (K, N), each C-contiguous or the transpose of a C-contiguous array.
            out: (M, N), C-contiguous. All have the same dtype, float32 or float64.

        Raises:
            RuntimeError: cuBLAS refuses.
        """
        (M, K), N = x.shape, W.shape[1]
        if W.shape[0] != K or out.shape != (M, N) or not x.dtype == W.dtype == out.dtype:
            raise ValueError(
                f"product: {x.shape} {x.dtype} @ {W.shape} {W.dtype} into {out.shape} {out.dtype}"
            )
        self._use_stream(self.cupy.cuda.get_current_stream().ptr)
        name, number = GEMM[str(out.dtype)]
        # cuBLAS counts down the columns: to it a C-contiguous (M, N) is the transpose, (N, M).
        # So it computes outᵀ = Wᵀ xᵀ, and Wᵀ, xᵀ are what it sees without transposing.
        (W_flag, W_ld), (x_flag, x_ld) = _layout(W), _layout(x)
        self._call(
            name, self.handle, ctypes.c_int(W_flag), ctypes.c_int(x_flag),
            ctypes.c_int(N), ctypes.c_int(M), ctypes.c_int(K), ctypes.byref(number(1)),
            ctypes.c_void_p(W.data.ptr), ctypes.c_int(W_ld),
            ctypes.c_void_p(x.data.ptr), ctypes.c_int(x_ld), ctypes.byref(number(0)),
            ctypes.c_void_p(out.data.ptr), ctypes.c_int(N),
        )  # fmt: skip

    def _use_stream(self, stream: int) -> None:
        """Sets the stream; setting it takes the workspace away, so that comes after it."""
        if stream == self.stream:
            return
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(stream))
        where, size = ctypes.c_void_p(self.workspace.data.ptr), ctypes.c_size_t(WORKSPACE_BYTES)
        self._call("cublasSetWorkspace_v2", self.handle, where, size)
        self.stream = stream

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self.library, name, None)
        if function is None:
            raise RuntimeError(f"{name} is not in {self.library}; set {OFF}")
        status = function(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} failed with cuBLAS status {status}")


def _layout(array: Array) -> tuple[int, int]:
    """Returns whether to transpose (0 or 1) and the distance between two rows, as cuBLAS wants."""
    if array.flags.c_contiguous:
        return 0, array.shape[1]
    return 1, array.shape[0]


def _library() -> Any:
    """Returns cuBLAS as CuPy has loaded it.

    A symbol of a library is also looked for in the libraries which that one is linked against, and
    CuPy's module is linked against the one cuBLAS that fits it.

    Raises:
        RuntimeError: it cannot be loaded.
    """
    try:
        # This form of import makes CuPy find and load cuBLAS first; importlib's would not.
        from cupy_backends.cuda.libs import cublas  # type: ignore[import-untyped]

        return ctypes.CDLL(str(cublas.__file__))
    except (ImportError, OSError) as error:
        raise RuntimeError(
            f"cuBLAS as CuPy uses it cannot be loaded ({error}); set {OFF}"
        ) from error
