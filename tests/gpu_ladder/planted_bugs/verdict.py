"""Runs cases in the modes that must object and says which did not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..processes import run_module
from .case import Case


def outcomes(mode: str, cases: Sequence[Case]) -> dict[str, str]:
    """What happened to each case in this mode, by name."""
    names = [case.name for case in cases]
    found: dict[str, str] = run_module("planted_bugs.run", mode, *names, mode=mode)
    return found


def is_caught(case: Case, mode: str, outcome: str) -> bool:
    """Whether the mode objected in the expected words, a sanitizer also at a marked line."""
    named = any(f"{case.path.name}:{line}" in outcome for line in case.marked_lines())
    return bool(re.search(case.caught[mode], outcome, re.DOTALL)) and (named or mode == "fast")
