"""nnseq.data.source_files: where a file is looked for."""

from __future__ import annotations

import pytest

from nnseq.data.source_files import addresses
from nnseq.data.sources import SETS


def test_a_mirror_stands_for_every_host() -> None:
    file = SETS["mnist"].files[1]
    assert addresses("mnist", file) == file.urls
    assert addresses("mnist", file, "http://host:8000/prefix/") == (
        "http://host:8000/prefix/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
        "http://host:8000/prefix/mnist/train-labels-idx1-ubyte.gz",
        "http://host:8000/prefix/train-labels-idx1-ubyte.gz",
    )


@pytest.mark.parametrize("mirror", ["host:8000", "/folder", "ftp://host/", "http://", "http:///x"])
def test_a_mirror_that_is_no_address_is_refused(mirror: str) -> None:
    with pytest.raises(ValueError, match=r"NNSEQ_DATA_URL: '.*' came, expected an address like"):
        addresses("mnist", SETS["mnist"].files[0], mirror)
