"""The time loop on CUDA, run on the CPU: recorded sequences, and what every cell has in common.

That all options agree with the reference is what tests/gpu_ladder checks.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest
from nnseq_kernels import launcher as launcher_module

from tests.cells.recurrent_cases import (
    CELLS,
    INPUTS,
    OUTPUTS,
    draw,
    variants,
    with_nan_in_padding,
)
from tests.cells.recurrent_checks import every_cell, states_of, variant_named
from tests.kernels.recurrence.parity import check_infinite_state, run
from tests.kernels.recurrence.recording import Recorder

T, B, H = 4, 3, 5


def flat(values: Any) -> list[Any]:
    """All arrays in tuples and dicts, in order."""
    if isinstance(values, np.ndarray):
        return [values]
    parts = values.values() if isinstance(values, dict) else values
    return [x for part in parts if isinstance(part, np.ndarray | dict | tuple) for x in flat(part)]


def assert_same(got: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare arrays by name: they come from the same formulas in float64."""
    for name, right in expected.items():
        if right is None:
            assert got[name] is None, name
        else:
            np.testing.assert_allclose(got[name], right, rtol=1e-11, atol=1e-12, err_msg=name)


def drawn(op: str, label: str, seed: int, **sizes: int) -> Any:
    return draw(op, variant_named(op, label), **({"T": T, "B": B, "H": H} | sizes), seed=seed)


# ---- recorded sequences --------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["plain", "all fresh"])
@every_cell
def test_calls_with_other_values_at_the_same_sizes_agree_with_the_reference(
    op: str, label: str
) -> None:
    recorder = Recorder()
    for seed in range(4):
        arrays = drawn(op, label, seed)
        assert_same(run(recorder.implementation(op), op, *arrays), run(CELLS[op], op, *arrays))
    assert recorder.counts["recorded"] == 2  # forward and backward, at the second call
    assert recorder.counts["replayed"] == 2 * 3


@every_cell
def test_saved_arrays_and_results_of_an_earlier_call_stay_as_they_were(op: str) -> None:
    cell = Recorder().implementation(op)
    calls = []
    for seed in range(4):
        inputs, options, doutputs = drawn(op, "all fresh", seed)
        outputs, saved = cell.forward(*inputs, **options)
        calls.append((outputs, saved, doutputs, [x.copy() for x in flat((outputs, saved))]))
    gradients = []
    for outputs, saved, doutputs, before in reversed(calls):  # four live states, the last one first
        found = cell.backward(saved, *doutputs)
        gradients.append((found, [x.copy() for x in flat(found)]))
        for array, copy in zip(flat((outputs, saved)), before, strict=True):
            assert np.array_equal(array, copy)
    for found, before in gradients:
        for array, copy in zip(flat(found), before, strict=True):
            assert np.array_equal(array, copy)
    for seed, (found, _) in zip(reversed(range(4)), gradients, strict=True):
        expected = run(CELLS[op], op, *drawn(op, "all fresh", seed))
        assert_same({f"d{n}": x for n, x in zip(INPUTS[op], found, strict=True)},
                    {n: x for n, x in expected.items() if n[1:] in INPUTS[op]})  # fmt: skip


@every_cell
def test_calls_that_differ_in_options_optional_inputs_sizes_or_dtype_do_not_mix(op: str) -> None:
    recorder = Recorder(limit=100)
    calls = [draw(op, variant, T, B, H, seed=k) for k, variant in enumerate(variants(op))]
    calls += [drawn(op, "plain", seed=0, **{axis: 2}) for axis in "TBH"]
    calls.append(draw(op, variant_named(op, "plain"), T, B, H, np.float32))
    expected = [run(CELLS[op], op, *arrays) for arrays in calls]
    for _ in range(3):
        for arrays, right in zip(calls, expected, strict=True):
            got = run(recorder.implementation(op), op, *arrays)
            if arrays[0][0].dtype == np.float64:
                assert_same(got, right)
            else:
                np.testing.assert_allclose(got["h"], right["h"], atol=1e-5)
                assert got["h"].dtype == np.float32
    assert recorder.counts["replayed"] == 2 * 2 * len(calls)


def test_which_outputs_have_a_gradient_is_part_of_what_is_recorded() -> None:
    cell = Recorder(limit=100).implementation("lstm")
    for seed in range(3):
        inputs, options, doutputs = drawn("lstm", "all per unit", seed)
        for k in range(len(doutputs)):
            given = tuple(dy if n == k else None for n, dy in enumerate(doutputs))
            arrays = (inputs, options, given)
            assert_same(run(cell, "lstm", *arrays), run(CELLS["lstm"], "lstm", *arrays))


def test_few_sequences_are_kept_and_what_was_forgotten_comes_back_right() -> None:
    recorder = Recorder(limit=2)

    def take_turns() -> None:
        for turn in range(4):
            for steps in (2, 3, 4):
                arrays = drawn("gru", "all fresh", seed=turn, T=steps)
                got = run(recorder.implementation("gru"), "gru", *arrays)
                assert_same(got, run(CELLS["gru"], "gru", *arrays))
                assert len(recorder.launcher.graphs) <= 2

    with pytest.warns(RuntimeWarning, match=r"Set NNSEQ_CUDA_GRAPHS=\d or more") as warned:
        take_turns()
    assert len(warned) == 1  # and not at every call


def test_arguments_are_checked_once_per_recorded_sequence(monkeypatch: Any) -> None:
    checks = []
    real = launcher_module.checked
    monkeypatch.setattr(
        launcher_module, "checked", lambda *args: (checks.append(args[1].name), real(*args))[1]
    )
    recorder = Recorder()
    counted = []
    for seed, steps in ((0, 3), (1, 30), (2, 30), (3, 30)):
        checks.clear()
        run(recorder.implementation("lstm"), "lstm", *drawn("lstm", "plain", seed, T=steps))
        counted.append(len(checks))
    first, longer, recorded, replayed = counted
    assert 0 < first == longer == recorded  # not once per step
    assert replayed == 0


@every_cell
def test_an_infinite_state_is_what_the_reference_makes_of_it(op: str) -> None:
    check_infinite_state(op, Recorder(limit=None).implementation(op))


# ---- every cell ----------------------------------------------------------------------------------

LAUNCHES = {  # forward and backward: products per step, launches per step, products after the loop
    "elman": (1, 1, 1),
    "lstm": (1, 1, 1),
    "gru": (1, 1, 1),
    "gru_before": (2, 2, 2),
    "mut1": (2, 2, 2),
    "mut2": (2, 2, 2),
    "mut3": (3, 2, 3),
}


@every_cell
def test_a_step_is_at_most_one_launch_per_product(op: str) -> None:
    recorder = Recorder(limit=None)
    inputs, options, doutputs = drawn(op, "plain", seed=0)
    cell = recorder.implementation(op)
    _, saved = cell.forward(*inputs, **options)
    products, launches, after = LAUNCHES[op]
    assert recorder.counts["product"] == T * products
    assert recorder.counts.total() == T * (products + launches)
    recorder.counts.clear()
    cell.backward(saved, *doutputs)
    assert recorder.counts["product"] == T * products + after
    assert recorder.counts.total() == T * (products + launches) + after


@pytest.mark.parametrize("order", ["reverse", "random"])
@every_cell
def test_the_order_of_threads_changes_no_bit(op: str, order: str) -> None:
    arrays = drawn(op, "all fresh", seed=0, H=43)
    one, other = (
        run(Recorder(None, order=o).implementation(op), op, *arrays) for o in ("forward", order)
    )
    for name, x in one.items():
        assert x is None or x.tobytes() == other[name].tobytes(), name


@every_cell
def test_padding_holds_every_state_exactly_whatever_stands_there(op: str) -> None:
    inputs, options, doutputs = drawn(op, "all fresh", seed=3)
    mask = inputs[-1]
    mask[:2, 1], mask[-1, 2] = False, False
    cell = Recorder(None).implementation(op)
    expected = run(cell, op, inputs, options, doutputs)
    got = run(cell, op, with_nan_in_padding(op, inputs), options, doutputs)
    for name, right in expected.items():
        assert right is None or np.array_equal(got[name], right), name
    by_name = dict(zip(INPUTS[op], inputs, strict=True))
    for s in states_of(op):
        before = np.concatenate([by_name[f"{s}0"][None], got[s]])[:-1]
        assert np.array_equal(got[s][~mask], before[~mask])
    assert not got["da"][~mask].any()


@every_cell
def test_nan_stays_nan_and_in_its_sequence(op: str) -> None:
    inputs, options, doutputs = drawn(op, "plain", seed=0)
    inputs[0][1, 2] = np.nan
    got = run(Recorder(None).implementation(op), op, inputs, options, doutputs)
    assert np.isnan(got["h"][1:, 2]).all()
    assert np.isnan(got["dW_hh"]).any()
    for name in ("h", "h_T", "da", "dh0"):
        assert np.isfinite(got[name][..., :2, :]).all(), name


@every_cell
def test_inputs_need_not_be_contiguous(op: str) -> None:
    inputs, options, doutputs = drawn(op, "all fresh", seed=0)
    cell = Recorder(None).implementation(op)
    expected = run(cell, op, inputs, options, doutputs)
    strided = [
        [np.repeat(x, 2, axis=-1)[..., ::2] for x in arrays] for arrays in (inputs, doutputs)
    ]
    got = run(cell, op, strided[0], options, strided[1])
    for name, right in expected.items():
        assert right is None or np.array_equal(got[name], right), name


def without_units(axes: str, x: Any) -> Any:
    """The array with H = 0."""
    has_units = [axis.endswith("H") for axis in axes.replace("Z", "T B H").split()]
    return x[tuple(slice(0) if empty else slice(None) for empty in has_units)]


@pytest.mark.parametrize("axis", ["T", "B", "H"])
@every_cell
def test_empty_axes_give_the_references_result_without_a_launch(op: str, axis: str) -> None:
    recorder = Recorder()
    if axis == "H":
        inputs, options, doutputs = drawn(op, "all per unit", seed=0)
        arrays = (tuple(map(without_units, INPUTS[op].values(), inputs)), options,
                  tuple(dy[..., :0] for dy in doutputs))  # fmt: skip
    else:
        arrays = drawn(op, "all per unit", seed=0, **{axis: 0})
    got = run(recorder.implementation(op), op, *arrays)
    expected = run(CELLS[op], op, *arrays)
    assert not recorder.counts
    for name, right in expected.items():
        if right is not None:
            assert got[name].dtype == right.dtype, name
            assert np.array_equal(got[name], right), name


@every_cell
def test_backward_without_any_gradient_gives_zeros(op: str) -> None:
    inputs, options, _ = drawn(op, "all fresh", seed=0)
    got = run(Recorder(None).implementation(op), op, inputs, options, (None,) * len(OUTPUTS[op]))
    for name, x in zip(INPUTS[op], inputs, strict=True):
        gradient = got[f"d{name}"]
        assert gradient is None or (gradient.shape == x.shape and not gradient.any()), name


@every_cell
def test_has_the_signature_of_the_reference(op: str) -> None:
    for kernels in ("cupy_raw", "numba_cuda"):
        module = importlib.import_module(f"nnseq_kernels.{op}.{kernels}")
        for name in ("forward", "backward"):
            mine, theirs = (
                [(p.name, p.kind) for p in inspect.signature(getattr(m, name)).parameters.values()]
                for m in (module, CELLS[op])
            )
            assert mine == theirs, f"{kernels}.{name}"


BAD = {
    "lstm: W_hh has shape (5, 15), expected (5, 20)": {"W_hh": np.zeros((5, 15))},
    "lstm: c0 has shape (3, 4), expected (3, 5)": {"c0": np.zeros((3, 4))},
    "lstm: p has shape (1, 5), expected (3, 5)": {"p": np.zeros((1, 5))},
    "lstm: a has dtype float32, expected float64": {"a": np.zeros((4, 3, 20), np.float32)},
    "lstm: a has shape (4, 20) and h0 (3, 5)": {"a": np.zeros((4, 20))},
    "lstm: h0 has dtype float16": {"h0": np.zeros((3, 5), np.float16)},
    "lstm: z_h has shape (2, 1, 5), expected (T | 1, B | 1, H)": {"z_h": np.zeros((2, 1, 5))},
    "lstm: z_c has shape (1, 1, 1), expected (1, 1, 5)": {"z_c": np.zeros((1, 1, 1))},
    "lstm: mask has dtype int64, expected bool": {"mask": np.ones((4, 3), np.int64)},
    "lstm: mask has shape (3, 4), expected (4, 3)": {"mask": np.ones((3, 4), bool)},
    "lstm: d_i is a builtins.list, expected": {"d_i": [1.0]},
}


@pytest.mark.parametrize("words", BAD)
def test_bad_arguments_are_refused_by_name(words: str) -> None:
    inputs, options, _ = drawn("lstm", "all fresh", seed=0)
    named = dict(zip(INPUTS["lstm"], inputs, strict=True)) | BAD[words]
    with pytest.raises((TypeError, ValueError)) as caught:
        Recorder(None).implementation("lstm").forward(*named.values(), **options)
    assert words in str(caught.value)


def test_a_gradient_of_the_wrong_shape_is_refused() -> None:
    inputs, options, (dh, _) = drawn("gru", "plain", seed=0)
    cell = Recorder(None).implementation("gru")
    _, saved = cell.forward(*inputs, **options)
    with pytest.raises(ValueError, match=r"gru: dh_T has shape \(5,\), expected \(3, 5\)"):
        cell.backward(saved, dh, np.zeros(5))


def test_an_unknown_act_is_refused_by_name() -> None:
    inputs, _, _ = drawn("elman", "plain", seed=0)
    with pytest.raises(ValueError, match="act is 'gelu', expected one of tanh, relu, identity"):
        Recorder(None).implementation("elman").forward(*inputs, act="gelu")
