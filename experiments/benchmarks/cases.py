"""Every case there is; a cell adds its own by one file and one name here."""

from __future__ import annotations

from benchmarks import adding_step, indrnn, recurrent
from benchmarks.case import Case

CASES: tuple[Case, ...] = (*indrnn.CASES, *adding_step.CASES, *recurrent.CASES)


def chosen(names: list[str]) -> list[Case]:
    """The cases of these names, or all.

    Raises:
        ValueError: a name that no case has.
    """
    known = {case.name: case for case in CASES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"--only: {', '.join(unknown)} came, expected some of {', '.join(known)}")
    return [known[name] for name in names] if names else list(CASES)
