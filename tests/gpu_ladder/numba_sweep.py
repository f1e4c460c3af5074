"""Runs the registry's Numba-CUDA kernels in the completed simulator, against the reference.

`python -m tests.gpu_ladder.numba_sweep ORDER`, with NUMBA_ENABLE_CUDASIM=1; prints the number of
examples per op as JSON. Sizes are the registry's that the simulator, which is slow, can take;
float32 runs in the order "forward" only, as the simulator computes with NumPy's types anyway.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter

import numpy as np
from nnseq_kernels.registry import KERNELS

from tests.cells.recurrent_cases import CELLS
from tests.kernels.recurrence.parity import check_infinite_state

from .agreement import Pair, assert_agrees, reference
from .examples import examples
from .numba_simulator import install

MAX_ELEMENTS = 600  # T B H: 0.1 s per example


def main(order: str) -> None:
    simulator = install()
    simulator.order = order
    done: Counter[str] = Counter()
    for spec in KERNELS:
        module = importlib.import_module(f"nnseq_kernels.{spec.name}.numba_cuda")
        ours = Pair(module.forward, module.backward)
        if spec.name in CELLS:
            check_infinite_state(spec.name, ours)
        for sizes in spec.examples:
            if np.prod(list(sizes.values())) > MAX_ELEMENTS:
                continue
            for dtype in ("float32", "float64") if order == "forward" else ("float64",):
                for example in examples(spec.name, sizes, dtype):
                    assert_agrees(ours, reference(spec.reference), example)
                    done[spec.name] += 1
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1])
