"""Recording on CuPy: with a stand-in for CuPy here, and graphs that are replayed on a GPU."""

from __future__ import annotations

import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nnseq_kernels.launcher import Launcher
from nnseq_kernels.recurrence import cuda_graphs

from tests.cells.recurrent_cases import CELLS, INPUTS, OUTPUTS, draw
from tests.cells.recurrent_checks import every_cell, variant_named
from tests.kernels.indrnn.parity import require_gpu
from tests.kernels.recurrence.parity import run


class FakeStream:
    """A stream that notes its captures."""

    events: list[str] = []  # noqa: RUF012  (cleared by the fixture)
    ptr = 0

    def __init__(self, non_blocking: bool) -> None:
        assert non_blocking, (
            "the legacy default stream waits for a blocking one, and breaks capture"
        )

    def __enter__(self) -> None:
        self.events.append("enter")

    def __exit__(self, *error: object) -> None:
        self.events.append("exit")

    def begin_capture(self) -> None:
        self.events.append("begin")

    def end_capture(self) -> Any:
        self.events.append("end")
        return SimpleNamespace(launch=lambda: self.events.append("launch"))


@pytest.fixture
def cupy(monkeypatch: Any) -> Any:
    """A module in CuPy's place, on device 0 and stream 0."""
    FakeStream.events.clear()
    fake = SimpleNamespace(
        cuda=SimpleNamespace(
            Stream=FakeStream,
            runtime=SimpleNamespace(getDevice=lambda: fake.device),
            get_current_stream=lambda: SimpleNamespace(ptr=fake.stream),
        ),
        device=0,
        stream=0,
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(cuda_graphs, "Cublas", lambda module: SimpleNamespace(multiply=None))
    monkeypatch.setattr(cuda_graphs, "_thread", threading.local())
    return fake


def test_recording_captures_on_a_stream_of_its_own_and_replays_on_the_current_one(
    cupy: Any,
) -> None:
    replay = cuda_graphs.record(lambda: FakeStream.events.append("work"))
    assert FakeStream.events == ["enter", "begin", "work", "end", "exit"]
    replay()
    assert FakeStream.events[5:] == ["launch"]


def test_a_failed_recording_ends_the_capture_and_names_the_cure(cupy: Any) -> None:
    def fails() -> None:
        raise NotImplementedError("not while capturing")

    with pytest.raises(RuntimeError, match=r"not while capturing\); set NNSEQ_CUDA_GRAPHS=0"):
        cuda_graphs.record(fails)
    assert FakeStream.events == ["enter", "begin", "end", "exit"]


def test_the_error_that_broke_a_capture_is_the_one_that_is_reported(
    cupy: Any, monkeypatch: Any
) -> None:
    def invalid(self: Any) -> None:
        raise RuntimeError("capture is invalid")

    monkeypatch.setattr(FakeStream, "end_capture", invalid)
    with pytest.raises(RuntimeError, match="division by zero"):
        cuda_graphs.record(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(RuntimeError, match="capture is invalid"):
        cuda_graphs.record(lambda: None)


def test_each_device_and_stream_has_a_launcher_of_its_own(cupy: Any) -> None:
    first = cuda_graphs.graph_launcher()
    assert first.record is cuda_graphs.record
    assert cuda_graphs.graph_launcher() is first
    cupy.stream = 7
    second = cuda_graphs.graph_launcher()
    cupy.device = 1
    third = cuda_graphs.graph_launcher()
    launchers = (first, second, third)
    assert len({id(x.graphs) for x in launchers}) == 3
    assert len({id(x) for x in launchers}) == 3
    other_thread = ThreadPoolExecutor(1).submit(cuda_graphs.graph_launcher).result()
    assert other_thread is not third


def test_of_many_streams_the_one_used_longest_ago_gives_up_its_graphs(cupy: Any) -> None:
    first = cuda_graphs.graph_launcher()
    sequence = SimpleNamespace(run=lambda: None)
    for _ in range(2):
        _, run_it = first.graphs.sequence("a", lambda: sequence, lambda run: run)
        run_it()
    assert len(first.graphs) == 1
    for cupy.stream in range(1, cuda_graphs.STREAMS):
        cuda_graphs.graph_launcher()
    assert len(first.graphs) == 1
    cupy.stream = cuda_graphs.STREAMS
    with pytest.warns(RuntimeWarning, match="more than 8 streams"):
        cuda_graphs.graph_launcher()
    assert len(first.graphs) == 0


def test_the_variable_switches_graphs_off(cupy: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("NNSEQ_CUDA_GRAPHS", "0")
    plain: Launcher = cuda_graphs.graph_launcher()
    assert plain.record is None
    assert plain.multiply is None
    monkeypatch.setenv("NNSEQ_CUDA_GRAPHS", "3")
    assert cuda_graphs.graph_launcher().graphs.limit == 3
    for wrong in ("no", "-1", "1.5", ""):
        monkeypatch.setenv("NNSEQ_CUDA_GRAPHS", wrong)
        with pytest.raises(ValueError, match=f"NNSEQ_CUDA_GRAPHS is '{wrong}', expected the numb"):
            cuda_graphs.graph_launcher()


# ---- on a GPU ------------------------------------------------------------------------------------


def compare(cupy: Any, op: str, label: str, seed: int, **sizes: int) -> None:
    """One call on the GPU against the reference."""
    module = importlib.import_module(f"nnseq_kernels.{op}.cupy_raw")
    inputs, options, doutputs = draw(op, variant_named(op, label), seed=seed, **sizes)
    there = [[None if x is None else cupy.asarray(x) for x in xs] for xs in (inputs, doutputs)]
    got = run(module, op, there[0], options, there[1])
    expected = run(CELLS[op], op, inputs, options, doutputs)
    for name, right in expected.items():
        if right is not None:
            bound = 1e-10 * np.abs(right).max(initial=0) + 1e-300
            assert np.abs(cupy.asnumpy(got[name]) - right).max(initial=0) <= bound, name


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", ["16", "0"])
@pytest.mark.parametrize("label", ["plain", "all fresh"])
@every_cell
def test_replays_with_other_values_on_a_gpu(
    op: str, label: str, graphs: str, monkeypatch: Any
) -> None:
    cupy = require_gpu()
    monkeypatch.setenv("NNSEQ_CUDA_GRAPHS", graphs)
    for seed in range(4):
        compare(cupy, op, label, seed, T=20, B=9, H=65)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        for seed in range(4, 7):
            compare(cupy, op, label, seed, T=20, B=9, H=65)
        stream.synchronize()


@pytest.mark.gpu
@every_cell
def test_two_live_states_on_a_gpu(op: str) -> None:
    cupy = require_gpu()
    module = importlib.import_module(f"nnseq_kernels.{op}.cupy_raw")
    calls = []
    for seed in range(4):
        drawn = draw(op, variant_named(op, "all fresh"), 20, 9, 65, seed=seed)
        inputs = [cupy.asarray(x) for x in drawn[0]]
        calls.append((drawn, *module.forward(*inputs, **drawn[1])))
    for drawn, outputs, saved in reversed(calls):
        expected = run(CELLS[op], op, *drawn)
        gradients = module.backward(saved, *map(cupy.asarray, drawn[2]))
        got = dict(zip(OUTPUTS[op], outputs, strict=True))
        got |= {f"d{name}": dx for name, dx in zip(INPUTS[op], gradients, strict=True)}
        for name, right in expected.items():
            if right is not None:
                cupy.testing.assert_allclose(got[name], right, rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.gpu
@every_cell
def test_eager_and_replayed_calls_give_the_same_bits_on_a_gpu(op: str) -> None:
    cupy = require_gpu()
    module = importlib.import_module(f"nnseq_kernels.{op}.cupy_raw")
    drawn = draw(op, variant_named(op, "all fresh"), 33, 7, 129, np.float32)
    there = [[cupy.asarray(x) for x in arrays] for arrays in (drawn[0], drawn[2])]
    first, *others = (run(module, op, there[0], drawn[1], there[1]) for _ in range(4))
    for other in others:
        for name, x in first.items():
            assert x is None or x.tobytes() == other[name].tobytes(), name
