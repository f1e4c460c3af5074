"""experiments/benchmarks: the file it writes, the equality it insists on, and what it refuses.

Peers that are not installed are not tested here: the reference always is.
"""

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from benchmarks import elsewhere, machine, memory, peers, report, threads, timing
from benchmarks import run as run_module
from benchmarks.case import Shape
from benchmarks.cases import CASES, chosen

PEERS = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(package), reason=f"no {package}"))
    for name, package in peers.NEEDS.items()
]
PAIRS = [
    pytest.param(case, *peer.values, marks=peer.marks, id=f"{case.name}-{peer.values[0]}")
    for case in CASES
    for peer in PEERS
    if peer.values[0] in case.peers
]
KEYS = {
    *("case", "shape", "dtype", "threads", "peer", "ours_s", "peer_s", "ratio", "limit_s"),
    *("ours_all_s", "peer_all_s", "ours_peak_bytes", "peer_peak_bytes", "model_bytes"),
    *("ours_flops", "peer_flops", "ours_sgemm_share", "peer_sgemm_share", "cpus_elsewhere"),
}
RATES = machine.Limits(copy_warm=1e9, copy_fresh=5e8, sgemm=1e12, sgemm_1=5e11)


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
    assert content.keys() == {"machine", "kept", "versions", "summary", "rows"}
    assert content["kept"] == "ours"
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
    line, summary = done.stdout.splitlines()[2:4]  # a word on other work may follow
    assert f"{row['ratio']:.2f}" in line
    assert summary.startswith("indrnn against reference: geometric mean")
    assert [entry["ratio_geomean"] for entry in content["summary"]] == pytest.approx([row["ratio"]])


@pytest.mark.parametrize(("case", "peer"), PAIRS)
def test_ours_and_the_peer_agree(case, peer):
    arrays = case.draw(case.quick_shapes[0], 0)
    ours, theirs = (case.runner(who)(arrays, "cpu") for who in ("ours", case.judge(peer)))
    with threads.pinned(1):  # beside other work, several threads of PyTorch take seconds
        timing.check_steps(case.name, ours, theirs, case.tolerance, case.compared_steps)
        assert case.runner(peer)(arrays, "cpu")().keys() == ours().keys()


@pytest.mark.parametrize("peer", PEERS)
def test_ours_and_the_peer_are_timed_in_turn(peer):
    case = next(case for case in CASES if peer in case.peers)
    seconds = timing.alternate_processes(case.name, case.quick_shapes[0], peer, 1, 2, "both")
    assert (len(seconds.ours), len(seconds.peer)) == (2, 2)
    assert min(*seconds.ours, *seconds.peer) > 0


def test_on_a_gpu_ours_and_the_peer_take_turns_after_a_warm_up(monkeypatch):
    """The GPU stands still here: only the order of the calls and of the events counts."""
    calls = []
    event = SimpleNamespace(record=lambda: calls.append("event"), synchronize=lambda: None)
    cuda = SimpleNamespace(
        Event=lambda: event,
        get_elapsed_time=lambda start, end: 1000.0 * len(calls),
        runtime=SimpleNamespace(deviceSynchronize=lambda: None),
    )
    monkeypatch.setattr(timing, "device_module", lambda device: SimpleNamespace(cuda=cuda))
    steps = {name: (lambda name=name: calls.append(name) or {}) for name in ("a", "b", "x", "y")}
    seconds = timing.alternate_cuda([steps["a"], steps["b"]], [steps["x"], steps["y"]], 3)
    done = [name for name in calls if name != "event"]
    assert done == [*"abab", *"xyxy", *"ax", *"by", *"ax"]
    assert calls[1::3] == done  # every step between two events
    assert seconds[:2] == (
        [27.0, 33.0, 39.0],
        [30.0, 36.0, 42.0],
    )  # calls until then, all with events


@pytest.mark.parametrize("name", ["lstm_zoneout", "gru_zoneout", "lstm_masked", "gru_masked"])
def test_an_option_is_timed_beside_the_plain_layer_only_if_its_own_result_is_right(name):
    (case,) = chosen([name])
    wrong = dataclasses.replace(case, ours=case.peers["plain"])  # leaves the option out
    options = SimpleNamespace(device="cpu")
    with pytest.raises(timing.WrongResultError, match=f"{name} against reference"):
        run_module.measure(wrong, case.quick_shapes[0], "plain", options)


def test_zoneout_draws_new_masks_in_every_step_and_lengths_end_the_sequences():
    cases = {case.name: case for case in CASES}
    arrays = cases["lstm"].draw(cases["lstm"].quick_shapes[0], 0)
    step = {name: case.ours(arrays, "cpu") for name, case in cases.items() if "lstm" in name}
    plain, first, second = step["lstm"]()["h"], *(step["lstm_zoneout"]()["h"] for _ in range(2))
    np.testing.assert_array_equal(plain, step["lstm"]()["h"])
    assert (first != second).any(axis=(1, 2)).all()
    assert (first != plain).any(axis=(1, 2)).all()
    padded = np.arange(len(plain))[:, None] >= arrays["lengths"]
    masked = step["lstm_masked"]()["h"]
    assert padded.any()
    assert not masked[padded].any()
    np.testing.assert_array_equal(masked[~padded], plain[~padded])


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
    peak = memory.peak_bytes(case, shape, "ours", "cpu", 1, "ours")
    if sys.platform == "linux":
        assert 0.9 < peak / case.model_bytes(shape) < 1.25


def test_the_limit_of_the_recurrence_is_copying_its_five_arrays():
    (case,) = chosen(["indrnn_recurrence"])
    limits = case.limit(Shape(10, 20, 0, 30), RATES)
    assert limits == pytest.approx({"warm": 5 * 6000 * 4 / 1e9, "fresh": 5 * 6000 * 4 / 5e8})


@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_the_limit_of_a_recurrent_layer_is_its_six_products(name, gates):
    (case,) = chosen([name])
    T, B, I, H = 10, 20, 30, 40
    x_W, h_W = T * B * I * gates * H, T * B * H * gates * H  # multiplications
    seconds = (3 * 2 * x_W + 3 * 2 * h_W) / RATES.sgemm
    assert case.limit(Shape(T, B, I, H), RATES) == pytest.approx(
        {"warm": seconds, "fresh": seconds}
    )


def test_shapes_of_their_own_on_a_gpu():
    (lstm, indrnn) = chosen(["lstm", "indrnn"])
    assert {(T, B, I) for T, B, I, _, _ in lstm.shapes_on("cuda", False)} == {
        (256, B, H) for B in (32, 128) for H in (128, 256, 512, 1024)
    }
    assert all(I == H for _, _, I, H, _ in lstm.shapes_on("cuda", False))
    assert Shape(150, 128, 256, 1000) in lstm.shapes_on("cpu", False)
    assert indrnn.shapes_on("cuda", False) == indrnn.shapes
    assert lstm.shapes_on("cuda", True) == lstm.quick_shapes


def test_medians_ratio_and_share_of_the_sgemm_rate_of_a_row():
    case = dataclasses.replace(CASES[0], operations=lambda shape: 10**12)
    samples = timing.Samples([3.0, 1.0, 2.0], [8.0, 4.0, 5.0], 0.25)
    row = report.make_row(case, Shape(1, 2, 3, 4), "torch", samples, RATES, (None, None), 2)
    assert (row["ours_s"], row["peer_s"], row["ratio"]) == (2.0, 5.0, 2.5)
    assert (row["ours_flops"], row["ours_sgemm_share"]) == (5e11, 0.5)
    assert (row["peer_flops"], row["peer_sgemm_share"]) == (2e11, 0.2)
    assert row["ours_peak_ratio"] is None
    assert {"2.50", "500.0", "50%", "0.25"} <= set(report.line(row).split())
    idle = {"cpus_elsewhere": 0.05}
    (warning,) = report.warnings(idle, [row, row | idle])
    assert warning.startswith("1 of the rows came while other work used up to 0.2 CPUs")
    assert report.warnings({"cpus_elsewhere": 1.5}, [row])[0].startswith("the machine's limits")


def test_a_case_without_products_has_no_share_of_the_sgemm_rate():
    (case,) = chosen(["indrnn_recurrence"])
    row = report.make_row(
        case, Shape(1, 2, 0, 4), "jax", timing.Samples([1.0], [1.0], None), RATES, (1, 2), 2
    )
    assert row["ours_flops"] is row["ours_sgemm_share"] is None
    assert "nan" not in report.line(row)
    assert report.warnings({"cpus_elsewhere": None}, [row]) == []


@pytest.mark.skipif(not elsewhere.STAT.exists(), reason="the system has no /proc/stat")
def test_other_work_is_what_the_machine_did_and_the_processes_did_not():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        own, others = ([os.getpid(), *more] for more in ([busy.pid], []))
        starts = [elsewhere.read(processes) for processes in (own, others)]
        time.sleep(0.5)
        ends = [elsewhere.read(processes) for processes in (own, others)]
        busy.kill()
    without, counted = map(elsewhere.cpus_between, starts, ends)
    used = (ends[0].own - starts[0].own) - (ends[1].own - starts[1].own)
    assert used > 0.1
    assert counted - without == pytest.approx(used / (ends[0].clock - starts[0].clock), abs=0.1)


def test_the_summary_has_the_geometric_mean_and_the_worst_of_each_case_and_peer():
    rows = [
        {"case": case, "peer": peer, "ratio": ratio, "shape": {"H": H}}
        | {"ours_peak_bytes": peak, "peer_peak_bytes": peak and 100}
        for case, peer, ratio, H, peak in (
            *(("lstm", "torch", 2.0, 5, 70), ("lstm", "torch", 0.5, 6, 90)),
            *(("lstm", "torch", 8.0, 7, 80), ("lstm_zoneout", "plain", 0.8, 5, None)),
        )
    ]
    lstm, zoneout = report.summary(rows)
    assert (lstm["case"], lstm["peer"], lstm["shapes"]) == ("lstm", "torch", 3)
    assert lstm["ratio_geomean"] == pytest.approx(math.cbrt(2.0 * 0.5 * 8.0))
    assert (lstm["ratio_least"], lstm["least_shape"]) == (0.5, {"H": 6})
    assert lstm["peak_ratio_most"] == 0.9
    assert zoneout["peak_ratio_most"] is None
    assert "mean of the ratios 2.00; least 0.50 at H 6; peak" in report.summary_line(lstm)
    assert report.summary_line(zoneout).endswith("time +25%, at most +25%")


def test_a_peer_that_is_not_installed_is_named_with_the_cure(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "jax" else object())
    with pytest.raises(ValueError, match=r"jax not installed; pip install 'nnseq\[bench\]'") as e:
        peers.chosen([], "cpu", CASES)
    assert "--peers reference" in str(e.value)
    assert peers.chosen(["reference"], "cpu", CASES) == ("reference",)
    assert peers.chosen([], "cpu", chosen(["lstm", "lstm_masked"])) == ("torch", "plain")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--only", "lstn"), "lstn came, expected some of indrnn"),
        (("--threads", "0"), "0 came, expected 1 to"),
        (("--samples", "0"), "0 came, expected at least 1"),
        (("--out", "/nowhere/x.json"), "--out: /nowhere/x.json cannot be written"),
        (("--out", "."), "--out: . cannot be written"),
        (("--device", "tpu"), "invalid choice: 'tpu'"),
        (("--device", "cuda", "--kept", "ours"), "--kept: ours came with --device cuda"),
        (("--only", "lstm", "--peers", "plain"), "lstm is measured against torch, reference"),
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
        peers.chosen(["jax"], "cuda", CASES)


def test_threads_are_set_for_every_library_and_put_back():
    import numba

    before = numba.get_num_threads()
    with threads.pinned(1) as how:
        assert numba.get_num_threads() == 1
        assert {"numba", "BLAS"} <= how.keys()
    assert numba.get_num_threads() == before
