"""The description of a CUDA source: its entries, their parameters and their launches.

A spec says everything that is needed to compile, allocate, launch and check a kernel, in plain
data and pure functions, without CUDA. The GPU path (`launcher.py`) and the checks that run the
same source without a GPU read the same spec, so what is tested is what is launched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Sizes = Mapping[str, int]  # axis letter -> length: {"T": 5, "B": 3, "H": 33}


class Launch(NamedTuple):
    """The shape of one launch, as CUDA wants it."""

    grid: tuple[int, ...]  # blocks
    block: tuple[int, ...]  # threads per block
    shared_bytes: int = 0  # dynamic shared memory per block


class Parameter(NamedTuple):
    """One parameter of a kernel."""

    name: str
    role: Literal["in", "optional", "out", "scalar"]  # "optional": an input that may be NULL
    dtype: str  # NumPy's name: "float32", "uint8", "int32"
    axes: str = ""  # "TBH" is an array of shape (T, B, H), C-contiguous; "" is a scalar


@dataclass(frozen=True)
class Entry:
    """One kernel of a source: a template's instantiation."""

    name: str  # the C++ name expression: "indrnn_forward<float, RELU, false>"
    dtype: str  # of the instantiation: "float32" or "float64"
    parameters: tuple[Parameter, ...]  # in the order of the C++ signature


@dataclass(frozen=True)
class KernelSpec:
    """A CUDA source and all that is launched from it.

    `launch(entry, sizes)` is a pure function. `examples` are the sizes every check runs at: 1, odd,
    around the warp and block size. `registers` bounds what the compiler may use per thread, by
    architecture ("90" is sm_90); no entry may spill.
    """

    name: str
    source: Path
    entries: tuple[Entry, ...]
    launch: Callable[[Entry, Sizes], Launch]
    examples: tuple[Sizes, ...]
    reference: str  # dotted name of the module with the reference; never imported from here
    host: str  # dotted name of the module with `forward_on(launcher, ...)`, `backward_on(...)`
    registers: Mapping[str, int]
    options: tuple[str, ...] = ("-std=c++17",)  # compiler options besides CuPy's own

    def entry(self, name: str) -> Entry:
        """Returns the entry with this name expression.

        Raises:
            KeyError: there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.entries)
        raise KeyError(f"{self.name}: no kernel {name!r}; there are {known}")
