"""cusim: CUDA C++ kernels on the CPU, from the very .cu file that CuPy compiles for the GPU.

`Module(path).get_function(name)(grid, block, args)` runs a kernel on NumPy arrays, one fiber per
CUDA thread, always with the same result. What a GPU leaves undefined is an error here: a divergent
barrier, a shuffle from a lane that has returned, an argument of the wrong width, uninitialised
shared memory. Under AddressSanitizer and ThreadSanitizer (see sanitizer.py) also an index out of
bounds and a race.

Never settled here: speed, a missing __threadfence, the accuracy of fast intrinsics, tensor cores.
"""

from .build import MODES, CompileError
from .kernel import ORDERS, Kernel, LaunchError, Module

__all__ = ["MODES", "ORDERS", "CompileError", "Kernel", "LaunchError", "Module"]
