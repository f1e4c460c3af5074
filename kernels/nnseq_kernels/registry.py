"""Every CUDA source of nnseq, for the checks and benchmarks that go through all of them.

`KERNELS` holds one `KernelSpec` (see `spec.py`) per .cu file: adding a kernel is adding its `SPEC`,
written in the cell's `launch.py`, to this list, and tests on every rung then include it.
`NUMBA_CUDA` names the modules with Numba-CUDA kernels; `instances()` of each yields them as
(name, kernel, signature). They are names because importing one imports Numba's CUDA side.
"""

from __future__ import annotations

from nnseq_kernels.indrnn.launch import SPEC as INDRNN
from nnseq_kernels.spec import KernelSpec

KERNELS: tuple[KernelSpec, ...] = (INDRNN,)

NUMBA_CUDA: tuple[str, ...] = ("nnseq_kernels.indrnn.numba_cuda",)
