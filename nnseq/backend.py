"""Where arrays live and which implementation of a fused op runs.

The only module of nnseq that knows kernels exist: it finds them by name, at call time, so that
`import nnseq` touches neither numba nor CUDA, and deleting kernels/ leaves everything working.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a numpy.ndarray or a cupy.ndarray; the module is array_module(x)

KERNELS = {"numba": "numba_cpu", "cupy": "cupy_raw", "numba_cuda": "numba_cuda"}
PREFERENCE = {"cpu": ("numba", "reference"), "cuda": ("cupy", "numba_cuda", "reference")}
CHOICES = ("auto", "reference", *KERNELS)
# Ops between cells that have no kernel for CUDA. Their reference runs there, also where a kernel is
# forced: else no network that they are part of could run with the CUDA kernels of its cells.
CPU_ONLY = ("batch_norm", "products")


class Implementation(NamedTuple):
    """One way to run a fused op: its name and its two functions."""

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]


class DeviceError(RuntimeError):
    """A device or a kernel was asked for that cannot run here."""


def array_module(x: Array) -> ModuleType:
    """Return numpy or cupy, whichever x belongs to.

    Raises:
        TypeError: x is neither a NumPy nor a CuPy array.
    """
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    if type(x).__module__.partition(".")[0] == "cupy":
        return sys.modules["cupy"]
    raise TypeError(f"array_module: got {type(x).__name__}, expected a numpy or cupy array")


def device_of(x: Array) -> str:
    """Return "cpu" or "cuda"."""
    return "cpu" if array_module(x) is np else "cuda"


def device_module(device: str) -> ModuleType:
    """Return numpy for "cpu" and cupy for "cuda".

    Raises:
        ValueError: device is neither "cpu" nor "cuda".
        DeviceError: "cuda", and CuPy is not installed or sees no GPU.
    """
    if device == "cpu":
        return np
    if device != "cuda":
        raise ValueError(f"device: got {device!r}, expected 'cpu' or 'cuda'")
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed: pip install 'nnseq[cuda13]', "
            "or use device 'cpu'"
        ) from error
    if not cupy.cuda.is_available():
        raise DeviceError(
            "device 'cuda': CuPy finds no usable NVIDIA GPU or driver; "
            "check nvidia-smi, or use device 'cpu'"
        )
    return cupy


def to_device(x: Array, device: str) -> Array:
    """Return x on "cpu" or "cuda": x itself where it already is there, else a copy.

    Raises:
        ValueError, DeviceError: as device_module.
    """
    xp = device_module(device)
    if device == "cpu":
        return x if isinstance(x, np.ndarray) else x.get()
    return xp.asarray(x)


# ---- which implementation runs -----------------------------------------------------------------

_forced = os.environ.get("NNSEQ_KERNELS", "auto")
_ran: dict[str, str] = {}


class use_kernels:  # noqa: N801  (read as a verb, as a function or in a with statement)
    """Force one implementation of every fused op: `use_kernels("reference")`.

    As a statement it holds until the next call; as a context manager, inside the block.
    A forced implementation that cannot run raises DeviceError at the call that needs it; an op of
    CPU_ONLY runs its reference on CUDA.

    Args:
        name: "auto", "reference", "numba", "cupy" or "numba_cuda".

    Raises:
        ValueError: another name.
    """

    def __init__(self, name: str) -> None:
        global _forced
        _check_choice("use_kernels", name)
        self.previous, _forced = _forced, name

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _forced
        _forced = self.previous


def forced_kernels() -> str:
    """Return the name last given to use_kernels, or NNSEQ_KERNELS, or "auto"."""
    return _forced


def kernels_for(op: str, array: Array, reference: Implementation) -> Implementation:
    """Choose the implementation of op for the device that array is on.

    Raises:
        DeviceError: the forced implementation does not exist for this op, cannot be imported, or
            runs on the other device.
    """
    _check_choice("NNSEQ_KERNELS", _forced)
    device = device_of(array)
    names = PREFERENCE[device] if _forced == "auto" else (_forced,)
    if device == "cuda" and op in CPU_ONLY and _forced in ("auto", *PREFERENCE[device]):
        names = ("reference",)
    for name in names:
        if name == "reference":
            chosen: Implementation | None = reference
        elif name not in PREFERENCE[device]:
            raise DeviceError(
                f"{op}: kernels {name!r} cannot take an array on {device!r}, which runs "
                f"{', '.join(PREFERENCE[device])}; move the array, or use_kernels('auto')"
            )
        else:
            chosen = _kernel(op, name, required=_forced != "auto")
        if chosen is not None:
            _ran[op] = chosen.name
            return chosen
    raise AssertionError(f"{op}: no implementation for {device}")


def report() -> dict[str, str]:
    """Return, for every fused op that has run in this process, the implementation that ran last."""
    return dict(_ran)


def clear_report() -> None:
    """Let `report` speak of what runs from now on, as where one process trains several models."""
    _ran.clear()


def _check_choice(who: str, name: str) -> None:
    if name not in CHOICES:
        raise ValueError(f"{who}: got {name!r}, expected one of {', '.join(CHOICES)}")


def _kernel(op: str, name: str, required: bool) -> Implementation | None:
    """Import nnseq_kernels.<op>.<file>; None where the op has no such kernel."""
    module = f"nnseq_kernels.{op}.{KERNELS[name]}"
    try:
        kernel = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if required and error.name in (module, module.rpartition(".")[0]):
            raise DeviceError(
                f"{op}: has no {name!r} kernels; use_kernels('auto') or use_kernels('reference')"
            ) from error
        if required:
            raise DeviceError(
                f"{op}: kernels {name!r} cannot run, because {error.name!r} is not installed; "
                f"install it, or use_kernels('auto')"
            ) from error
        if error.name == "nnseq_kernels":
            warnings.warn(
                f"{op}: the package nnseq_kernels is not importable, so the slow reference runs; "
                "install nnseq, or put kernels/ on PYTHONPATH",
                RuntimeWarning,
                stacklevel=4,
            )
        elif error.name is None or not module.startswith(error.name):
            raise  # the kernel exists, and something that it needs is missing: say so
        return None
    backward = getattr(kernel, "backward", kernel.forward)  # a product's are products again
    return Implementation(name, kernel.forward, backward)
