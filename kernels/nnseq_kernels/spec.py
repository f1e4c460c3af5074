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
C_TYPES = {"float32": "float", "float64": "double"}


class Launch(NamedTuple):
    """The shape of one launch, as CUDA wants it."""

    grid: tuple[int, ...]  # blocks
    block: tuple[int, ...]  # threads per block
    shared_bytes: int = 0  # dynamic shared memory per block


Role = Literal["in", "optional", "out", "optional_out", "scalar"]  # optional ones may be NULL


class Parameter(NamedTuple):
    """One parameter of a kernel."""

    name: str
    role: Role
    dtype: str  # NumPy's name: "float32", "uint8", "int32"
    axes: str = ""  # "T B 4H" is an array of shape (T, B, 4H), C-contiguous; "" is a scalar

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """Returns the array's shape; () for a scalar."""
        return tuple(length(axis, sizes) for axis in self.axes.split())


def length(axis: str, sizes: Sizes) -> int:
    """Returns the length of an axis: "H", "4H", "T+1", "3", or any name among the sizes."""
    if axis in sizes:
        return sizes[axis]
    if axis.isdigit():
        return int(axis)
    if axis.endswith("+1"):
        return sizes[axis.removesuffix("+1")] + 1
    return int(axis[:-1]) * sizes[axis[-1]]


@dataclass(frozen=True)
class Entry:
    """One kernel of a source: a template's instantiation."""

    name: str  # the C++ name expression: "indrnn_forward<float, RELU, false>"
    dtype: str  # of the instantiation: "float32" or "float64"
    parameters: tuple[Parameter, ...]  # in the order of the C++ signature


@dataclass(frozen=True)
class KernelSpec:
    """A CUDA source and all that is launched from it.

    `sources` are compiled as one text, in their order: what kernels share comes before them. (They
    do not #include each other, because CuPy's cache of compiled kernels would not see a change.)
    `launch(entry, sizes)` is a pure function. `examples` are the sizes every check runs at: 1, odd,
    around the warp and block size. `registers` bounds what the compiler may use per thread, by
    architecture ("90" is sm_90); no entry may spill.
    """

    name: str
    sources: tuple[Path, ...]  # the last is the op's own
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


def joined(sources: tuple[Path, ...]) -> str:
    """Returns the text of a source to compile; messages about it name the files and their lines."""
    return "\n".join(
        f'#line 1 "{path.name}"\n{path.read_text(encoding="utf-8")}' for path in sources
    )
