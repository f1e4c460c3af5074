"""Which peers there are, and a clear word where one is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

NEEDS = {"torch": "torch", "jax": "jax", "reference": "numpy"}
ON_DEVICE = {"cpu": ("torch", "jax", "reference"), "cuda": ("torch", "reference")}
DEFAULT = {"cpu": ("torch", "jax"), "cuda": ("torch",)}


def chosen(names: Sequence[str], device: str) -> tuple[str, ...]:
    """The peers to measure against: those named, or the device's usual ones.

    Raises:
        ValueError: a peer is not installed, or does not run on this device.
    """
    names = tuple(names) or DEFAULT[device]
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
