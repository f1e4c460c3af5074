"""The rows: what each holds, the table that is printed, and the JSON file."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Shape

COLUMNS = {
    **{"case": 18, "T": 5, "B": 4, "I": 4, "H": 4, "L": 2, "peer": 10},
    **{"ours ms": 9, "peer ms": 9, "ratio": 7, "limit ms": 9, "x limit": 8},
    **{"ours MB": 8, "peer MB": 8, "x model": 8},
}  # title -> width


def make_row(
    case: Case,
    shape: Shape,
    peer: str,
    seconds: tuple[Sequence[float], Sequence[float]],
    limits: Mapping[str, float],
    peaks: tuple[int | None, int | None],
    threads: int,
) -> dict[str, Any]:
    """One case at one shape against one peer.

    `ratio` above 1: ours is faster than the peer. `limit_s` is the limit into warm memory,
    `limit_fresh_s` into fresh memory, which both sides pay when they allocate their results.
    """
    ours_s, peer_s = map(statistics.median, seconds)
    model_bytes = case.model_bytes(shape)
    return {
        "case": case.name,
        "does": case.does,
        "shape": shape._asdict(),
        "dtype": "float32",
        "threads": threads,
        "peer": peer,
        "ours_s": ours_s,
        "peer_s": peer_s,
        "ratio": peer_s / ours_s,
        "ours_all_s": list(seconds[0]),
        "peer_all_s": list(seconds[1]),
        "limit_s": limits["warm"],
        "limit_fresh_s": limits["fresh"],
        "ours_peak_bytes": peaks[0],
        "peer_peak_bytes": peaks[1],
        "model_bytes": model_bytes,
        "ours_peak_ratio": None if peaks[0] is None else peaks[0] / model_bytes,
    }


def header() -> str:
    """The table's first line; memory is in MB, and as a multiple of model_bytes."""
    return _line(COLUMNS)


def line(row: Mapping[str, Any]) -> str:
    """One row of the table."""
    shape, milli = row["shape"], [1e3 * row[key] for key in ("ours_s", "peer_s", "limit_s")]
    peaks = [row["ours_peak_bytes"], row["peer_peak_bytes"]]
    cells = (
        *(row["case"], *(shape[axis] for axis in "TBIHL"), row["peer"]),
        *(f"{milli[0]:.2f}", f"{milli[1]:.2f}", f"{row['ratio']:.2f}"),
        *(f"{milli[2]:.2f}", f"{milli[0] / milli[2]:.2f}" if milli[2] else "-"),
        *("-" if peak is None else f"{peak / 1e6:.0f}" for peak in peaks),
        "-" if row["ours_peak_ratio"] is None else f"{row['ours_peak_ratio']:.2f}",
    )
    return _line(cells)


def check_path(path: Path) -> None:
    """Refuse a file that `write` could not write, before minutes of measuring.

    Raises:
        ValueError: no such folder, no permission, or a folder of that name.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(
            f"--out: {path} cannot be written, expected a file in a folder that exists and that "
            "you may write to"
        )


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _line(cells: Iterable[Any]) -> str:
    pairs = zip(cells, COLUMNS.values(), strict=True)
    first, *rest = (f"{cell:>{width}}" for cell, width in pairs)
    return " ".join([first.strip().ljust(COLUMNS["case"]), *rest])
