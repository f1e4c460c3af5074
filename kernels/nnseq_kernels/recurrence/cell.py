"""How a recurrent cell on CUDA is described: its kernels, its products, what they read and write.

A step is a list of stages: pointwise kernels by name, and products between them. The time loop
(cuda_loop.py) runs the stages of forward for t = 0 ... T-1 and those of backward for t = T-1 ... 0,
with CuPy's kernels or Numba's. An array is known by one name everywhere: in the stages, as the
parameter of the kernels, as the input of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nnseq_kernels.spec import C_TYPES, Entry, KernelSpec, Launch, Parameter, Role, Sizes

BLOCK = 128  # threads of a block; pointwise.cuh has the same number
MAX_COLUMNS = 2**30  # the kernels count the columns of a step in 32-bit integers
WEIGHTS = ("z_h", "z_c", "d_i")  # inputs (T | 1, B | 1, H) without a gradient
NUMBERS = ("forget_bias", "cell_clip")  # options of the arrays' dtype; the others are int32
AXES = {  # of arrays that mean the same in every cell
    **dict.fromkeys(("h", "c"), "T+1 B H"),  # row 0 is the initial state
    **{name: f"{name}.T {name}.B H" for name in WEIGHTS},
    "mask": "T B",
    **dict.fromkeys(("dh", "dc"), "T B H"),
    **dict.fromkeys(("dh_T", "dc_T", "dh_rec", "dh_carry", "dc_carry"), "B H"),
}
EXAMPLES: tuple[Sizes, ...] = (
    {"T": 1, "B": 1, "H": 1},
    {"T": 3, "B": 2, "H": 5},
    {"T": 1, "B": 3, "H": 43},  # 129 columns: just above one block
)


class Product(NamedTuple):
    """A product of one step: out = x W, or x Wᵀ. Of an array over all steps x is the row t."""

    x: str
    W: str  # one of the cell's blocks of W_hh
    out: str
    transposed: bool = False


class WeightGradient(NamedTuple):
    """A product after the loop, over all steps at once: dW = Σ_t x_tᵀ dq_t."""

    W: str  # one of the cell's blocks of W_hh
    x: str  # (T | T+1, B, H), of which the first T rows count
    dq: str  # (T, B, ·)


class ColumnSum(NamedTuple):
    """The gradient of a parameter added to every row: the sums of the columns of an array."""

    argument: str
    of: str  # (T, B, ·) or (B, ·)
    first: int  # in blocks of H columns; as many columns follow as the argument has entries


Stage = str | Product


@dataclass(frozen=True)
class Cell:
    """A recurrent cell.

    `enter(xp, inputs)` returns the a that the kernels read, where that is not the input a;
    `leave(xp, inputs, da)` takes its gradient apart: input name -> gradient.
    `on_demand` names arrays that kernels write only where an input is given: array -> input.
    """

    spec: KernelSpec
    arguments: tuple[str, ...]  # forward's arrays in their order
    blocks: Mapping[str, tuple[int, int]]  # name -> first and last+1 block of H columns of W_hh
    forward: tuple[Stage, ...]
    backward: tuple[Stage, ...]
    kept: tuple[str, ...]  # what backward needs of the arrays that forward's kernels write
    da: tuple[str, ...]  # arrays that make up the gradient of a, side by side
    weight_gradients: tuple[WeightGradient, ...]
    states: tuple[str, ...] = ("h",)
    column_sums: tuple[ColumnSum, ...] = ()
    on_demand: Mapping[str, str] = field(default_factory=dict)
    enter: Callable[[Any, Mapping[str, Any]], Any] | None = None
    leave: Callable[[Any, Mapping[str, Any], Any], dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """The op's name."""
        return self.spec.name


class Kernel(NamedTuple):
    """The parameters of a kernel by name, in the order of its signature.

    "?" marks a pointer that may be NULL. What a kernel writes it may also read.
    """

    reads: str
    writes: str
    scalars: str


def spec(
    launch_file: str, kernels: Mapping[str, Kernel], axes: Mapping[str, str], registers: int
) -> KernelSpec:
    """Returns the spec of the .cu beside a cell's launch.py.

    Args:
        launch_file: __file__ there.
        kernels: by name.
        axes: of the arrays that are not in AXES.
        registers: at most these per thread.
    """
    folder = Path(launch_file).parent
    name = folder.name
    entries = tuple(
        Entry(f"{stem}<{c_type}>", dtype, tuple(_parameters(kernel, {**AXES, **axes}, dtype)))
        for stem, kernel in kernels.items()
        for dtype, c_type in C_TYPES.items()
    )

    def launch(entry: Entry, sizes: Sizes) -> Launch:
        for axis in "TBH":
            if not 0 < sizes[axis] <= MAX_COLUMNS:
                raise ValueError(
                    f"{name}: {axis} = {sizes[axis]}, expected 1 to {MAX_COLUMNS}; "
                    "return early for empty inputs, split longer ones"
                )
        columns = sizes["B"] * sizes["H"]
        if columns > MAX_COLUMNS:
            raise ValueError(f"{name}: B H = {columns}, expected at most {MAX_COLUMNS}")
        return Launch(grid=(-(-columns // BLOCK),), block=(BLOCK,))

    return KernelSpec(
        name=name,
        sources=(Path(__file__).with_name("pointwise.cuh"), folder / f"{name}.cu"),
        entries=entries,
        launch=launch,
        examples=EXAMPLES,
        reference=f"nnseq.cells.{name}",
        host=f"nnseq_kernels.{name}.cupy_raw",
        registers=dict.fromkeys(("80", "90", "100"), registers),
    )


def _parameters(kernel: Kernel, axes: Mapping[str, str], dtype: str) -> Iterator[Parameter]:
    """Yields the parameters of one instantiation."""
    roles: tuple[tuple[str, Role, Role], ...] = (
        (kernel.reads, "in", "optional"),
        (kernel.writes, "out", "optional_out"),
    )
    for names, needed, optional in roles:
        for word in names.split():
            name = word.removesuffix("?")
            role = optional if word.endswith("?") else needed
            yield Parameter(name, role, "uint8" if name == "mask" else dtype, axes[name])
    for name in kernel.scalars.split():
        yield Parameter(name, "scalar", dtype if name in NUMBERS else "int32")
