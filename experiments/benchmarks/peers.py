"""Which peers there are, and a clear word where one is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from benchmarks.case import Case

NEEDS = {"torch": "torch", "jax": "jax", "plain": "numpy", "reference": "numpy"}
ON_DEVICE = {
    "cpu": ("torch", "jax", "plain", "reference"),
    "cuda": ("torch", "plain", "reference"),
}
DEFAULT = {"cpu": ("torch", "jax", "plain"), "cuda": ("torch", "plain")}
OWN_CODE = ("ours", "plain", "reference")  # runs as nnseq does, whoever it stands for


def chosen(names: Sequence[str], device: str, cases: Sequence[Case]) -> tuple[str, ...]:
    """The peers to measure against: those named, or the device's usual ones that a case has.

    Raises:
        ValueError: a peer is not installed, or does not run on this device.
    """
    theirs = {peer for case in cases for peer in case.peers}
    names = tuple(names) or tuple(name for name in DEFAULT[device] if name in theirs)
    for name in names:
        if name not in ON_DEVICE[device]:
            raise ValueError(
                f"--peers: {name} came with --device {device}, expected some of "
                f"{', '.join(ON_DEVICE[device])}"
            )
    missing = [name for name in names if find_spec(NEEDS[name]) is None]
    if missing:
        raise ValueError(
            f"--peers: {' and '.join(missing)} not installed; pip install 'nnseq[bench]', "
            f"or measure against our own reference with --peers reference"
        )
    return names


def check_cases(cases: Sequence[Case], rivals: Sequence[str]) -> None:
    """Refuse cases of which there would be no row.

    Raises:
        ValueError: names the first.
    """
    for case in cases:
        if not set(rivals) & set(case.peers):
            raise ValueError(
                f"--peers: {' '.join(rivals)} came, but {case.name} is measured against "
                f"{', '.join(case.peers)}"
            )
