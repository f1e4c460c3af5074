"""What every cell without kernels owes, as one call each; its tests say which inputs it has."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from nnseq.backend import DeviceError, use_kernels
from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.ops.joining import concat
from nnseq.tensor import Tensor, grad
from tests.kernels.indrnn.parity import require_gpu
from tests.strategies import LAYOUTS, lay_out

CONSTANT = ("z_h", "z_c", "mask", "mean", "var")  # inputs without a gradient
SINGLE = 3e-5  # float32 against float64, of the largest entry: 1/√ of a variance below 1 and ε

# Shape of a zoneout weight, with whatever values: fresh in training, evaluation, static, odd.
ZONEOUT: dict[str, tuple[str, str]] = {
    "fresh": ("T B H", "0 or 1"),
    "per unit": ("1 1 H", "between"),
    "static": ("T 1 H", "0 or 1"),
    "per sequence": ("1 B H", "between"),
}


class Cell(NamedTuple):
    """One op and how to call it."""

    module: ModuleType
    outputs: tuple[str, ...]  # those that have a gradient, which come first

    @property
    def name(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    def call(self, inputs: dict[str, Any], **options: Any) -> Any:
        return getattr(self.module, self.name)(*inputs.values(), **options)

    def run(self, inputs: dict[str, Any], doutputs: Any = None, **options: Any) -> dict[str, Any]:
        """Outputs and gradients by name, through the tape; random upstream gradients if None."""
        xs = {
            name: x if x is None or name in CONSTANT else Tensor(x, requires_grad=True)
            for name, x in inputs.items()
        }
        ys = self.call(xs, **options)[: len(self.outputs)]
        if doutputs is None:
            doutputs = upstream(ys)
        wanted = {name: x for name, x in xs.items() if isinstance(x, Tensor)}
        used = [(y, dy) for y, dy in zip(ys, doutputs, strict=True) if dy is not None]
        dxs = grad([y for y, _ in used], list(wanted.values()), [dy for _, dy in used])
        found = {name: y.data for name, y in zip(self.outputs, ys, strict=True)}
        return found | {f"d{name}": dx for name, dx in zip(wanted, dxs, strict=True)}


def upstream(ys: Any, seed: int = 11) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(y.shape).astype(y.dtype) for y in ys]


def zoneout(rng: np.random.Generator, kind: str, T: int, B: int, H: int) -> np.ndarray:
    axes, values = ZONEOUT[kind]
    shape = tuple({"T": T, "B": B, "H": H, "1": 1}[axis] for axis in axes.split())
    return (
        (rng.random(shape) < 0.4).astype(float) if values == "0 or 1" else rng.uniform(size=shape)
    )


def as_function(
    cell: Cell, inputs: dict[str, Any], **options: Any
) -> tuple[Callable[..., Any], Any]:
    """The op as a function of the inputs that have a gradient, and these inputs."""
    free = [name for name, x in inputs.items() if x is not None and name not in CONSTANT]

    def f(*xs: Any) -> Any:
        given = inputs | dict(zip(free, xs, strict=True))
        return cell.call(given, **options)[: len(cell.outputs)]

    return f, [inputs[name] for name in free]


def check_gradients(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    f, xs = as_function(cell, inputs, **options)
    gradcheck(f, *xs, rng=np.random.default_rng(1))


def check_gradients_at_once(cell: Cell, inputs: dict[str, Any], seed: int, **options: Any) -> None:
    """As check_gradients, without each output alone: a fifth of the time."""
    f, xs = as_function(cell, inputs, **options)
    gradcheck(
        lambda *xs: concat([y.reshape(y.size) for y in f(*xs)], 0),
        *xs,
        rng=np.random.default_rng(seed),
    )


def check_gradients_along(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    f, xs = as_function(cell, inputs, **options)
    gradcheck_directional(f, *xs, rng=np.random.default_rng(2))


def assert_close(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    for name, right in expected.items():
        scale = np.abs(right).max(initial=1.0)
        np.testing.assert_allclose(got[name], right, rtol=0, atol=tolerance * scale, err_msg=name)


def check_manners(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    """Same bits twice; any layout; float32; nobody writes into inputs, saved or upstream arrays."""
    expected = cell.run(inputs, **options)
    again = cell.run(inputs, **options)
    for name, right in expected.items():
        np.testing.assert_array_equal(again[name], right, err_msg=name)
    for layout in LAYOUTS:
        laid = {k: x if x is None else lay_out(x, layout) for k, x in inputs.items()}
        assert_close(cell.run(laid, **options), expected, 1e-12)
    half = {k: x if x is None or x.dtype == bool else np.float32(x) for k, x in inputs.items()}
    single = cell.run(half, **options)
    assert {y.dtype for y in single.values()} == {np.dtype(np.float32)}
    assert_close(single, expected, SINGLE)
    _check_read_only(cell, inputs, **options)


def _check_read_only(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    frozen = {k: x if x is None else _frozen(x) for k, x in inputs.items()}
    arrays, options = cell.module.prepare(*frozen.values(), **options)
    outputs, saved = cell.module.forward(*arrays, **options)
    kept = list(_arrays(saved))
    copies = [x.copy() for x in kept]
    for x in (*kept, *outputs):
        x.setflags(write=False)
    number = len(cell.outputs)
    doutputs = [_frozen(dy) for dy in upstream(outputs[:number])]
    gradients = cell.module.backward(saved, *doutputs)
    for x, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(x, copy)
    assert len(gradients) == len(inputs)
    own = [dx for dx in gradients if dx is not None]
    for k, dx in enumerate(own):
        others = [*frozen.values(), *doutputs, *outputs, *kept, *own[:k]]
        assert not any(np.shares_memory(dx, x) for x in others if x is not None)
    for (name, x), dx in zip(frozen.items(), gradients, strict=True):
        assert (dx is None) == (x is None or name in CONSTANT), name
    for k in range(number):  # any one alone
        alone = [dy if j == k else None for j, dy in enumerate(doutputs)]
        cell.module.backward(saved, *alone)


def _frozen(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.setflags(write=False)
    return x


def _arrays(saved: Any) -> Any:
    for value in saved:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _arrays(value)


def check_outputs_add_up(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    """The gradients of each output alone add up to those of all together."""
    ys = cell.call(inputs, **options)[: len(cell.outputs)]
    doutputs = upstream(ys)
    whole = cell.run(inputs, doutputs, **options)
    total = {name: 0.0 for name in whole if name not in cell.outputs}
    for k in range(len(doutputs)):
        alone = [dy if j == k else None for j, dy in enumerate(doutputs)]
        part = cell.run(inputs, alone, **options)
        total = {name: dx + part[name] for name, dx in total.items()}
    assert_close(total, {name: whole[name] for name in total}, 1e-12)


def check_padding(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    """States are held, a gets no gradient and may hold NaN, where the mask (inputs') is False."""
    mask, states = inputs["mask"], len(cell.outputs) // 2
    expected = cell.run(inputs, **options)
    a = np.where(mask[:, :, None], inputs["a"], np.nan)
    got = cell.run(inputs | {"a": a}, **options)
    for name, right in expected.items():
        np.testing.assert_array_equal(got[name], right, err_msg=name)
    np.testing.assert_array_equal(expected["da"][~mask], 0)
    for name in cell.outputs[:states]:
        held = np.concatenate([inputs[f"{name}0"][None], expected[name]])
        np.testing.assert_array_equal(held[1:][~mask], held[:-1][~mask])
        np.testing.assert_array_equal(expected[f"{name}_T"], held[-1])


def check_cut(cell: Cell, inputs: dict[str, Any], per_step: Any, **options: Any) -> None:
    """Two halves with the states carried give the outputs and gradients of the whole."""
    T = len(inputs["a"])
    names = cell.outputs[: len(cell.outputs) // 2]
    whole = cell.run(inputs, **options)
    doutputs = upstream([whole[name] for name in cell.outputs])
    for cut in (0, 1, T // 2, T):
        xs = {
            k: x if x is None or k in CONSTANT else Tensor(x, requires_grad=True)
            for k, x in inputs.items()
        }
        halves, states = [], {f"{name}0": xs[f"{name}0"] for name in names}
        for steps in (slice(0, cut), slice(cut, T)):
            part = {
                k: x[steps] if k in per_step and x is not None and len(x) == T else x
                for k, x in xs.items()
            }
            ys = cell.call(part | states, **options)
            halves.append(ys[: len(names)])
            states = {f"{n}0": y for n, y in zip(names, ys[len(names) :], strict=False)}
        dys = [dy[s] for s in (slice(0, cut), slice(cut, T)) for dy in doutputs[: len(names)]]
        wanted = {k: x for k, x in xs.items() if isinstance(x, Tensor)}
        ends = [y for half in halves for y in half] + list(states.values())
        dxs = grad(ends, list(wanted.values()), [*dys, *doutputs[len(names) :]])
        got = {f"d{k}": dx for k, dx in zip(wanted, dxs, strict=True)}
        for k, name in enumerate(names):
            got[name] = np.concatenate([halves[0][k].data, halves[1][k].data])
            got[f"{name}_T"] = states[f"{name}0"].data
        assert_close(got, whole, 1e-12)


def check_refusals(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    """Second derivatives and kernels are refused by the cell's name."""
    f, xs = as_function(cell, inputs, **options)
    xs = [Tensor(x, requires_grad=True) for x in xs]
    h = f(*xs)[0]
    with pytest.raises(NotImplementedError, match=f"{cell.name}: create_graph=True"):
        grad(h, xs, np.ones(h.shape), create_graph=True)
    with use_kernels("numba"), pytest.raises(DeviceError) as caught:
        cell.call(inputs, **options)
    assert str(caught.value).startswith(f"{cell.name}: has no 'numba' kernels; use_kernels('auto')")
    assert "use_kernels('" in str(caught.value)  # the cure
    for name in ("cupy", "numba_cuda"):
        with use_kernels(name), pytest.raises(DeviceError, match=f"{cell.name}: kernels '{name}'"):
            cell.call(inputs, **options)


def check_on_gpu(cell: Cell, inputs: dict[str, Any], **options: Any) -> None:
    """The same lines on CuPy give NumPy's outputs and gradients."""
    cupy = require_gpu()
    expected = cell.run(inputs, **options)
    doutputs = upstream([expected[name] for name in cell.outputs])
    there = {k: None if x is None else cupy.asarray(x) for k, x in inputs.items()}
    got = cell.run(there, [cupy.asarray(dy) for dy in doutputs], **options)
    assert_close({name: y.get() for name, y in got.items()}, expected, 1e-10)


def compare_with_torch(
    cell: Cell, inputs: dict[str, Any], theirs: Callable[..., Any], **options: Any
) -> None:
    """Outputs and all gradients to 1e-10; theirs(torch, **tensors) returns outputs in order."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    ours = cell.run(inputs, **options)
    doutputs = [torch.tensor(dy) for dy in upstream([ours[name] for name in cell.outputs])]
    xs = {
        k: None if x is None else torch.tensor(x, requires_grad=k not in CONSTANT)
        for k, x in inputs.items()
    }
    ys = theirs(torch, **xs)
    wanted = {k: x for k, x in xs.items() if x is not None and k not in CONSTANT}
    dxs = torch.autograd.grad(ys, list(wanted.values()), doutputs)
    expected = {name: y.detach().numpy() for name, y in zip(cell.outputs, ys, strict=True)}
    expected |= {f"d{k}": dx.numpy() for k, dx in zip(wanted, dxs, strict=True)}
    assert set(expected) == set(ours)
    assert_close(ours, expected, 1e-10)
