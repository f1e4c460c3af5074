"""experiments/benchmarks: the file it writes, the equality it insists on, and what it refuses.

Peers that are not installed are not tested here: the reference always is.
"""

import dataclasses
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from benchmarks import machine, memory, peers, report, threads, timing
from benchmarks import run as run_module
from benchmarks.case import Shape
from benchmarks.cases import CASES, chosen

PEERS = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(package), reason=f"no {package}"))
    for name, package in peers.NEEDS.items()
]
PAIRS = [
    pytest.param(case, *peer.values, marks=peer.marks)
    for case in CASES
    for peer in PEERS
    if peer.values[0] in case.peers
]
KEYS = {
    *("case", "shape", "dtype", "threads", "peer", "ours_s", "peer_s", "ratio", "limit_s"),
    *("ours_all_s", "peer_all_s", "ours_peak_bytes", "peer_peak_bytes", "model_bytes"),
}


def run(*flags):
    return subprocess.run(
        [sys.executable, run_module.__file__, *map(str, flags)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )


def test_one_command_writes_the_table_and_the_file(tmp_path):
    out = tmp_path / "bench.json"
    flags = ("--quick", "--samples", 3, "--threads", 1, "--peers", "reference", "--out", out)
    done = run("--only", "indrnn", *flags)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert content.keys() == {"machine", "versions", "rows"}
    assert content["versions"]["numpy"] == np.__version__
    assert all(rate > 0 for rate in content["machine"]["limits"].values())
    (row,) = content["rows"]
    assert row.keys() >= KEYS
    assert row["shape"] == {"T": 20, "B": 3, "I": 4, "H": 5, "L": 1}
    assert (row["case"], row["peer"], row["dtype"]) == ("indrnn", "reference", "float32")
    assert row["threads"] == content["machine"]["threads"] == 1
    assert len(row["ours_all_s"]) == len(row["peer_all_s"]) == 3
    assert row["ours_s"] == sorted(row["ours_all_s"])[1]
    assert row["ratio"] == row["peer_s"] / row["ours_s"]
    assert f"{row['ratio']:.2f}" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(("case", "peer"), PAIRS, ids=lambda x: getattr(x, "name", x))
def test_ours_and_the_peer_agree_and_are_timed_in_turn(case, peer):
    arrays = case.draw(case.quick_shapes[0], 0)
    ours, theirs = case.ours(arrays, "cpu"), case.peers[peer](arrays, "cpu")
    timing.check_steps(case.name, ours, theirs, case.tolerance, case.compared_steps)
    seconds = timing.alternate_processes(case.name, case.quick_shapes[0], peer, 1, 2, "both")
    assert [len(s) for s in seconds] == [2, 2]
    assert min(*seconds[0], *seconds[1]) > 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_result_is_not_timed(case):
    arrays = case.draw(case.quick_shapes[0], 0)
    for name in case.ours(arrays, "cpu")():
        ours, peer = case.ours(arrays, "cpu"), case.peers["reference"](arrays, "cpu")

        def wrong(name=name, peer=peer):
            results = dict(peer())
            results[name] = results[name] * np.float32(1 + 3 * case.tolerance)
            return results

        with pytest.raises(timing.WrongResultError, match=f"{case.name}.*: {name} differs by"):
            timing.check_steps(case.name, ours, wrong, case.tolerance, 1)


def test_results_are_compared_by_name_shape_and_finiteness():
    x = np.ones((2, 3))
    with pytest.raises(timing.WrongResultError, match="the peer"):
        timing.check_equal("case", {"h": x}, {"dh": x}, 1e-4)
    with pytest.raises(timing.WrongResultError, match=r"h is \(2, 3\), the peer's \(3, 2\)"):
        timing.check_equal("case", {"h": x}, {"h": x.T}, 1e-4)
    with pytest.raises(timing.WrongResultError, match="differs by nan"):
        timing.check_equal("case", {"h": x * np.nan}, {"h": x}, 1e-4)


def test_the_training_step_updates_as_its_peer_does():
    """A step that keeps its parameters passes the first comparison and fails a later one."""
    (case,) = chosen(["adding_step"])
    arrays = case.draw(case.quick_shapes[0], 0)
    peer = case.peers["reference"](arrays, "cpu")

    def frozen():
        return case.ours(arrays, "cpu")()

    timing.check_steps("adding_step", frozen, peer, 1e-4, 1)
    with pytest.raises(timing.WrongResultError):
        timing.check_steps("adding_step", frozen, peer, 1e-4, 1)


def test_peak_memory_counts_what_a_step_holds():
    (case,) = chosen(["indrnn_recurrence"])
    shape = Shape(500, 50, 0, 128)  # 13 MB an array
    peak = memory.peak_bytes(case, shape, "ours", "cpu", 1)
    if sys.platform == "linux":
        assert 0.9 < peak / case.model_bytes(shape) < 1.25


def test_the_limit_of_the_recurrence_is_copying_its_five_arrays():
    (case,) = chosen(["indrnn_recurrence"])
    rates = machine.Limits(copy_warm=1e9, copy_fresh=5e8, sgemm=1e12, sgemm_1=5e11)
    limits = case.limit(Shape(10, 20, 0, 30), rates)
    assert limits == pytest.approx({"warm": 5 * 6000 * 4 / 1e9, "fresh": 5 * 6000 * 4 / 5e8})


def test_medians_and_ratio_of_a_row():
    case = dataclasses.replace(CASES[0], limit=lambda shape, limits: {"warm": 1.0, "fresh": 2.0})
    seconds = [3.0, 1.0, 2.0], [8.0, 4.0, 6.0]
    bounds = case.limit(None, None)
    row = report.make_row(case, Shape(1, 2, 3, 4), "torch", seconds, bounds, (None, None), 2)
    assert (row["ours_s"], row["peer_s"], row["ratio"]) == (2.0, 6.0, 3.0)
    assert row["ours_peak_ratio"] is None
    assert "3.00" in report.line(row)


def test_a_peer_that_is_not_installed_is_named_with_the_cure(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "jax" else object())
    with pytest.raises(ValueError, match=r"jax not installed; pip install 'nnseq\[bench\]'") as e:
        peers.chosen([], "cpu")
    assert "--peers reference" in str(e.value)
    assert peers.chosen(["reference"], "cpu") == ("reference",)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--only", "lstn"), "lstn came, expected some of indrnn"),
        (("--threads", "0"), "0 came, expected 1 to"),
        (("--samples", "0"), "0 came, expected at least 1"),
        (("--out", "/nowhere/x.json"), "--out: /nowhere/x.json cannot be written"),
        (("--out", "."), "--out: . cannot be written"),
        (("--device", "tpu"), "invalid choice: 'tpu'"),
        (("--quic",), "unrecognized arguments: --quic"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line_and_before(
    tmp_path, monkeypatch, capsys, flags, message
):
    monkeypatch.setattr(machine, "measure", None)
    argv = ["--peers", "reference", "--out", str(tmp_path / "x.json"), *flags]
    try:
        code = run_module.main(argv)
    except SystemExit as left:  # argparse leaves by itself
        code = left.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_jax_is_refused_on_cuda():
    with pytest.raises(ValueError, match="jax came with --device cuda, expected some of torch"):
        peers.chosen(["jax"], "cuda")


def test_threads_are_set_for_every_library_and_put_back():
    import numba

    before = numba.get_num_threads()
    with threads.pinned(1) as how:
        assert numba.get_num_threads() == 1
        assert {"numba", "BLAS"} <= how.keys()
    assert numba.get_num_threads() == before
