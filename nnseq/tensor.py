"""Tensor: an array that remembers how it was made; `backward` and `grad` differentiate it."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

import nnseq.operators as ops
from nnseq.backend import Array, array_module, to_device
from nnseq.tape import FLOATS, Node, Op, Slot, backward_pass, enable_grad, no_grad

__all__ = ["Tensor", "enable_grad", "grad", "no_grad"]


class Tensor(Node):
    """An array on the tape.

    Args:
        data: a NumPy or CuPy array, kept without a copy, or numbers and nested lists. Its dtype is
            float32 or float64, or, without gradients, an integer type or bool.
        requires_grad: accumulate the gradient of what is computed from it in `.grad`.
        dtype: convert to this dtype first.

    Attributes:
        data: the array.
        grad: None, or the gradient, of data's shape and dtype. Read-only: it may share memory.

    Raises:
        TypeError: another dtype, or requires_grad on integers.
    """

    __slots__ = ("grad",)
    __array_ufunc__ = None  # so that array * Tensor asks Tensor.__rmul__

    def __init__(self, data: Any, requires_grad: bool = False, *, dtype: Any = None) -> None:
        if isinstance(data, Node):
            raise TypeError("Tensor: got a Tensor, expected an array; use x.detach()")
        if not isinstance(data, np.ndarray) and type(data).__module__.split(".")[0] != "cupy":
            data = np.asarray(data, dtype)
        if dtype is not None:
            data = data.astype(dtype, copy=False)
        if data.dtype not in FLOATS and data.dtype.kind not in "iub":
            raise TypeError(
                f"Tensor: got dtype {data.dtype}, expected float32 or float64 "
                f"(integers and bool for indices and masks)"
            )
        if requires_grad and data.dtype not in FLOATS:
            raise TypeError(f"Tensor: requires_grad needs float32 or float64, got {data.dtype}")
        self.data = data
        self.requires_grad = requires_grad
        self.op, self.index = None, 0
        self.grad: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        return cast("tuple[int, ...]", self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return cast("np.dtype[Any]", self.data.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(self.data.size)

    def __len__(self) -> int:
        return len(self.data)

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the array on the CPU: the tensor's own memory if it is there, else a copy."""
        return cast("np.ndarray[Any, Any]", to_device(self.data, "cpu"))

    def item(self) -> Any:
        """Return the one entry as a Python number.

        Raises:
            ValueError: the tensor has not exactly one entry.
        """
        if self.size != 1:
            raise ValueError(f"item: got shape {self.shape}, expected exactly one entry")
        return self.data.item()

    def __bool__(self) -> bool:
        """The truth of the one entry, for `if loss > limit`.

        Raises:
            ValueError: the tensor has not exactly one entry.
        """
        if self.size != 1:
            raise ValueError(f"bool: got shape {self.shape}, expected exactly one entry")
        return bool(self.data.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """What np.asarray and matplotlib get: numpy(), from a tensor without a gradient.

        Raises:
            TypeError: the tensor requires a gradient, which would end here unnoticed.
        """
        if self.requires_grad:
            raise TypeError("an array of a tensor that requires a gradient; use x.numpy()")
        return np.array(self.numpy(), dtype, copy=copy)

    def __repr__(self) -> str:
        made = f", op={self.op.name}" if self.op is not None else ""
        grad = ", requires_grad=True" if self.requires_grad and self.op is None else ""
        with np.printoptions(threshold=20, edgeitems=2, precision=4):
            values = np.array2string(self.numpy(), prefix="Tensor(", separator=", ")
        shape = f", shape={self.shape}" if self.ndim else ""
        return f"Tensor({values}{shape}, dtype={self.dtype}{grad}{made})"

    # ---- gradients -----------------------------------------------------------------------------

    def backward(
        self, dy: Any = None, *, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf and retained tensor behind it.

        Args:
            dy: the gradient of the loss with respect to this tensor, of its shape; 1 if left out
                where the tensor has one entry.
            retain_graph, create_graph: as nnseq.grad.

        Raises:
            ValueError: dy does not fit, or nothing behind this tensor requires a gradient.
            RuntimeError: the graph was released by an earlier backward.
        """
        start = _starting_gradients("backward", [self], dy, create_graph)
        retain = create_graph if retain_graph is None else retain_graph
        for slot, dx in backward_pass(start, None, retain, create_graph).items():
            x = slot if isinstance(slot, Tensor) else cast("Tensor", slot[0].retained[slot[1]]())  # type: ignore[index]
            if x is not None:
                dx = dx if create_graph else _as_array(dx)
                x.grad = dx if x.grad is None else _as_array(x.grad + dx)

    def detach(self) -> Tensor:
        """Return a leaf with the same array, through which no gradient flows."""
        return Tensor(self.data)

    def retain_grad(self) -> None:
        """Let backward set `.grad` of this tensor although an op made it.

        Raises:
            RuntimeError: the tensor does not require a gradient.
        """
        if not self.requires_grad:
            raise RuntimeError("retain_grad: this tensor does not depend on one with requires_grad")
        if self.op is not None:
            self.op.retained[self.index] = weakref.ref(self)

    # ---- operators -----------------------------------------------------------------------------

    def __neg__(self) -> Tensor:
        return _tensor(ops.Neg.apply(self))

    def __add__(self, y: Any) -> Tensor:
        return _tensor(ops.Add.apply(self, y))

    __radd__ = __add__

    def __sub__(self, y: Any) -> Tensor:
        return _tensor(ops.Sub.apply(self, y))

    def __rsub__(self, y: Any) -> Tensor:
        return _tensor(ops.Sub.apply(y, self))

    def __mul__(self, y: Any) -> Tensor:
        return _tensor(ops.Mul.apply(self, y))

    __rmul__ = __mul__

    def __truediv__(self, y: Any) -> Tensor:
        return _tensor(ops.Div.apply(self, y))

    def __rtruediv__(self, y: Any) -> Tensor:
        return _tensor(ops.Div.apply(y, self))

    def __pow__(self, p: Any) -> Tensor:
        if isinstance(p, Tensor) and p.requires_grad:
            raise TypeError("**: the exponent requires a gradient; use nnseq.ops.power(x, p)")
        return _tensor(ops.Pow.apply(self, p.data if isinstance(p, Tensor) else p))

    def __rpow__(self, p: Any) -> Tensor:
        raise TypeError("**: the exponent is a Tensor; use nnseq.ops.power(p, x)")

    def __matmul__(self, y: Any) -> Tensor:
        return _tensor(ops.matmul(self, y))

    def __rmatmul__(self, y: Any) -> Tensor:
        return _tensor(ops.matmul(y, self))

    def __getitem__(self, index: Any) -> Tensor:
        return _tensor(ops.getitem(self, index))

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate over the first axis, t = 0, 1, ...: each step's gradient is written once."""
        return iter(ops.Unbind.apply(self))

    def __gt__(self, y: Any) -> Tensor:
        return _compare(operator.gt, self, y)

    def __ge__(self, y: Any) -> Tensor:
        return _compare(operator.ge, self, y)

    def __lt__(self, y: Any) -> Tensor:
        return _compare(operator.lt, self, y)

    def __le__(self, y: Any) -> Tensor:
        return _compare(operator.le, self, y)

    def sum(self, axis: ops.Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over axis (all axes by default)."""
        return _tensor(ops.Sum.apply(self, axis=axis, keepdims=keepdims))

    def mean(self, axis: ops.Axis = None, keepdims: bool = False) -> Tensor:
        """Average over axis (all axes by default).

        Raises:
            ValueError: there is nothing to average.
        """
        total = self.sum(axis, keepdims)
        if self.size == 0:
            raise ValueError(f"mean: shape {self.shape} has no entries to average")
        return total * (total.size / self.size)

    def reshape(self, *shape: Any) -> Tensor:
        """Return the entries in another shape; one size may be -1."""
        new = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return _tensor(ops.Reshape.apply(self, shape=tuple(new)))

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes; without arguments, reverse them."""
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        order = tuple(order) or tuple(range(self.ndim))[::-1]
        return _tensor(ops.Transpose.apply(self, axes=order))

    @property
    def T(self) -> Tensor:  # noqa: N802  (as in NumPy)
        return self.transpose()

    def astype(self, dtype: Any) -> Tensor:
        """Convert to another dtype; between floats the gradient is converted back."""
        if self.dtype in FLOATS and np.dtype(dtype) in FLOATS:
            return _tensor(ops.Cast.apply(self, dtype=dtype))
        return Tensor(self.data.astype(dtype))


Op.tensor = Tensor


def _tensor(y: Any) -> Tensor:
    return cast("Tensor", y)


def _compare(relation: Any, x: Tensor, y: Any) -> Tensor:
    return Tensor(relation(x.data, y.data if isinstance(y, Tensor) else y))


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    doutputs: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> list[Any]:
    """Return the gradients of outputs with respect to inputs, leaving every .grad alone.

    The vector-Jacobian product doutputsᵀ ∂outputs/∂inputs. Only ops on a path from outputs to
    inputs run.

    Args:
        outputs: one Tensor or several.
        inputs: one Tensor or several, leaves or inner ones.
        doutputs: the gradient of each output (array or Tensor of its shape); may be left out for
            one output of size 1, and then is 1.
        retain_graph: keep what was saved, for another pass. Default: the value of create_graph.
        create_graph: record the backward pass, so that the result can be differentiated again.

    Returns:
        One array per input, in order (Tensors under create_graph), read-only: memory may be shared.

    Raises:
        ValueError: doutputs do not fit outputs, or an output does not depend on any parameter, or
            an input does not influence the outputs.
        RuntimeError: an earlier pass released something behind the outputs, be it on a branch that
            leads to none of the inputs.
    """
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    slots = [x.slot for x in xs]
    grads = backward_pass(
        _starting_gradients("grad", ys, doutputs, create_graph),
        set(slots),
        create_graph if retain_graph is None else retain_graph,
        create_graph,
    )
    for i, slot in enumerate(slots):
        if slot not in grads:
            raise ValueError(
                f"grad: inputs[{i}], shape {xs[i].shape}, does not influence the outputs (or does "
                f"not require a gradient); leave it out, or set requires_grad before the forward"
            )
    return [grads[slot] if create_graph else _as_array(grads[slot]) for slot in slots]


def _starting_gradients(
    who: str, ys: Sequence[Tensor], dys: Any, create_graph: bool
) -> dict[Slot, Any]:
    if dys is None or isinstance(dys, Tensor) or not isinstance(dys, (list, tuple)):
        dys = [dys]
    if len(dys) != len(ys):
        raise ValueError(f"{who}: got {len(dys)} doutputs for {len(ys)} outputs")
    grads: dict[Slot, Any] = {}
    for k, (y, dy) in enumerate(zip(ys, dys, strict=True)):
        if not y.requires_grad:
            raise ValueError(f"{who}: output {k} does not depend on a tensor with requires_grad")
        if dy is None and y.size != 1:
            raise ValueError(
                f"{who}: output {k} has shape {y.shape}; only an output of size 1 starts from 1, "
                f"give the gradient of the loss with respect to it"
            )
        xp = array_module(y.data)
        value = dy.data if isinstance(dy, Tensor) else 1.0 if dy is None else dy
        value = xp.broadcast_to(xp.asarray(value, y.dtype), y.shape) if dy is None else value
        if np.shape(value) != y.shape or getattr(value, "dtype", y.dtype) != y.dtype:
            raise ValueError(
                f"{who}: the gradient of output {k} is {getattr(value, 'dtype', '?')} "
                f"{np.shape(value)}, expected {y.dtype} {y.shape}"
            )
        start = xp.asarray(value, y.dtype)
        if create_graph:  # the gradient of an output with respect to itself comes back as it is
            start = dy if isinstance(dy, Tensor) else Tensor(start)
        grads[y.slot] = grads[y.slot] + start if y.slot in grads else start
    return grads


def _as_array(x: Any) -> Array:
    return np.asarray(x) if isinstance(x, (np.generic, float)) else x
