"""Rung 2 for Numba: completes Numba's CUDA simulator, in a process with NUMBA_ENABLE_CUDASIM=1.

The simulator that comes with numba-cuda runs one OS thread per CUDA thread, has no warp
intrinsics, gives wrong values for a grid barrier over several blocks, and accepts divergent
barriers in silence. `install()` replaces its threads by fibers (greenlets) that run in a chosen
order, and adds

- shuffles, votes, syncwarp, and grid barriers over any number of blocks;
- errors, with the line, for divergent barriers, missing lanes, deadlocks and negative indices
  (Numba wraps those as Python does; in a kernel of ours one is an index out of bounds);
- per block, shared memory filled with 0xff (NaN), and the same for local arrays.

NumPy's rules for dtypes hold here, not Numba's: what does not type-check on a GPU may pass, so
numba_ptx.py compiles the same kernels. A kernel's module must call numba.cuda `cuda`, may declare
one shared array per line, and must not spin on memory that another thread writes.
"""

from .fibers import ORDERS, Simulator, SimulatorError
from .install import install

__all__ = ["ORDERS", "Simulator", "SimulatorError", "install"]
