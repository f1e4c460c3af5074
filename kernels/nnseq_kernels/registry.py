"""Every CUDA source of nnseq, for the checks and benchmarks that go through all of them.

`KERNELS` holds one `KernelSpec` (see `spec.py`) per .cu file: adding a kernel is adding its `SPEC`,
written in the cell's `launch.py`, to this list, and tests on every rung then include it.
`NUMBA_CUDA` names the modules with Numba-CUDA kernels; `instances()` of each yields them as
(name, kernel, signature). They are names because importing one imports Numba's CUDA side.
"""

from __future__ import annotations

from nnseq_kernels.elman.launch import SPEC as ELMAN
from nnseq_kernels.gru.launch import SPEC as GRU
from nnseq_kernels.gru_before.launch import SPEC as GRU_BEFORE
from nnseq_kernels.indrnn.launch import SPEC as INDRNN
from nnseq_kernels.lstm.launch import SPEC as LSTM
from nnseq_kernels.mut1.launch import SPEC as MUT1
from nnseq_kernels.mut2.launch import SPEC as MUT2
from nnseq_kernels.mut3.launch import SPEC as MUT3
from nnseq_kernels.spec import KernelSpec

KERNELS: tuple[KernelSpec, ...] = (INDRNN, ELMAN, LSTM, GRU, GRU_BEFORE, MUT1, MUT2, MUT3)

NUMBA_CUDA: tuple[str, ...] = tuple(f"nnseq_kernels.{spec.name}.numba_cuda" for spec in KERNELS)
