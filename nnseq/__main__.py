"""`python -m nnseq info`: what nnseq would run on here."""

from __future__ import annotations

import importlib.util
import sys

from nnseq.backend import PREFERENCE, DeviceError, device_module, forced_kernels
from nnseq.machine import DRIVER, choose_device, has_driver, usable_cpus, versions


def info() -> list[str]:
    """The lines that `python -m nnseq info` prints: device, kernels, threads, versions."""
    device = choose_device("auto")
    lines = [f"device: {device} (of {', '.join(PREFERENCE)})"]
    if device == "cpu":
        lines.append(f"no cuda: {_why_no_cuda()}")
    has_kernels = importlib.util.find_spec("nnseq_kernels") is not None
    for name, implementations in PREFERENCE.items():
        present = [i for i in implementations if i == "reference" or (has_kernels and _runs(i))]
        lines.append(f"kernels on {name}, in order: {', '.join(present)}")
    lines.append(f"kernels forced: {forced_kernels()}")
    lines.append(f"threads: {usable_cpus()}")
    lines += [f"{name}: {version}" for name, version in versions().items()]
    return lines


def _why_no_cuda() -> str:
    if not has_driver():
        return f"NVIDIA's driver library {DRIVER} is not here"
    try:
        device_module("cuda")
    except DeviceError as error:
        return str(error)
    raise AssertionError("choose_device said cpu although cuda is usable")


def _runs(implementation: str) -> bool:
    """Whether the package that compiles this implementation is installed."""
    package = {"numba": "numba", "cupy": "cupy", "numba_cuda": "numba_cuda"}[implementation]
    return importlib.util.find_spec(package) is not None


def main(argv: list[str]) -> int:
    """Runs the one command there is; returns the exit code."""
    if argv != ["info"]:
        came = " ".join(argv) or "nothing"
        print(f"nnseq: {came} came, expected: python -m nnseq info", file=sys.stderr)
        return 2
    print("\n".join(info()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
