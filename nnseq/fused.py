"""fused_op: one Op with a hand-written forward and backward and several implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnseq.backend import Implementation, kernels_for
from nnseq.tape import Node, Op

Prepare = Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]


class FusedOp(Op):
    """The node of one call: it remembers which implementation ran forward."""

    takes_none = True

    def __init__(self, name: str, reference: Implementation, inexact: str) -> None:
        self.name, self.reference, self.inexact = name, reference, inexact

    def forward(self, *arrays: Any, **options: Any) -> Any:
        implementation = kernels_for(self.name, arrays[0], self.reference)
        outputs, saved = implementation.forward(*arrays, **options)
        self.save(saved)
        self.backward_with = implementation.backward
        return outputs

    def backward(self, *doutputs: Any) -> Any:
        if any(isinstance(dy, Node) for dy in doutputs):
            raise NotImplementedError(
                f"{self.name}: create_graph=True reached this fused op, whose backward is not "
                f"recorded; compose the recurrence of nnseq.ops for second derivatives"
            )
        (saved,) = self.saved
        return self.backward_with(saved, *doutputs)


def fused_op(
    name: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    prepare: Prepare,
    inexact: Callable[..., str] = lambda **options: "",
) -> Callable[..., Any]:
    """Make an op of a reference forward and backward, which kernels of that name may replace.

    Args:
        name: nnseq_kernels.<name> is where its kernels are looked for.
        forward: forward(*arrays, **options) -> (outputs, saved): a tuple of arrays, and a
            NamedTuple that is read-only from then on.
        backward: backward(saved, *doutputs) -> one gradient per input, in input order. A doutput
            is None where nothing used that output.
        prepare: prepare(*arrays, **options) -> (arrays, options): refuses what does not fit, with
            the cell's name and the shape expected, before any implementation runs.
        inexact: inexact(**options) -> why backward is not the derivative of forward under these
            options, or "".

    Returns:
        A function of Tensors, arrays or None, and of options. Arrays only in, arrays out.
    """
    reference = Implementation("reference", forward, backward)

    def call(*inputs: Any, **options: Any) -> Any:
        plain = [x.data if isinstance(x, Node) else x for x in inputs]
        arrays, options = prepare(*plain, **options)
        left_out = (None,) * (len(arrays) - len(inputs))  # optional inputs at the end
        given = zip((*inputs, *left_out), (*plain, *left_out), arrays, strict=True)
        same = [x if a is p else a for x, p, a in given]
        return FusedOp(name, reference, inexact(**options)).run(*same, **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = forward.__doc__
    return call
