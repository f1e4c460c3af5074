"""Measure nnseq beside PyTorch and JAX, and beside what this machine can do, in one run.

    python experiments/benchmarks/run.py --out bench.json                    every case, on the CPU
    python experiments/benchmarks/run.py --only lstm gru rnn --samples 9 --out recurrent.json
    python experiments/benchmarks/run.py --device cuda --out gpu.json        beside PyTorch on a GPU

Ours and a peer get the same arrays; their results must agree before any time is taken; then they
alternate, on the CPU in a process each, and the medians count. A ratio above 1 says how many times
faster ours is. The peer "plain" is our own layer without what the case adds (zoneout, lengths): its
ratio is the price of that, and ours is compared with our reference instead. Peak memory is measured
in a process of its own too. Exit code 2: the command asks for what is not here; 1: a result was
wrong, or a measurement failed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the package benchmarks is

from benchmarks import elsewhere, machine, memory, peers, report, threads, timing
from benchmarks.case import Case, Shape, Step
from benchmarks.cases import CASES, chosen
from nnseq.backend import DeviceError, device_module
from nnseq.machine import usable_cpus

SETS = {"cpu": 1, "cuda": 3}  # sets of inputs: on a GPU small ones would stay in its cache


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = _Parser(
        prog="benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="CASE", help=", ".join(c.name for c in CASES)
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="CPU threads, for all")
    parser.add_argument("--peers", nargs="+", default=[], choices=sorted(peers.NEEDS))
    parser.add_argument("--samples", type=int, default=5, help="of each side; medians count")
    parser.add_argument(
        "--kept",
        choices=("ours", "both", "none"),
        help="who keeps freed memory, on the CPU; default: ours",
    )
    parser.add_argument("--quick", action="store_true", help="tiny shapes: does it all work?")
    parser.add_argument("--no_memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = arguments(argv)
    try:
        if options.samples < 1:
            raise ValueError(f"--samples: {options.samples} came, expected at least 1")
        cases = chosen(options.only)
        check_kept(options)
        device_module(options.device)
        rivals = peers.chosen(options.peers, options.device, cases)
        peers.check_cases(cases if options.only else [], rivals)
        threads.before_imports(options.threads)
        report.check_path(options.out)
    except (ValueError, DeviceError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    for name in rivals:
        importlib.import_module(peers.NEEDS[name])
    try:
        with threads.pinned(options.threads) as pinning:
            start = elsewhere.read([os.getpid()])
            limits = machine.measure(options.device, options.threads, options.quick)
            others = elsewhere.cpus_between(start, elsewhere.read([os.getpid()]))
            rows = print_rows(measured(cases, rivals, limits, options), limits)
    except (timing.WrongResultError, RuntimeError, MemoryError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    about = machine.describe(options.device, options.threads, limits, pinning)
    content = {
        "machine": {**about, "cpus_elsewhere": others},
        "kept": options.kept,
        "versions": machine.versions(),
        "summary": report.summary(rows),
        "rows": rows,
    }
    print(*map(report.summary_line, content["summary"]), sep="\n")
    print(*(f"{line}\n" for line in report.warnings(content["machine"], rows)), sep="", end="")
    try:
        report.write(options.out, content)
    except OSError as error:
        print(f"benchmarks: --out {options.out}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def check_kept(options: argparse.Namespace) -> None:
    """Fill in --kept on the CPU.

    Raises:
        ValueError: it came for a GPU.
    """
    if options.device == "cpu":
        options.kept = options.kept or "ours"
    elif options.kept:
        raise ValueError(
            f"--kept: {options.kept} came with --device cuda, expected it with --device cpu alone: "
            "on a GPU the pools of CuPy and PyTorch keep freed memory"
        )


def print_rows(rows: Iterator[dict[str, Any]], limits: machine.Limits) -> list[dict[str, Any]]:
    """Print each row as it comes."""
    gigabytes = ", ".join(f"{name} {getattr(limits, name) / 1e9:.1f}" for name in limits._fields)
    print(f"limits (GB/s, GFLOP/s): {gigabytes}", report.header(), sep="\n", flush=True)
    done = []
    for row in rows:
        print(report.line(row), flush=True)
        done.append(row)
    return done


def measured(
    cases: list[Case],
    rivals: tuple[str, ...],
    limits: machine.Limits,
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """Yield one row for each case, shape and peer."""
    for case in cases:
        beside = [name for name in rivals if name in case.peers]
        for shape in case.shapes_on(options.device, options.quick) if beside else ():
            ours_peak = peak(case, shape, "ours", options)
            for peer in beside:
                samples = measure(case, shape, peer, options)
                peaks = ours_peak, peak(case, shape, peer, options)
                yield report.make_row(case, shape, peer, samples, limits, peaks, options.threads)


def measure(case: Case, shape: Shape, peer: str, options: argparse.Namespace) -> timing.Samples:
    """The seconds of ours and of the peer, once ours has been found right."""
    inputs = [case.draw(shape, seed) for seed in range(SETS[options.device])]

    def prepared(who: str) -> list[Step]:
        return [case.runner(who)(arrays, options.device) for arrays in inputs]

    judge = case.judge(peer)
    ours, theirs = prepared("ours"), prepared(judge)
    for mine, other in zip(ours, theirs, strict=True):
        who = f"{case.name} against {judge}"
        timing.check_steps(who, mine, other, case.tolerance, case.compared_steps)
    if options.device == "cuda":
        theirs = theirs if judge == peer else prepared(peer)
        return timing.alternate_cuda(ours, theirs, options.samples)
    del ours, theirs, mine, other
    return timing.alternate_processes(
        case.name, shape, peer, options.threads, options.samples, options.kept
    )


def peak(case: Case, shape: Shape, who: str, options: argparse.Namespace) -> int | None:
    """Peak bytes, unless --no_memory."""
    if options.no_memory:
        return None
    return memory.peak_bytes(case, shape, who, options.device, options.threads, options.kept)


class _Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
