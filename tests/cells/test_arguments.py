"""What the recurrent cells refuse, by the cell's name, with the shape expected."""

import numpy as np
import pytest

from nnseq.backend import use_kernels
from nnseq.cells.arguments import check_number
from tests.cells.recurrent_cases import CELLS, CONSTANT, INPUTS, OPTIONAL, draw
from tests.cells.recurrent_checks import every_cell, named, variant_named

SIZES = {"T": 4, "B": 3, "H": 5}
INPUT_OF_A_CELL = [(op, name) for op in CELLS for name in INPUTS[op]]


def call(op, **replaced):
    """Run a cell at T, B, H = 4, 3, 5 with every option, some inputs replaced."""
    inputs, options, _ = draw(op, variant_named(op, "all fresh"))
    with use_kernels("reference"):
        return getattr(CELLS[op], op)(*(named(op, inputs) | replaced).values(), **options)


def refusal(op, error, **replaced):
    with pytest.raises(error) as caught:
        call(op, **replaced)
    words = str(caught.value)
    assert words.startswith(f"{op}: ")
    return words


def figures(op, name):
    """The shape that an input must have, in figures: "(4, 3, 20)"."""
    if INPUTS[op][name] == "Z":
        return "(4 | 1, 3 | 1, 5)"
    lengths = [
        int(axis) if axis.isdigit() else int(axis[:-1] or 1) * SIZES[axis[-1]]
        for axis in INPUTS[op][name].split()
    ]
    return str(tuple(lengths))


@pytest.mark.parametrize(("op", "name"), INPUT_OF_A_CELL)
def test_an_input_of_another_shape_is_refused_with_the_shape_expected(op, name):
    inputs, _, _ = draw(op, variant_named(op, "all fresh"))
    good = named(op, inputs)[name]
    for bad in (good[None], good[..., 0]):  # one axis more, one less
        words = refusal(op, ValueError, **{name: bad})
        assert words.startswith(f"{op}: {name} has shape {bad.shape}, expected (")
    if name != "h0":  # the others must fit h0
        wide = np.concatenate([good, good], axis=-1)
        words = refusal(op, ValueError, **{name: wide})
        assert words.startswith(f"{op}: {name} has shape {wide.shape}, expected (")
        assert f" = {figures(op, name)} because a has T = 4 and h0 has B = 3, H = 5" in words


@every_cell
def test_sizes_that_disagree_are_laid_at_the_door_of_a_and_h0(op):
    width = {"T B H": 5, "T B 2H": 10, "T B 3H": 15, "T B 4H": 20}[INPUTS[op]["a"]]
    words = refusal(op, ValueError, a=np.zeros((4, 2, width)))
    k = "" if width == 5 else str(width // 5)
    assert words == (
        f"{op}: a has shape (4, 2, {width}), expected (T, B, {k}H) = (4, 3, {width}) because a has "
        f"T = 4 and h0 has B = 3, H = 5"
    )


@pytest.mark.parametrize(("op", "name"), INPUT_OF_A_CELL)
def test_what_is_no_array_is_refused_and_none_too_where_it_is_needed(op, name):
    words = refusal(op, TypeError, **{name: [[1.0]]})
    assert words == f"{op}: {name} is a list, expected an array or a Tensor"
    if name not in OPTIONAL:
        assert f"{name} is a NoneType" in refusal(op, TypeError, **{name: None})


@pytest.mark.parametrize(("op", "name"), INPUT_OF_A_CELL)
def test_two_dtypes_are_refused(op, name):
    if name == "mask":
        words = refusal(op, TypeError, mask=np.full((4, 3), "yes"))
        assert words == f"{op}: mask is <U3, expected bool, whole numbers or floats"
        return
    inputs, _, _ = draw(op, variant_named(op, "all fresh"))
    words = refusal(op, TypeError, **{name: named(op, inputs)[name].astype(np.float32)})
    assert "float32" in words
    assert "float64" in words
    assert words.endswith("expected float32 for all or float64 for all")


@pytest.mark.parametrize("dtype", [int, np.float16, complex])
@every_cell
def test_other_dtypes_are_refused(op, dtype):
    inputs, _, _ = draw(op, variant_named(op, "all fresh"))
    arrays = {k: x.astype(dtype) for k, x in named(op, inputs).items() if k != "mask"}
    words = refusal(op, TypeError, **arrays)
    assert f"have dtypes {', '.join([str(np.dtype(dtype))] * len(arrays))}, expected" in words


@every_cell
def test_the_mask_and_the_weights_may_be_left_out(op):
    inputs, options, _ = draw(op, variant_named(op, "plain"))
    short = [x for name, x in named(op, inputs).items() if name not in CONSTANT]
    with use_kernels("reference"):
        h = getattr(CELLS[op], op)(*short, **options)[0]
    np.testing.assert_array_equal(h, CELLS[op].forward(*inputs, **options)[0][0])


def test_an_option_that_is_no_finite_number_is_refused():
    assert check_number("lstm", "cell_clip", np.float32(2), 0.0) == 2.0
    for value in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match=f"lstm: cell_clip is {value}, expected a finite"):
            check_number("lstm", "cell_clip", value, 0.0)
    for value in ("1", None, True, [1.0]):
        with pytest.raises(TypeError, match=r"lstm: cell_clip is .*, expected a number"):
            check_number("lstm", "cell_clip", value, 0.0)
