"""indrnn.cu through its host code: on the CPU by the shim, on a GPU where there is one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nnseq_kernels.indrnn import cupy_raw
from nnseq_kernels.indrnn.launch import SPEC, sum_name
from nnseq_kernels.launcher import Launcher
from nnseq_kernels.spec import Entry, KernelSpec, joined

from nnseq.cells import indrnn as reference
from tests.gpu_ladder.cusim.kernel import Module
from tests.kernels.indrnn.parity import Case, Drawn, cases, check, draw, require_gpu, run

# The longest first: it gets all combinations of the options.
SIZES = sorted(((s["T"], s["B"], s["H"]) for s in SPEC.examples), reverse=True)
GPU_SIZES = [(700, 50, 128), *SIZES]
ORDERS = ("forward", "reverse", "random")


class NaNFilledNumPy:
    """NumPy, but `empty_like` is full of NaN, so that an entry nobody wrote shows."""

    __name__ = "numpy"

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty_like(self, array: Any) -> Any:
        return np.full(array.shape, np.nan, array.dtype)


@functools.cache
def compiled() -> Module:
    """The whole source, compiled for the CPU."""
    return Module(joined(SPEC.sources), SPEC.options, [entry.name for entry in SPEC.entries])


def shim(order: str = "forward", launched: list[str] | None = None) -> Launcher:
    """A launcher on NumPy arrays, with the threads in this order; it notes what it launched."""

    def load(spec: KernelSpec, entry: Entry) -> Callable[..., None]:
        if launched is not None:
            launched.append(entry.name)
        kernel = compiled().get_function(entry.name)
        return functools.partial(kernel, order=order)

    return Launcher(NaNFilledNumPy(), load)


def run_on_cpu(case: Case, drawn: Drawn, **options: Any) -> list[Any]:
    """Runs forward and backward in the shim; returns h, h_T, da, du, dh0."""
    launcher = shim(**options)
    return run(
        case,
        functools.partial(cupy_raw.forward_on, launcher),
        functools.partial(cupy_raw.backward_on, launcher),
        drawn,
    )


@pytest.mark.parametrize("case", cases(SIZES), ids=str)
def test_agrees_with_the_reference_on_the_cpu(case: Case) -> None:
    launcher = shim()
    check(
        case,
        functools.partial(cupy_raw.forward_on, launcher),
        functools.partial(cupy_raw.backward_on, launcher),
    )


@pytest.mark.gpu
@pytest.mark.parametrize("case", cases(GPU_SIZES), ids=str)
def test_agrees_with_the_reference_on_a_gpu(case: Case) -> None:
    cupy = require_gpu()
    check(case, cupy_raw.forward, cupy_raw.backward, cupy.asarray, cupy.asnumpy)


@pytest.mark.gpu
def test_two_runs_on_a_gpu_give_the_same_bits() -> None:
    cupy = require_gpu()
    case = Case(1500, 50, 128, "float32", "tanh", masked=True)
    drawn = [cupy.asarray(array) for array in draw(case)]
    one, other = (run(case, cupy_raw.forward, cupy_raw.backward, drawn) for _ in range(2))
    for x, y in zip(one, other, strict=True):
        assert cupy.asnumpy(x).tobytes() == cupy.asnumpy(y).tobytes()


@pytest.mark.parametrize("order", ORDERS[1:])
@pytest.mark.parametrize("masked", [False, True])
def test_the_order_of_threads_changes_no_bit(order: str, masked: bool) -> None:
    case = Case(291, 9, 7, "float32", "relu", masked, step_clip=0.3)
    came_all, wanted_all = (run_on_cpu(case, draw(case), order=o) for o in (order, "forward"))
    for came, wanted in zip(came_all, wanted_all, strict=True):
        assert came.tobytes() == wanted.tobytes()


def test_forward_is_one_launch_and_backward_one_and_a_reduction() -> None:
    launched: list[str] = []
    case = Case(600, 2, 33, upstream="dh_T")
    run_on_cpu(case, draw(case), launched=launched)
    assert launched == [
        "indrnn_forward<double, RELU, false>",
        "indrnn_backward<double, RELU, false>",
        sum_name("float64"),
    ]


def test_backward_leaves_saved_arrays_and_gradients_unchanged() -> None:
    drawn = draw(Case(5, 3, 33, act="tanh", masked=True))
    _, saved = cupy_raw.forward_on(shim(), *drawn[:4], act="tanh", step_clip=0.3)
    arrays = (*saved[:4], drawn.dh, drawn.dh_T)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False  # the shim refuses to pass them to a pointer that may write
    cupy_raw.backward_on(shim(), saved, drawn.dh, drawn.dh_T)
    for array, copy in zip(arrays, before, strict=True):
        assert np.array_equal(array, copy)


def test_inputs_need_not_be_contiguous() -> None:
    case = Case(4, 3, 5, act="tanh", masked=True)
    drawn = draw(case)
    strided = Drawn(*(np.repeat(array, 2, axis=-1)[..., ::2] for array in drawn))
    assert not any(array.flags.c_contiguous for array in strided)
    came_all, wanted_all = run_on_cpu(case, strided), run_on_cpu(case, drawn)
    for came, wanted in zip(came_all, wanted_all, strict=True):
        assert np.array_equal(came, wanted)


@pytest.mark.parametrize("size", [(0, 3, 5), (4, 0, 5), (4, 3, 0)])
def test_empty_axes_give_the_references_result_without_a_launch(size: tuple[int, int, int]) -> None:
    launched: list[str] = []
    case = Case(*size, "float32")
    wanted_all = run(case, reference.forward, reference.backward, draw(case))
    came_all = run_on_cpu(case, draw(case), launched=launched)
    assert not launched
    for came, wanted in zip(came_all, wanted_all, strict=True):
        assert came.dtype == wanted.dtype
        assert np.array_equal(came, wanted)


@pytest.mark.parametrize("act", ["relu", "tanh", "identity"])
def test_nan_stays_nan(act: str) -> None:
    case = Case(40, 1, 3, "float32", act, step_clip=0.5)
    drawn = draw(case)
    drawn.a[20, 0, 1] = np.nan
    h, h_T, da, du, dh0 = run_on_cpu(case, drawn)
    assert np.isnan(h[20:, 0, 1]).all()
    assert np.isnan(du[1])
    assert np.isfinite(h[:20]).all()
    for array in (h, h_T, da, du, dh0):  # the other units are none the worse
        assert np.isfinite(array[..., [0, 2]]).all()


def test_a_padded_step_hides_whatever_the_padding_holds() -> None:
    case = Case(6, 2, 3, masked=True)
    drawn = draw(case)
    wanted_all = run_on_cpu(case, drawn)
    drawn.a[~drawn.mask] = np.nan
    for came, wanted in zip(run_on_cpu(case, drawn), wanted_all, strict=True):
        assert np.array_equal(came, wanted)


def test_signatures_are_those_of_the_reference() -> None:
    for name in ("forward", "backward"):
        ours = inspect.signature(getattr(cupy_raw, name)).parameters
        theirs = inspect.signature(getattr(reference, name)).parameters
        assert [(p.name, p.kind) for p in ours.values()] == [
            (p.name, p.kind) for p in theirs.values()
        ]


def test_saved_has_the_fields_of_the_reference() -> None:
    assert cupy_raw.Saved._fields == reference.Saved._fields


BAD = {
    "u has shape (4,)": {"u": np.zeros(4)},
    "h0 has dtype float32": {"h0": np.zeros((3, 5), np.float32)},
    "mask has dtype int64": {"mask": np.ones((4, 3), np.int64)},
    "mask has shape (3, 4)": {"mask": np.ones((3, 4), bool)},
    "a has shape (4, 3)": {"a": np.zeros((4, 3))},
    "a has dtype int64": {"a": np.zeros((4, 3, 5), np.int64)},
    "u is a builtins.list": {"u": [0.0] * 5},
    "act is 'gelu'": {"act": "gelu"},
    "step_clip is -1": {"step_clip": -1.0},
    "step_clip is nan": {"step_clip": float("nan")},
}


@pytest.mark.parametrize("words", BAD)
def test_bad_arguments_are_refused_by_name(words: str) -> None:
    a, u, h0 = np.zeros((4, 3, 5)), np.zeros(5), np.zeros((3, 5))
    arguments = {"a": a, "u": u, "h0": h0, "mask": None, "act": "relu", "step_clip": 0.0}
    with pytest.raises((TypeError, ValueError)) as caught:
        cupy_raw.forward_on(shim(), **(arguments | BAD[words]))
    assert words in str(caught.value)


def test_backward_without_any_gradient_gives_the_references_zeros_without_a_launch() -> None:
    drawn = draw(Case(4, 2, 3, "float32", "tanh", masked=True))._replace(dh=None, dh_T=None)
    case = Case(4, 2, 3, "float32", "tanh")
    launched: list[str] = []
    came_all = run_on_cpu(case, drawn, launched=launched)[2:]
    wanted_all = run(case, reference.forward, reference.backward, drawn)[2:]
    assert len(launched) == 1  # forward's
    for came, wanted in zip(came_all, wanted_all, strict=True):
        assert came.dtype == wanted.dtype
        assert not wanted.any()
        assert np.array_equal(came, wanted)
