"""What every reader of images checks."""

from pathlib import Path

import numpy as np
import pytest

from nnseq.data.files import DataError
from nnseq.data.images import check_labels, check_split


def test_a_label_above_nine_is_named_with_its_byte_and_its_image():
    labels = np.array([0, 9, 3, 10, 11], np.uint8)
    with pytest.raises(DataError, match=r"^f\.bin, byte 28: label 10 of image 3, expected 0 to 9$"):
        check_labels(Path("f.bin"), labels, start=1, stride=9)
    check_labels(Path("f.bin"), labels[:3], start=1, stride=9)


def test_a_split_of_another_name_is_refused():
    check_split("mnist", "test")
    with pytest.raises(ValueError, match=r"mnist: split 'valid' came, expected \"train\" or"):
        check_split("mnist", "valid")
