"""The same number of CPU threads for everybody in the process.

Numba and BLAS (one threadpoolctl controller): at run time, through nnseq.machine. PyTorch:
torch.set_num_threads; its loop is serial between ops, so torch.set_num_interop_threads does not
matter. XLA has no call for it: its pool has as many threads as NPROC says when JAX starts, and
the CPUs of the process's affinity mask bound everybody, the kernel's own threads included.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nnseq.machine import limited_threads, usable_cpus


def before_imports(count: int) -> None:
    """Set what a library reads once, when it is loaded.

    Raises:
        ValueError: more threads than this process has CPUs, or none.
    """
    if not 1 <= count <= usable_cpus():
        raise ValueError(
            f"--threads: {count} came, expected 1 to {usable_cpus()}, the CPUs usable here"
        )
    os.environ["NPROC"] = str(count)


@contextmanager
def pinned(count: int) -> Iterator[dict[str, str]]:
    """Inside the block every loaded library uses this many threads.

    Yields:
        library -> how it was told; load the libraries first.
    """
    how = {"numba": "numba.set_num_threads", "BLAS": "threadpoolctl"}
    with limited_threads(count):
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(count)
            how["torch"] = "torch.set_num_threads"
        if "jax" in sys.modules:
            how["jax"] = "NPROC, read by XLA at its start; threads of Eigen inside it alike"
        yield how
