"""What the ops call on the array module exists in CuPy; nothing here needs a GPU."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nnseq.ops

NNSEQ = Path(nnseq.ops.__file__).parent.parent
FILES = [NNSEQ / name for name in ("operators.py", "scatter.py", "tape.py")]
FILES += sorted((NNSEQ / "ops").glob("*.py"))


def names_used(source: str) -> set[str]:
    """Dotted names taken from `xp` or from `array_module(...)`, such as "exp" and "fft.ifft"."""
    used = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        root = node.func if isinstance(node, ast.Call) else node
        if names and isinstance(root, ast.Name) and root.id in ("xp", "array_module"):
            used.add(".".join(names))
    return used


def test_the_scan_finds_names():
    source = "xp = array_module(x)\ny = xp.fft.fft(x) + array_module(x).exp(x) + x.sum()"
    assert names_used(source) == {"fft", "fft.fft", "exp"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cupy_has_what_is_used(path):
    cupy = pytest.importorskip("cupy", reason="cupy is not installed (extra: test, on Linux)")
    for name in sorted(names_used(path.read_text(encoding="utf-8"))):
        found = cupy
        for part in name.split("."):
            assert hasattr(found, part), f"{path.name} uses xp.{name}, which CuPy does not have"
            found = getattr(found, part)
