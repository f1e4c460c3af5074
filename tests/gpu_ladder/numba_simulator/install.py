"""Puts the fibers under numba-cuda's simulator and completes its intrinsics and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .fibers import FULL_MASK, SOURCE_LANE, VOTE, Block, Simulator, run_grid, users_line

WRITTEN_FOR = "numba-cuda 0.30"


def install() -> Simulator:
    """Replaces the simulator's scheduler and completes its intrinsics; call it once per process.

    Raises RuntimeError outside the simulator, or when numba-cuda's internals are not the expected.
    """
    import numba_cuda
    from numba import config, cuda

    if not config.ENABLE_CUDASIM or "numba_cuda" not in str(cuda.__file__):
        raise RuntimeError(
            "numba_simulator: start the process with NUMBA_ENABLE_CUDASIM=1 and numba-cuda "
            f"installed (numba.cuda is {cuda.__file__})"
        )
    from numba.cuda.simulator import kernel, kernelapi
    from numba.cuda.simulator.cudadrv import devicearray

    expected = [
        (kernel, "BlockManager _get_kernel_context"),
        (kernelapi, "threading Dim3 GridGroup FakeCUDAModule FakeCUDAShared FakeCUDALocal"),
        (kernelapi.FakeCUDAModule, "shared local syncthreads laneid threadIdx blockIdx"),
        (devicearray, "FakeWithinKernelCUDAArray"),
    ]
    missing = [
        f"{m.__name__}.{n}" for m, names in expected for n in names.split() if not hasattr(m, n)
    ]
    if missing:
        raise RuntimeError(
            f"numba_simulator was written for {WRITTEN_FOR}; numba-cuda {numba_cuda.__version__} "
            f"lacks {', '.join(missing)}: adapt install()"
        )
    simulator = Simulator()
    _install_intrinsics(simulator, kernelapi)
    _install_memory(simulator, kernelapi, devicearray)
    kernel.BlockManager = _block_manager(simulator, kernel, kernelapi)
    return simulator


def _install_intrinsics(simulator: Simulator, kernelapi: Any) -> None:
    module = kernelapi.FakeCUDAModule

    def warp_intrinsic(name: str) -> Callable[..., Any]:
        def call(self: Any, mask: int, value: Any = None, argument: int = 0) -> Any:
            return simulator.running().meet_lanes(name, mask, value, argument)

        return call

    def activemask(self: Any) -> int:
        me = simulator.running()
        return sum(1 << f.lane for f in me.block.fibers if f.warp == me.warp and not f.done)

    for name in (*SOURCE_LANE, *VOTE):
        setattr(module, name, warp_intrinsic(name))
    module.syncwarp = lambda self, mask=FULL_MASK: simulator.running().meet_lanes("syncwarp", mask)
    module.activemask = activemask
    kernelapi.GridGroup.sync = lambda self: simulator.running().park("grid.sync")
    # kernelapi asks its thread for indices and barriers; its locks are not needed but used.
    kernelapi.threading = SimpleNamespace(
        current_thread=simulator.running, Lock=kernelapi.threading.Lock
    )


def _install_memory(simulator: Simulator, kernelapi: Any, devicearray: Any) -> None:
    def as_dtype(dtype: Any) -> Any:
        is_numba = isinstance(dtype, kernelapi.types.Type)
        return kernelapi.numpy_support.as_dtype(dtype) if is_numba else np.dtype(dtype)

    def shared_array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> Any:
        dtype = as_dtype(dtype)
        if shape == 0:  # dynamic: every such array is the same memory
            count = self._dynshared_size // dtype.itemsize
            return np.frombuffer(self._dynshared.data, dtype, count).view(CheckedArray)
        line = users_line()
        if line not in self._allocations:
            self._allocations[line] = _poisoned(shape, dtype)
        return self._allocations[line]

    def local_array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> Any:
        return _poisoned(shape, as_dtype(dtype))

    kernelapi.FakeCUDAShared.array = shared_array
    kernelapi.FakeCUDALocal.array = local_array
    kernelapi.FakeCUDAModule.shared = property(lambda self: simulator.running().block.shared)

    array = devicearray.FakeWithinKernelCUDAArray
    get, put = array.__getitem__, array.__setitem__

    def checked_get(self: Any, index: Any) -> Any:
        _refuse_negative(index, self.shape)
        return get(self, index)

    def checked_put(self: Any, index: Any, value: Any) -> None:
        _refuse_negative(index, self.shape)
        put(self, index, value)

    array.__getitem__, array.__setitem__ = checked_get, checked_put


def _block_manager(simulator: Simulator, kernel: Any, kernelapi: Any) -> type:
    class BlockManager:
        """Numba makes one and calls run() for every block; the last call runs the whole grid."""

        def __init__(self, body: Any, grid_dim: Any, block_dim: Any, debug: bool) -> None:
            self.body, self.grid_dim, self.block_dim = body, grid_dim, block_dim

        def run(self, grid_point: Any, *args: Any) -> None:
            context = kernel._get_kernel_context()
            points = context.__dict__.setdefault("_nnseq_blocks", [])
            points.append(kernelapi.Dim3(*grid_point))
            if len(points) < int(np.prod(self.grid_dim)):
                return
            blocks = [Block(simulator, p, self.block_dim, self._shared(context)) for p in points]
            run_grid(simulator, blocks, lambda: self.body(*args))

        def _shared(self, context: Any) -> Any:
            shared = kernelapi.FakeCUDAShared(context._shared._dynshared_size)
            shared._dynshared[:] = -1  # 0xff in every byte
            return shared

    return BlockManager


class CheckedArray(np.ndarray):
    """Shared or local memory: an ndarray that refuses negative indices."""

    def __getitem__(self, index: Any) -> Any:
        _refuse_negative(index, self.shape)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _refuse_negative(index, self.shape)
        super().__setitem__(index, value)


def _refuse_negative(index: Any, shape: Iterable[int]) -> None:
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, int | np.integer) and part < 0 for part in parts):
        raise IndexError(f"negative index {index} into an array of shape {tuple(shape)}")


def _poisoned(shape: Any, dtype: Any) -> CheckedArray:
    count = int(np.prod(shape))
    return (
        np.full(count * dtype.itemsize, 0xFF, np.uint8)
        .view(dtype)
        .reshape(shape)
        .view(CheckedArray)
    )
