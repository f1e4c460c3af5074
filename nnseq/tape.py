"""The tape: an Op computes and remembers; the backward pass walks the Ops from last to first.

An Op computes its outputs in `forward` and, directly below, one gradient per input in `backward`.
Both are written with plain operators, so the same lines serve arrays (first derivatives) and
Tensors (`create_graph=True`: the backward pass is itself recorded).

The graph has no reference cycles: a Tensor points to the Op that made it, an Op to the slots of
its inputs, nothing points forward. A slot is a place where a gradient accumulates: a leaf Tensor,
or (op, k), the k-th output of an Op.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Union, cast

import numpy as np

from nnseq.backend import Array, array_module

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MANY_ROWS = 1024  # below, adding row by row loses less than 1e-6 in float32
Slot = Union["Node", "tuple[Op, int]"]

_recording: ContextVar[bool] = ContextVar("nnseq_recording", default=True)
_numbers = itertools.count()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside the block nothing is recorded: results have requires_grad=False."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


@contextmanager
def enable_grad() -> Iterator[None]:
    """Inside the block results are recorded again, although no_grad() holds around it."""
    token = _recording.set(True)
    try:
        yield
    finally:
        _recording.reset(token)


class Node:
    """What the tape needs to know of a Tensor: its array, and the slot of its gradient."""

    __slots__ = ("__weakref__", "data", "index", "op", "requires_grad")

    data: Array
    op: Op | None
    index: int
    requires_grad: bool

    @property
    def slot(self) -> Slot:
        """Where this tensor's gradient accumulates."""
        return self if self.op is None else (self.op, self.index)


class Op:
    """One recorded operation.

    A subclass defines forward(self, *arrays, **options) -> an array or a tuple of arrays, and
    backward(self, *doutputs) -> one gradient per input, in input order (None for integers and
    masks). A gradient may have the broadcast shape: the engine sums it back. What backward needs
    is given to `self.save` in forward: inputs, outputs, and arrays that are piecewise constant in
    the inputs, nothing else, because under create_graph an input or output comes back as the
    Tensor on the tape and anything else as a constant.
    """

    # Tensor sets it: Ops make Tensors, Tensors' operators apply Ops; here the circle closes.
    tensor: ClassVar[Any]

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    is_arithmetic: ClassVar[bool] = False  # integers and booleans take the dtype of the floats
    takes_none: ClassVar[bool] = False  # backward gets None, not zeros, for an unused output

    name = ""  # for messages; made from the class's name unless set
    inexact = ""  # why backward is not the derivative, on purpose; gradcheck refuses then
    edges: tuple[Slot | None, ...] = ()  # per input, where its gradient goes; None: nowhere
    needs: tuple[bool, ...] = ()  # per input: does this backward pass want its gradient?
    _saved: tuple[tuple[Any, Node | int | None], ...] | None = ()
    _create_graph = False

    def __init_subclass__(cls) -> None:
        if "name" not in cls.__dict__:
            cls.name = re.sub("(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Any:
        """Run forward and, if an input requires a gradient, record the op.

        Plain arrays in, plain arrays out.

        Raises:
            TypeError: float32 and float64 meet, or an operand is no Tensor, array or real number.
        """
        return cls().run(*inputs, **options)

    def run(self, *inputs: Any, **options: Any) -> Any:
        """As apply, on an op object that was made before; an object runs once."""
        arrays = self._operands([x.data if isinstance(x, Node) else x for x in inputs])
        self._tell_apart(arrays, inputs)
        try:
            outputs = self.forward(*arrays, **options)
        except ValueError as error:  # of NumPy or CuPy: shapes that do not broadcast
            if not self.is_arithmetic:
                raise
            raise ValueError(f"{self.name}: {str(error).rstrip()}") from error
        tensors = [x for x in inputs if isinstance(x, Node)]
        if not tensors:
            return outputs
        ys = outputs if isinstance(outputs, tuple) else (outputs,)
        results = tuple(self.tensor(y) for y in ys)
        if _recording.get() and any(x.requires_grad for x in tensors):
            self._record(inputs, arrays, ys, results)
        return results if isinstance(outputs, tuple) else results[0]

    def _operands(self, arrays: list[Any]) -> list[Any]:
        """Refuse mixed float dtypes; bring integers, booleans and NumPy scalars along."""
        floats = {a.dtype for a in arrays if isinstance(a, _arrays()) and a.dtype.kind == "f"}
        if len(floats) > 1:
            raise TypeError(
                f"{self.name}: the operands are {' and '.join(sorted(map(str, floats)))}, "
                f"expected one float dtype; convert one of them first (x.astype)"
            )
        if self.is_arithmetic:
            for i, a in enumerate(arrays):
                if not isinstance(a, (int, float)) and _kind(a) not in "iubf":
                    raise TypeError(
                        f"{self.name}: operand {i} is {a!r:.60}, expected a Tensor, an array of "
                        f"real numbers, or a number"
                    )
                if floats and isinstance(a, np.generic):
                    arrays[i] = a.item()
                elif floats and isinstance(a, _arrays()) and a.dtype not in floats:
                    arrays[i] = a.astype(*floats)
        return arrays

    def _tell_apart(self, arrays: list[Any], inputs: Sequence[Any]) -> None:
        """Give an array that came in as two inputs (x and x.detach()) an identity for each.

        What is saved is traced to its Tensor by the identity of the array.
        """
        seen: dict[int, Any] = {}
        for i, x in enumerate(inputs):
            if seen.setdefault(id(arrays[i]), x) is not x and isinstance(arrays[i], _arrays()):
                arrays[i] = arrays[i][...]

    def _record(
        self,
        inputs: Sequence[Any],
        arrays: Sequence[Any],
        ys: Sequence[Any],
        results: Sequence[Any],
    ) -> None:
        self.number = next(_numbers)
        self.edges = tuple(
            x.slot if isinstance(x, Node) and x.requires_grad else None for x in inputs
        )
        self.input_shapes = [np.shape(x) for x in arrays]
        self.outputs = [(array_module(y.data), y.shape, y.dtype) for y in results]
        self.retained: dict[int, weakref.ref[Node]] = {}
        origin: dict[int, Node | int] = {id(y): k for k, y in enumerate(ys)}
        origin |= {id(a): x for a, x in zip(arrays, inputs, strict=True) if isinstance(x, Node)}
        self._saved = tuple((value, origin.get(id(value))) for value, _ in self._saved or ())
        for k, y in enumerate(results):
            if y.dtype in FLOATS:
                y.op, y.index, y.requires_grad = self, k, True

    def save(self, *values: Any) -> None:
        """Keep values, read-only, for backward."""
        self._saved = tuple((value, None) for value in values)

    @property
    def saved(self) -> tuple[Any, ...]:
        """What forward saved, in that order."""
        return tuple(self._restore(value, origin) for value, origin in self._saved or ())

    def _restore(self, value: Any, origin: Node | int | None) -> Any:
        if not self._create_graph or origin is None:
            return value
        if isinstance(origin, Node):
            return origin
        y = self.tensor(value)
        y.op, y.index, y.requires_grad = self, origin, True
        return y

    def dinputs(self, dys: list[Any], create_graph: bool) -> Iterator[tuple[Slot, Any]]:
        """Call backward; yield (slot, gradient) of every input whose gradient is needed.

        Raises:
            ValueError: backward did not return one gradient per input, of its dtype and of its
                shape or one that it broadcasts to.
        """
        for k, (xp, shape, dtype) in enumerate(self.outputs):
            if dys[k] is None and not self.takes_none:
                dys[k] = xp.zeros(shape, dtype)
            if create_graph and dys[k] is not None and not isinstance(dys[k], Node):
                dys[k] = self.tensor(dys[k])
        self._create_graph = create_graph
        try:
            dxs = self.backward(*dys)
        finally:
            self._create_graph = False
        dxs = dxs if isinstance(dxs, tuple) else (dxs,)
        if len(dxs) != len(self.edges):
            raise ValueError(
                f"{self.name}: backward returned {len(dxs)} gradients, expected {len(self.edges)}, "
                f"one for each input in order (None for integers and masks)"
            )
        sinks = zip(self.edges, self.needs, self.input_shapes, dxs, strict=True)
        for i, (edge, needed, shape, dx) in enumerate(sinks):
            if edge is not None and needed and dx is not None:
                dtype = edge.data.dtype if isinstance(edge, Node) else edge[0].outputs[edge[1]][2]
                if dx.dtype != dtype or (dx.shape != shape and not _broadcasts(shape, dx.shape)):
                    raise ValueError(
                        f"{self.name}: backward returned {dx.dtype} {dx.shape} for input {i}, "
                        f"expected {dtype} {shape}"
                    )
                yield edge, sum_to(dx, shape)

    def release(self) -> None:
        """Drop what was saved, and the way to the inputs."""
        self._saved, self.edges = None, ()


def _arrays() -> Any:
    """The array types in use; CuPy's counts once CuPy is imported."""
    cupy = sys.modules.get("cupy")
    return (np.ndarray,) if cupy is None else (np.ndarray, cupy.ndarray)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    lead = len(to) - len(shape)
    return lead >= 0 and all(n in (1, m) for n, m in zip(shape, to[lead:], strict=True))


def _kind(a: Any) -> str:
    """The letter of a's kind of dtype: "i" for integers, "f" for floats, ..., "O" for objects."""
    return a.dtype.kind if hasattr(a, "dtype") else "O"


# ---- the backward pass -------------------------------------------------------------------------


def backward_pass(
    grads: dict[Slot, Any], wanted: set[Slot] | None, retain_graph: bool, create_graph: bool
) -> dict[Slot, Any]:
    """Turn the gradients of the outputs into those of the wanted slots.

    Args:
        grads: gradient by slot, of the outputs; used up.
        wanted: the slots whose gradients are returned; None: the leaves and the retained tensors.

    Raises:
        RuntimeError: an op behind the outputs was released, be it on the way to nothing wanted.
    """
    ops = _ops_between(grads, wanted)
    useful = set(ops)
    summed: set[Slot] = set()  # slots whose array was allocated here, so it may grow in place
    for op in ops:
        slots = [(op, k) for k in range(len(op.outputs))]
        keep = {s for s in slots if (s[1] in op.retained if wanted is None else s in wanted)}
        dys = [grads.get(s) if s in keep else grads.pop(s, None) for s in slots]
        op.needs = tuple(
            e is not None and (wanted is None or e in wanted or _maker(e) in useful)
            for e in op.edges
        )
        for slot, dx in op.dinputs(dys, create_graph):
            if slot not in grads:
                grads[slot] = dx
            elif slot in summed:
                grads[slot] += dx
            else:
                grads[slot] = grads[slot] + dx
                summed.add(slot)
        if not retain_graph:
            op.release()
    return grads


def _ops_between(starts: dict[Slot, Any], wanted: set[Slot] | None) -> list[Op]:
    """List the ops on the way from starts to wanted, youngest first.

    An op is younger than those that made its inputs, so this is reverse topological order.
    """
    stack = [op for op in map(_maker, starts) if op is not None]
    found = set(stack)
    while stack:
        op = stack.pop()
        if op._saved is None:
            raise RuntimeError(
                f"{op.name}: a second backward passes this op, but what it saved was released by "
                f"the first; give the first one retain_graph=True"
            )
        new = {m for m in map(_maker, op.edges) if m is not None} - found
        found |= new
        stack += new
    order = sorted(found, key=lambda op: op.number)
    if wanted is not None:
        useful: set[Op | None] = set()
        for op in order:
            if any(e is not None and (e in wanted or _maker(e) in useful) for e in op.edges):
                useful.add(op)
        order = [op for op in order if op in useful]
    return order[::-1]


def _maker(slot: Slot | None) -> Op | None:
    return slot[0] if isinstance(slot, tuple) else None


def sum_to(dx: Any, shape: tuple[int, ...]) -> Any:
    """Sum dx (array or Tensor) over the axes along which an array of that shape was broadcast."""
    if dx.shape == shape:
        return dx
    lead = dx.ndim - len(shape)
    stretched = [lead + i for i, n in enumerate(shape) if n == 1 != dx.shape[lead + i]]
    axis = (*range(lead), *stretched)
    total = sum_over(dx, axis) if not isinstance(dx, Node) else cast(Any, dx).sum(axis)
    return total.reshape(shape)


def sum_over(x: Array, axis: Any, keepdims: bool = False) -> Array:
    """x.sum(axis), in blocks where NumPy would add very many rows one after the other.

    Its rounding error then grows with √n instead of n: at 250,000 rows of float32, 5e-7 of the
    largest sum instead of 2e-5, in the same time.
    """
    first = axis if isinstance(axis, tuple) else (axis,)
    if x.dtype in FLOATS and first == tuple(range(len(first))) and len(first) < x.ndim:
        n, rest = math.prod(x.shape[: len(first)]), x.shape[len(first) :]
        if n >= MANY_ROWS and x.size and isinstance(x, np.ndarray) and x.flags.c_contiguous:
            height = math.isqrt(n)
            cut = n // height * height
            rows = x.reshape(n, *rest)
            y = rows[:cut].reshape(-1, height, *rest).sum(1).sum(0) + rows[cut:].sum(0)
            return y.reshape((1,) * len(first) + rest) if keepdims else y
    return x.sum(axis=axis, keepdims=keepdims)
