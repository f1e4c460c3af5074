"""Peak memory of a step, in a process of its own, which keeps freed memory as in the timing.

    python -m benchmarks.memory '{"case": ..., "who": ..., ...}'

On the CPU: the growth of resident memory from after the imports and a warm-up at a tiny shape to
the highest point of the third step at this shape (VmHWM of /proc/self/status): inputs and model
count, what it took to draw them or to compile does not. On a GPU: the bytes that the library's pool
took from the device for all of that; the second step may record a CUDA graph with its own arrays.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.case import Case, Prepare, Shape, Step
from benchmarks.worker import WARM_UP, command, keep_freed_memory_if

STATUS = Path("/proc/self/status")


def peak_bytes(
    case: Case, shape: Shape, who: str, device: str, threads: int, kept: str | None
) -> int | None:
    """Measure "ours" or a peer in a new process; None where the system does not tell.

    Raises:
        RuntimeError: that process failed; the message ends with its last line.
    """
    if device == "cpu" and not STATUS.exists():
        return None
    task = {"case": case.name, "shape": shape, "who": who, "device": device}
    task |= {"threads": threads, "kept": kept}
    arguments, environment = command("memory", task)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"{case.name}: memory of {who}: exit code {done.returncode}: {last}")
    return int(done.stdout.split()[-1])


def main(text: str) -> None:
    """Print the peak of the task."""
    from benchmarks import threads
    from benchmarks.cases import chosen

    task = json.loads(text)
    threads.before_imports(task["threads"])
    keep_freed_memory_if(task["kept"], task["who"])
    (case,) = chosen([task["case"]])
    shape, prepare = Shape(*task["shape"]), case.runner(task["who"])
    prepare(case.draw(case.quick_shapes[0], 0), task["device"])()
    gc.collect()
    with threads.pinned(task["threads"]):
        measure = _cuda_peak if task["device"] == "cuda" else _resident_peak
        print(measure(case, shape, prepare))


def _resident_peak(case: Case, shape: Shape, prepare: Prepare) -> int:
    _give_back_freed_memory()
    before = _status("VmRSS")
    step = prepare(case.draw(shape, 1), "cpu")
    _run_steps(step, WARM_UP)  # some compile for this shape
    gc.collect()
    _give_back_freed_memory()
    _forget_peak()
    _run_steps(step, 1)
    return _status("VmHWM") - before


def _run_steps(step: Step, count: int) -> None:
    for _ in range(count):
        results = step()
        del results  # a training step's results are gone before the next


def _forget_peak() -> None:
    """Let VmHWM begin at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _give_back_freed_memory() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024  # "kB" there means KiB
    raise RuntimeError(f"memory: {STATUS} has no line {key}")


def _cuda_peak(case: Case, shape: Shape, prepare: Prepare) -> int:
    before = _taken_from_the_device()
    _run_steps(prepare(case.draw(shape, 1), "cuda"), WARM_UP + 1)
    return _taken_from_the_device() - before


def _taken_from_the_device() -> int:
    """Bytes that CuPy's and PyTorch's pools hold; a pool grows and keeps, so it is their peak."""
    from nnseq.backend import device_module

    torch = sys.modules.get("torch")
    ours = device_module("cuda").get_default_memory_pool().total_bytes()
    return int(ours + (torch.cuda.memory_reserved() if torch else 0))


if __name__ == "__main__":
    main(sys.argv[1])
