"""The time loop of the recurrent cells on CUDA, written once: what cells supply is in cell.py.

    for every t:                        q = h_{t-1} W              one or more products      (1)
                                        h_t, ... = step(a_t, q)    one launch per product    (2)
    backward, from the last t:          dq_t, ... = undo(dh_t)     one launch per product    (3)
                                        dh_{t-1} gets dq_t Wᵀ      one or more products      (4)
    after the loop:                     dW = Σ_t h_{t-1}ᵀ dq_t     one product per block     (5)

States lie in arrays (T+1, B, H) whose row 0 is the initial state: the first T rows are all h_{t-1},
and (5) needs no copy. Padding, zoneout and the like are in the kernels. All this is the same for
CuPy's kernels and Numba's: what is called a launcher here has `xp`, `bind`, `product` and
`sequence`, see nnseq_kernels/launcher.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nnseq_kernels.recurrence.cell import WEIGHTS, Cell, Product, Stage
from nnseq_kernels.spec import C_TYPES, Parameter, Sizes

Array = Any  # a cupy.ndarray; in the tests also a numpy.ndarray
Arrays = Mapping[str, Array]
Launcher = Any


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    arrays: dict[str, Array]  # by name: states, what the kernels kept, the inputs but a
    options: dict[str, float]


def forward_on(
    launcher: Launcher, cell: Cell, inputs: tuple[Array | None, ...], **options: float
) -> tuple[tuple[Array, ...], Saved]:
    """Runs a cell over a sequence.

    Args:
        launcher: launches its kernels.
        cell: its description.
        inputs: in the order of `cell.arguments`; None where one is missing.
        options: the cell's options, as the numbers that its kernels take.

    Returns:
        All values of each state, then the last of each; and what backward needs.

    Raises:
        TypeError: an input is no array of launcher.xp, or has another dtype.
        ValueError: a shape that does not fit.
    """
    xp = launcher.xp
    given = {n: x for n, x in zip(cell.arguments, inputs, strict=True) if x is not None}
    sizes, dtype = _sizes(xp, cell, given)
    if _is_empty(sizes):
        states = {s: xp.empty((sizes["T"], *given[f"{s}0"].shape), dtype) for s in cell.states}
        last = [xp.array(given[f"{s}0"], order="C") for s in cell.states]
        return (*states.values(), *last), Saved(given | states, options)
    a = given["a"] if cell.enter is None else cell.enter(xp, given)
    found = _run(launcher, cell, cell.forward, sizes, dtype, given | {"a": a}, options)
    states = {s: found[s][1:].copy() for s in cell.states}
    last = [found[s][-1].copy() for s in cell.states]
    kept = {n: found[n].copy() for n in cell.kept if found[n] is not None}
    read = {n: x for n, x in given.items() if n != "a"}
    return (*states.values(), *last), Saved(read | states | kept, options)


def backward_on(
    launcher: Launcher, cell: Cell, saved: Saved, doutputs: tuple[Array | None, ...]
) -> tuple[Array | None, ...]:
    """Returns one gradient per input, in the order of `cell.arguments`; any doutput may be None."""
    xp, arrays = launcher.xp, saved.arrays
    names = [f"d{s}{end}" for end in ("", "_T") for s in cell.states]
    upstream = {n: x for n, x in zip(names, doutputs, strict=True) if x is not None}
    sizes, dtype = _sizes(xp, cell, arrays | upstream)
    if _is_empty(sizes):
        return _of_no_steps(xp, cell, arrays, upstream)
    found = _run(launcher, cell, cell.backward, sizes, dtype, arrays | upstream, saved.options)
    gradients = {
        "a": _side_by_side(xp, [found[name] for name in cell.da]),
        "W_hh": _side_by_side(xp, [found[f"d{block}"] for block in cell.blocks]),
    }
    for s in cell.states:
        carry, rec = found[f"d{s}_carry"], found.get(f"d{s}_rec")
        gradients[f"{s}0"] = carry.copy() if rec is None else carry + rec  # (4) of step 0
    for total in cell.column_sums:
        if total.argument in arrays:
            like, start = arrays[total.argument], total.first * sizes["H"]
            columns = found[f"d{total.argument}"][0, start : start + like.size]
            gradients[total.argument] = columns.reshape(like.shape).copy()
    if cell.leave is not None:
        gradients |= cell.leave(xp, arrays, gradients["a"])
    return tuple(gradients.get(name) for name in cell.arguments)


def _run(
    launcher: Launcher, cell: Cell, stages: tuple[Stage, ...], sizes: Sizes, dtype: str,
    inputs: Arrays, options: Mapping[str, float],
) -> Mapping[str, Array]:  # fmt: skip
    """Runs one direction; returns its arrays, to copy from: the next call writes them again."""
    names = frozenset(inputs)
    key = (cell.name, stages, dtype, *sorted(sizes.items()), names, *options.items())
    made, run = launcher.sequence(
        key, lambda: CellSequence(launcher, cell, stages, sizes, dtype, names, options)
    )
    made.fill(inputs)
    run()
    found: Mapping[str, Array] = made.arrays
    return found


class CellSequence:
    """One direction of a cell at fixed sizes and options: its arrays and its launches.

    Args:
        launcher, cell: as for forward_on.
        stages: cell.forward or cell.backward.
        sizes: T, B, H, and the lengths of the weights' axes, "z_h.T".
        dtype: of the arrays.
        names: of the inputs that there are.
        options: as for forward_on.
    """

    def __init__(
        self, launcher: Launcher, cell: Cell, stages: tuple[Stage, ...], sizes: Sizes, dtype: str,
        names: frozenset[str], options: Mapping[str, float],
    ) -> None:  # fmt: skip
        self.launcher, self.cell, self.sizes, self.dtype = launcher, cell, sizes, dtype
        self.is_backward = stages == cell.backward
        parameters = _parameters(cell, stages, dtype)
        self.arrays = self._empty(parameters, names)
        scalars = {
            name: np.dtype(parameters[name].dtype).type(number)
            for name, number in options.items()
            if name in parameters
        }
        values = {**self.arrays, **scalars, **_memory_steps(sizes)}
        self.stages = [
            self._product(stage)
            if isinstance(stage, Product)
            else launcher.bind(cell.spec, stage, dtype, sizes, values)
            for stage in stages
        ]
        self.sums = self._sums(names) if self.is_backward else []

    def fill(self, inputs: Arrays) -> None:
        """Copies the inputs to where the launches read them.

        Raises:
            ValueError, TypeError: an input has another shape or dtype than the launches expect.
        """
        H, states = self.sizes["H"], self.cell.states
        for name, x in inputs.items():
            if name == "W_hh":
                width = max(end for _, end in self.cell.blocks.values())
                self._check(name, x, (H, width * H), self.dtype)
                for block, (first, end) in self.cell.blocks.items():
                    self.arrays[block][...] = x[:, first * H : end * H]
                continue
            if name in states:
                place = self.arrays[name][1:]
            elif name.removesuffix("0") in states:
                place = self.arrays[name.removesuffix("0")][0]
            else:
                place = self.arrays.get(name)
            if place is not None:  # else this direction does not read it
                self._check(name, x, place.shape, "bool" if name == "mask" else self.dtype)
                place[...] = x

    def run(self) -> None:
        """Launches all steps."""
        T = self.sizes["T"]
        for t in reversed(range(T)) if self.is_backward else range(T):
            for stage in self.stages:
                stage(t)
        for add_up in self.sums:
            add_up()

    def _empty(self, parameters: Mapping[str, Parameter], names: frozenset[str]) -> dict[str, Any]:
        """Makes the kernels' arrays, None for those that are missing, and the blocks of W_hh."""
        xp, H, on_demand = self.launcher.xp, self.sizes["H"], self.cell.on_demand
        arrays: dict[str, Any] = {}
        for p in parameters.values():
            if p.role in ("in", "out") or on_demand.get(p.name, p.name) in names:
                arrays[p.name] = xp.empty(p.shape(self.sizes), p.dtype)
            elif p.role != "scalar":
                arrays[p.name] = None
        for block, (first, end) in self.cell.blocks.items():
            arrays[block] = xp.empty((H, (end - first) * H), self.dtype)
        return arrays

    def _product(self, product: Product) -> Callable[[int], None]:
        """Returns what does (1) or (4) at step t."""
        x, W, out = (self.arrays[name] for name in (product.x, product.W, product.out))
        W = W.T if product.transposed else W

        def multiply(t: int) -> None:
            self.launcher.product(x if x.ndim == 2 else x[t], W, out)

        return multiply

    def _sums(self, names: frozenset[str]) -> list[Callable[[], None]]:
        """Returns what is done after the loop: (5), and sums over the rows as products with ones.

        Such a product adds in a fixed order, so that two runs give the same bits.
        """
        xp, T, product = self.launcher.xp, self.sizes["T"], self.launcher.product
        sums: list[Callable[[], None]] = []
        for W, x_name, dq_name in self.cell.weight_gradients:
            x, dq = (_rows(self.arrays[name][:T]) for name in (x_name, dq_name))
            dW = self.arrays[f"d{W}"] = xp.empty((x.shape[1], dq.shape[1]), self.dtype)
            sums.append(partial(product, x.T, dq, dW))
        for argument, of, _ in self.cell.column_sums:
            if argument in names:
                rows = _rows(self.arrays[of])
                ones = xp.ones((1, rows.shape[0]), self.dtype)
                out = self.arrays[f"d{argument}"] = xp.empty((1, rows.shape[1]), self.dtype)
                sums.append(partial(product, ones, rows, out))
        return sums

    def _check(self, name: str, x: Array, shape: tuple[int, ...], dtype: str) -> None:
        if x.shape != shape:
            raise ValueError(f"{self.cell.name}: {name} has shape {x.shape}, expected {shape}")
        if x.dtype != dtype:
            raise TypeError(f"{self.cell.name}: {name} has dtype {x.dtype}, expected {dtype}")


def _parameters(cell: Cell, stages: tuple[Stage, ...], dtype: str) -> dict[str, Parameter]:
    """Returns the parameters of all kernels among the stages, by name."""
    kernels = [stage for stage in stages if isinstance(stage, str)]
    entries = [cell.spec.entry(f"{kernel}<{C_TYPES[dtype]}>") for kernel in kernels]
    return {p.name: p for entry in entries for p in entry.parameters}


def _sizes(xp: Any, cell: Cell, arrays: Arrays) -> tuple[dict[str, int], str]:
    """Returns T, B, H and the lengths of the weights' axes; and the dtype of all arrays."""
    for name, x in arrays.items():
        if not isinstance(x, xp.ndarray):
            raise TypeError(
                f"{cell.name}: {name} is a {type(x).__module__}.{type(x).__name__}, expected "
                f"{xp.__name__}.ndarray; move it with nnseq.backend.to_device first"
            )
    steps, h0 = arrays["a" if "a" in arrays else "h"], arrays["h0"]
    if steps.ndim != 3 or h0.ndim != 2:
        raise ValueError(
            f"{cell.name}: a has shape {steps.shape} and h0 {h0.shape}, expected (T, B, ...) "
            "and (B, H)"
        )
    if str(h0.dtype) not in C_TYPES:
        raise TypeError(f"{cell.name}: h0 has dtype {h0.dtype}, expected float32 or float64")
    sizes = {"T": steps.shape[0], "B": h0.shape[0], "H": h0.shape[1]}
    for name in WEIGHTS:
        if name in arrays:
            w = arrays[name]
            if (
                w.ndim != 3
                or w.shape[0] not in (1, sizes["T"])
                or w.shape[1] not in (1, h0.shape[0])
            ):
                raise ValueError(
                    f"{cell.name}: {name} has shape {w.shape}, expected (T | 1, B | 1, H) with "
                    f"T = {sizes['T']} and (B, H) = {h0.shape}"
                )
            sizes |= {f"{name}.T": w.shape[0], f"{name}.B": w.shape[1]}
    return sizes, str(h0.dtype)


def _memory_steps(sizes: Sizes) -> dict[str, np.int32]:
    """Returns how far each weight goes in memory from t to t+1, and from b to b+1: 0 along a 1."""
    found = {}
    for name in WEIGHTS:
        T, B = (sizes.get(f"{name}.{axis}", 1) for axis in "TB")
        found[f"{name}_t"] = np.int32(0 if T == 1 else B * sizes["H"])
        found[f"{name}_b"] = np.int32(0 if B == 1 else sizes["H"])
    return found


def _is_empty(sizes: Sizes) -> bool:
    return 0 in (sizes["T"], sizes["B"], sizes["H"])


def _of_no_steps(xp: Any, cell: Cell, arrays: Arrays, upstream: Arrays) -> tuple[Any, ...]:
    """Returns the gradients where there is nothing to run: a last state is the initial one."""
    gradients = {
        name: xp.zeros_like(arrays[name])
        for name in cell.arguments
        if name in arrays and name not in (*WEIGHTS, "mask")
    }
    for s in cell.states:
        if f"d{s}_T" in upstream:
            gradients[f"{s}0"] = xp.array(upstream[f"d{s}_T"], order="C")
    return tuple(gradients.get(name) for name in cell.arguments)


def _side_by_side(xp: Any, arrays: list[Array]) -> Array:
    """Returns a copy of the arrays in one, along the last axis."""
    return arrays[0].copy() if len(arrays) == 1 else xp.concatenate(arrays, axis=-1)


def _rows(x: Array) -> Array:
    """Returns (T, B, K) as (T B, K), without a copy."""
    return x.reshape(-1, x.shape[-1])
