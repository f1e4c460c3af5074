"""The ladder runs on Linux, with g++ and NVRTC; elsewhere its modules are skipped, not imported."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest


class SkippedModule(pytest.Module):
    """A test module that is not imported: it would need CuPy and a Linux C library."""

    def collect(self) -> Iterable[pytest.Item]:
        pytest.skip("no GPU ladder on this platform", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    if sys.platform == "linux":
        return None
    module: pytest.Module = SkippedModule.from_parent(parent, path=module_path)
    return module
