"""The one dispatch point: what runs, what is refused, and what import costs."""

import os
import subprocess
import sys
from pathlib import Path

import nnseq_kernels
import numpy as np
import pytest

from nnseq import backend
from nnseq.backend import DeviceError, Implementation, kernels_for, use_kernels
from nnseq.cells.indrnn import indrnn

REFERENCE = Implementation("reference", lambda: None, lambda: None)
A = np.zeros(3)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ":".join(p for p in sys.path if p)} | environment,
    )


def test_numba_is_preferred_on_the_cpu():
    assert kernels_for("indrnn", A, REFERENCE).name == "numba"


def test_an_op_without_a_kernel_runs_its_reference():
    assert kernels_for("no_such_cell", A, REFERENCE) is REFERENCE


@pytest.mark.parametrize("name", ["cupy", "numba_cuda"])
def test_a_cuda_kernel_forced_on_a_cpu_array_is_refused_with_the_cure(name):
    with use_kernels(name), pytest.raises(DeviceError, match="cannot take an array on 'cpu'"):
        kernels_for("indrnn", A, REFERENCE)


def test_a_forced_kernel_that_an_op_lacks_is_refused():
    with use_kernels("numba"), pytest.raises(DeviceError, match=r"no_such_cell.*use_kernels"):
        kernels_for("no_such_cell", A, REFERENCE)


@pytest.mark.parametrize("name", ["cupy", "numba_cuda"])
def test_on_cuda_an_op_that_has_kernels_for_the_cpu_alone_runs_its_reference(name, monkeypatch):
    monkeypatch.setattr(backend, "device_of", lambda _: "cuda")
    with use_kernels(name):
        for op in backend.CPU_ONLY:
            assert kernels_for(op, A, REFERENCE) is REFERENCE
            assert backend.report()[op] == "reference"
        with pytest.raises(DeviceError, match="no_such_cell: has no"):
            kernels_for("no_such_cell", A, REFERENCE)
    with use_kernels("numba"), pytest.raises(DeviceError, match="batch_norm: kernels 'numba' can"):
        kernels_for("batch_norm", A, REFERENCE)


def test_all_other_ops_have_every_kernel():
    def having(kernel):
        paths = Path(nnseq_kernels.__file__).parent.glob(f"*/{backend.KERNELS[kernel]}.py")
        return {path.parent.name for path in paths}

    assert having("numba") - set(backend.CPU_ONLY) == having("cupy") == having("numba_cuda")
    assert having("numba") >= set(backend.CPU_ONLY)


def test_use_kernels_holds_inside_its_block_only():
    before = backend.forced_kernels()
    with use_kernels("reference"):
        assert kernels_for("indrnn", A, REFERENCE) is REFERENCE
        with use_kernels("numba"):
            assert backend.forced_kernels() == "numba"
        assert backend.forced_kernels() == "reference"
    assert backend.forced_kernels() == before


def test_unknown_kernels_are_refused_by_name():
    with pytest.raises(ValueError, match="got 'fast', expected one of auto, reference"):
        use_kernels("fast")
    done = python(
        "import numpy as np; from nnseq.cells.indrnn import indrnn\n"
        "indrnn(np.zeros((1, 1, 1)), np.zeros(1), np.zeros((1, 1)), None)",
        NNSEQ_KERNELS="fast",
    )
    assert "NNSEQ_KERNELS: got 'fast'" in done.stderr


def test_the_environment_forces_an_implementation():
    done = python(
        "import numpy as np; from nnseq.cells.indrnn import indrnn; from nnseq import backend\n"
        "indrnn(np.zeros((1, 1, 1)), np.zeros(1), np.zeros((1, 1)), None); print(backend.report())",
        NNSEQ_KERNELS="reference",
    )
    assert done.stdout.strip() == "{'indrnn': 'reference'}"


def test_a_cleared_report_speaks_of_what_runs_from_then_on():
    kernels_for("some_cell", A, REFERENCE)
    backend.clear_report()
    assert backend.report() == {}
    kernels_for("other_cell", A, REFERENCE)
    assert backend.report() == {"other_cell": "reference"}


def test_report_says_what_ran():
    with use_kernels("reference"):
        indrnn(np.zeros((1, 1, 1)), np.zeros(1), np.zeros((1, 1)), None)
        assert backend.report()["indrnn"] == "reference"
    indrnn(np.zeros((1, 1, 1)), np.zeros(1), np.zeros((1, 1)), None)
    assert backend.report()["indrnn"] == "numba"


def test_without_the_kernels_the_reference_runs_after_one_warning():
    code = """
import sys, warnings
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nnseq_kernels":
            raise ModuleNotFoundError(f"No module named {name!r}", name="nnseq_kernels")
sys.meta_path.insert(0, Blocked())
import numpy as np
from nnseq import backend
from nnseq.cells.indrnn import indrnn
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    for _ in range(3):
        h, _ = indrnn(np.ones((2, 1, 1)), np.ones(1), np.zeros((1, 1)), None)
print(h.ravel(), backend.report(), len(caught), caught[0].message)
"""
    done = python(code)
    assert done.stdout.startswith("[1. 2.] {'indrnn': 'reference'} 1 "), done.stderr
    assert "slow reference" in done.stdout


def test_import_touches_neither_numba_nor_cuda():
    done = python("import sys, nnseq; print(sorted({'numba', 'cupy', 'scipy'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_cuda_without_a_gpu_is_refused_with_the_cure():
    done = python(
        "import numpy as np; from nnseq import backend; backend.to_device(np.zeros(3), 'cuda')",
        CUDA_VISIBLE_DEVICES="",
    )
    assert "DeviceError: device 'cuda'" in done.stderr
    assert "use device 'cpu'" in done.stderr


def test_devices_and_arrays_are_checked():
    assert backend.to_device(A, "cpu") is A
    with pytest.raises(ValueError, match="got 'gpu', expected 'cpu' or 'cuda'"):
        backend.to_device(A, "gpu")
    with pytest.raises(TypeError, match="array_module: got list"):
        backend.array_module([1.0])
