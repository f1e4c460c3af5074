"""Runs a module of the ladder in a process of its own and returns the JSON that it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .sanitizer import FOUND, run_python


def run_module(
    name: str, *arguments: str, mode: str = "fast", variables: Mapping[str, str] | None = None
) -> Any:
    """Runs `python -m tests.gpu_ladder.NAME *arguments` and returns what it printed, decoded.

    Raises AssertionError with its error output when it fails or a sanitizer has a finding.
    """
    done = run_python(mode, ["-m", f"tests.gpu_ladder.{name}", *arguments], variables)
    found = done.returncode == FOUND.get(mode)
    what = f"the {mode} sanitizer has a finding" if found else f"exit code {done.returncode}"
    assert done.returncode == 0, f"{name} {' '.join(arguments)}: {what}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout)
