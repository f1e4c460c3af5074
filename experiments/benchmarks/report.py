"""The rows: what each holds, the table that is printed, and the JSON file."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Shape
from benchmarks.elsewhere import MANY
from benchmarks.machine import Limits
from benchmarks.timing import Samples

COLUMNS = {
    **{"case": 18, "T": 5, "B": 4, "I": 4, "H": 4, "L": 2, "peer": 10},
    **{"ours ms": 9, "peer ms": 9, "ratio": 7, "limit ms": 9, "x limit": 8},
    **{"GF/s": 7, "% sgemm": 7, "ours MB": 8, "peer MB": 8, "x model": 8},
    "others": 6,
}  # title -> width


def make_row(
    case: Case,
    shape: Shape,
    peer: str,
    samples: Samples,
    limits: Limits,
    peaks: tuple[int | None, int | None],
    threads: int,
) -> dict[str, Any]:
    """One case at one shape against one peer.

    `ratio` above 1: ours is faster than the peer. `limit_s` is the limit into warm memory,
    `limit_fresh_s` into fresh memory, which both sides pay when they allocate their results.
    `flops` are operations of the products of matrices alone, per second of the whole step;
    `sgemm_share` is their share of what the machine does in one large product. `cpus_elsewhere`:
    how many CPUs other work used meanwhile; a ratio is worth something near 0 only.
    """
    ours_s, peer_s = map(statistics.median, (samples.ours, samples.peer))
    limit_s, model_bytes = case.limit(shape, limits), case.model_bytes(shape)
    ours_flops, peer_flops = (case.operations(shape) / s or None for s in (ours_s, peer_s))
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
        "ours_all_s": samples.ours,
        "peer_all_s": samples.peer,
        "cpus_elsewhere": samples.cpus_elsewhere,
        "limit_s": limit_s["warm"],
        "limit_fresh_s": limit_s["fresh"],
        "ours_flops": ours_flops,
        "peer_flops": peer_flops,
        "ours_sgemm_share": ours_flops and ours_flops / limits.sgemm,
        "peer_sgemm_share": peer_flops and peer_flops / limits.sgemm,
        "ours_peak_bytes": peaks[0],
        "peer_peak_bytes": peaks[1],
        "model_bytes": model_bytes,
        "ours_peak_ratio": None if peaks[0] is None else peaks[0] / model_bytes,
    }


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each case and peer, over the shapes: the geometric mean and the least of the ratios.

    `peak_ratio_most` is the largest of our peak memory over the peer's, None if not measured.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["case"], row["peer"]), []).append(row)
    found = []
    for (case, peer), group in groups.items():
        least = min(group, key=lambda row: row["ratio"])
        peaks = [(row["ours_peak_bytes"], row["peer_peak_bytes"]) for row in group]
        known = [ours / theirs for ours, theirs in peaks if ours is not None and theirs]
        entry = {
            "case": case,
            "peer": peer,
            "shapes": len(group),
            "ratio_geomean": statistics.geometric_mean(row["ratio"] for row in group),
            "ratio_least": least["ratio"],
            "least_shape": least["shape"],
            "peak_ratio_most": max(known, default=None),
        }
        found.append(entry)
    return found


def summary_line(entry: Mapping[str, Any]) -> str:
    """One case and peer in words."""
    mean, least = entry["ratio_geomean"], entry["ratio_least"]
    at = ", ".join(f"{axis} {size}" for axis, size in entry["least_shape"].items())
    peak = entry["peak_ratio_most"]
    parts = (
        f"{entry['case']} against {entry['peer']}: geometric mean of the ratios {mean:.2f}",
        f"least {least:.2f} at {at}",
        *([f"time {1 / mean - 1:+.0%}, at most {1 / least - 1:+.0%}"] * (entry["peer"] == "plain")),
        *([] if peak is None else [f"peak memory at most {peak:.2f} of the peer's"]),
    )
    return "; ".join(parts)


def warnings(about: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line each if the machine's limits or some rows were measured while other work ran."""
    busy = [row["cpus_elsewhere"] for row in rows if (row["cpus_elsewhere"] or 0) > MANY]
    lines = []
    if (about["cpus_elsewhere"] or 0) > MANY:
        lines.append(
            ("the machine's limits", about["cpus_elsewhere"], "every share and limit says")
        )
    if busy:
        lines.append((f"{len(busy)} of the rows", max(busy), "their ratios say"))
    return [
        f"{what} came while other work used up to {most:.1f} CPUs, expected at most {MANY}: "
        f"{consequence} little; measure again when the machine is idle"
        for what, most, consequence in lines
    ]


def header() -> str:
    """The table's first line; memory in MB and as a multiple of model_bytes; others: their CPUs."""
    return _line(COLUMNS)


def line(row: Mapping[str, Any]) -> str:
    """One row of the table."""
    shape, milli = row["shape"], [1e3 * row[key] for key in ("ours_s", "peer_s", "limit_s")]
    peaks, flops = [row["ours_peak_bytes"], row["peer_peak_bytes"]], row["ours_flops"]
    cells = (
        *(row["case"], *(shape[axis] for axis in "TBIHL"), row["peer"]),
        *(f"{milli[0]:.2f}", f"{milli[1]:.2f}", f"{row['ratio']:.2f}"),
        *(f"{milli[2]:.2f}", f"{milli[0] / milli[2]:.2f}" if milli[2] else "-"),
        *((f"{flops / 1e9:.1f}", f"{row['ours_sgemm_share']:.0%}") if flops else "--"),
        *("-" if peak is None else f"{peak / 1e6:.0f}" for peak in peaks),
        "-" if row["ours_peak_ratio"] is None else f"{row['ours_peak_ratio']:.2f}",
        "-" if row["cpus_elsewhere"] is None else f"{row['cpus_elsewhere']:.2f}",
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
