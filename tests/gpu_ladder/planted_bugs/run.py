"""Runs cases in one mode: `python -m tests.gpu_ladder.planted_bugs.run MODE NAME...`

Each runs in a forked child. Prints one JSON object: name -> what happened, "right", "wrong in order
...", "raised Type: message" or "exit CODE" with what the sanitizer wrote.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import IO

import numpy as np

from tests.gpu_ladder.cusim import ORDERS, LaunchError, Module

from .bugs import BUGS
from .case import Case
from .good import GOOD

ALL = {case.name: case for case in BUGS + GOOD}


def run_case(case: Case, module: Module) -> str:
    """Launches a case in every order and says what came of it."""
    for order in ORDERS:
        arguments = case.arguments()
        try:
            module.get_function(case.kernel)(
                case.grid, case.block, arguments, shared_mem=case.shared_mem, order=order
            )
        except (LaunchError, TypeError, ValueError) as error:
            return f"raised {type(error).__name__}: {error}"
        if case.result is None:
            continue
        if not np.allclose(arguments[case.output], case.result(arguments), rtol=1e-6, atol=0):
            return f"wrong in order {order}"
    return "right"


def in_child(case: Case, module: Module) -> str:
    """Runs a case in a forked process, so that a crash or an abort is a result like others."""
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as report:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be_child(case, module, answer, report)
        _, status = os.waitpid(child, 0)
        answer.seek(0)
        report.seek(0)
        code = os.waitstatus_to_exitcode(status)
        said = report.read()
        if code or "Sanitizer: " in said.replace("WARNING: ASan doesn't", ""):
            return f"exit {code}: {said}"
        return answer.read()


def _be_child(case: Case, module: Module, answer: IO[str], report: IO[str]) -> None:
    os.dup2(report.fileno(), 2)
    code = 1
    try:
        answer.write(run_case(case, module))
        answer.flush()
        code = 0
    finally:
        os._exit(code)


def main(mode: str, names: list[str]) -> None:
    results = {}
    for name in names:
        case = ALL[name]
        module = Module(case.path, (), case.names, mode, case.cooperative)
        results[name] = in_child(case, module)
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
