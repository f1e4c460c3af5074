"""Layers are tested on the reference kernels: tests/kernels compares the others with it."""

from collections.abc import Iterator

import pytest

from nnseq.backend import use_kernels


@pytest.fixture(autouse=True)
def reference_kernels() -> Iterator[None]:
    with use_kernels("reference"):
        yield
