"""`python -m nnseq info`: what nnseq would run on here."""

from __future__ import annotations

import importlib.util
import sys

from nnseq import backend, machine


def info() -> list[str]:
    """The lines that `python -m nnseq info` prints: device, kernels, threads, versions."""
    device = machine.choose_device("auto")
    lines = [f"device: {device} (of {', '.join(backend.PREFERENCE)})"]
    if device == "cpu":
        lines.append(f"no cuda: {_why_no_cuda()}")
    has_kernels = importlib.util.find_spec("nnseq_kernels") is not None
    for name, implementations in backend.PREFERENCE.items():
        present = [i for i in implementations if i == "reference" or (has_kernels and _runs(i))]
        lines.append(f"kernels on {name}, in order: {', '.join(present)}")
    lines.append(f"kernels forced: {backend.forced_kernels()}")
    lines.append(f"threads: {machine.usable_cpus()}")
    lines += [f"{name}: {version}" for name, version in machine.versions().items()]
    return lines


def _why_no_cuda() -> str:
    if not machine.has_driver():
        return f"NVIDIA's driver library {machine.DRIVER} is not here"
    try:
        backend.device_module("cuda")
    except backend.DeviceError as error:
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
