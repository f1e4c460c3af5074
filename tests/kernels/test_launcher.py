"""The launcher refuses each argument that CuPy would pass on as garbage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnseq_kernels.launcher import NULL, Launcher
from nnseq_kernels.spec import Entry, KernelSpec, Launch, Parameter

SIZES = {"B": 2, "H": 3}
SCALE = KernelSpec(
    name="scale",
    sources=(Path("scale.cu"),),
    entries=(
        Entry(
            "scale<float>",
            "float32",
            (
                Parameter("x", "in", "float32", "B H"),
                Parameter("mask", "optional", "uint8", "B"),
                Parameter("y", "out", "float32", "B H"),
                Parameter("factor", "scalar", "float32"),
                Parameter("B", "scalar", "int32"),
            ),
        ),
    ),
    launch=lambda entry, sizes: Launch((sizes["B"], 1), (sizes["H"],), 64),
    examples=(SIZES,),
    reference="nowhere",
    host="nowhere",
    registers={},
)
GOOD: dict[str, Any] = {
    "x": np.ones((2, 3), np.float32),
    "mask": None,
    "y": np.zeros((2, 3), np.float32),
    "factor": np.float32(2),
}


def launch(calls: list[Any], **values: Any) -> None:
    """Launches `scale` with a kernel that only notes how it was called."""

    def kernel(grid: Any, block: Any, args: Any, *, shared_mem: int) -> None:
        calls.append((grid, block, args, shared_mem))

    Launcher(np, lambda spec, entry: kernel)(SCALE, "scale<float>", SIZES, **values)


def test_arguments_arrive_in_the_order_of_the_signature() -> None:
    calls: list[Any] = []
    launch(calls, **dict(reversed(GOOD.items())))
    ((grid, block, (x, mask, y, factor, B), shared_mem),) = calls
    assert (grid, block, shared_mem) == ((2, 1), (3,), 64)
    assert x is GOOD["x"]
    assert y is GOOD["y"]
    assert mask is NULL
    assert (mask.itemsize, int(mask)) == (8, 0)
    assert (factor, factor.dtype) == (2, np.float32)
    assert (B, B.dtype) == (2, np.int32)


BAD = {
    "factor is 2.0 (float), expected a NumPy scalar: pass np.float32(2.0)": {"factor": 2.0},
    "factor is np.float64(2.0)": {"factor": np.float64(2)},
    "x is a list": {"x": [1.0]},
    "x is a float32": {"x": np.float32(1)},
    "x is a NoneType": {"x": None},
    "x has dtype float64, expected float32": {"x": np.ones((2, 3))},
    "x has shape (3, 2), expected (B, H) = (2, 3)": {"x": np.ones((3, 2), np.float32)},
    "y is not C-contiguous": {"y": np.zeros((3, 2), np.float32).T},
    "mask has dtype bool, expected uint8": {"mask": np.ones(2, bool)},
    "unknown ['z']": {"z": np.float32(1)},
}


@pytest.mark.parametrize("words", BAD)
def test_a_wrong_argument_is_refused_before_the_launch(words: str) -> None:
    calls: list[Any] = []
    with pytest.raises((TypeError, ValueError)) as caught:
        launch(calls, **(GOOD | BAD[words]))
    assert words in str(caught.value)
    assert "scale<float>" in str(caught.value)
    assert not calls


def test_a_missing_argument_is_refused() -> None:
    values = {name: value for name, value in GOOD.items() if name != "mask"}
    with pytest.raises(TypeError, match=r"arguments missing \['mask'\], unknown \[\]"):
        launch([], **values)
