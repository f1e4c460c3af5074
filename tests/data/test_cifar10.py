"""CIFAR-10: records, any of the training files, wrong ones refused at a byte, the real images."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.cifar10 import cifar10
from nnseq.data.files import DataError
from tests.data.damage import damages

RECORD = 3073


def records(labels, seed=0):
    """The bytes of a file with these labels, and its images (N, 3, 32, 32)."""
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), np.uint8)
    parts = [bytes([k]) + image.tobytes() for k, image in zip(labels, images, strict=True)]
    return b"".join(parts), images


CONTENT, IMAGES = records([7, 0, 9])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that every example of a property writes anew."""
    return tmp_path_factory.mktemp("cifar10")


def test_the_planes_are_red_green_blue_row_by_row(tmp_path):
    pixels = bytes([200] * 1024 + [100] * 1024 + [*range(32)] + [0] * 992)
    (tmp_path / "test_batch.bin").write_bytes(b"\x06" + pixels)
    read = cifar10(tmp_path, "test")
    assert read.labels.tolist() == [6]
    assert np.all(read.images[0, 0] == 200)
    assert np.all(read.images[0, 1] == 100)
    assert read.images[0, 2, 0].tolist() == list(range(32))
    assert not read.images[0, 2, 1:].any()


def test_the_training_files_that_are_there_are_read_in_order_and_named(tmp_path):
    two, images_two = records([1, 2], seed=2)
    (tmp_path / "data_batch_5.bin").write_bytes(two)
    (tmp_path / "data_batch_2.bin.gz").write_bytes(gzip.compress(CONTENT, mtime=0))
    (tmp_path / "test_batch.bin").write_bytes(two)
    read = cifar10(tmp_path, "train")
    assert read.files == ("data_batch_2.bin.gz", "data_batch_5.bin")
    np.testing.assert_array_equal(read.labels, np.array([7, 0, 9, 1, 2], np.uint8), strict=True)
    np.testing.assert_array_equal(read.images, np.concatenate([IMAGES, images_two]), strict=True)
    assert not read.images.flags.writeable
    assert not read.labels.flags.writeable


def test_without_a_training_file_all_five_are_named(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(CONTENT)
    with pytest.raises(DataError, match=r"test_batch\.bin, expected data_batch_1\.bin or .*_5"):
        cifar10(tmp_path, "train")
    with pytest.raises(ValueError, match="cifar10: split 'valid' came"):
        cifar10(tmp_path, "valid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: the file ends after 0 bytes of a record, expected records of 3073 bytes"),
        (CONTENT[:-1], "byte 9218: the file ends after 3072 bytes of a record"),
        (CONTENT + b"\0", "byte 9220: the file ends after 1 bytes of a record"),
        (records([1, 2, 10])[0], "byte 6146: label 10 of image 2, expected 0 to 9"),
    ],
)
def test_a_wrong_file_is_refused_at_the_byte(tmp_path, content, message):
    (tmp_path / "data_batch_1.bin").write_bytes(CONTENT)
    path = tmp_path / "data_batch_3.bin"
    for written in (content, gzip.compress(content, mtime=0)):
        path.write_bytes(written)
        with pytest.raises(DataError, match=message) as error:
            cifar10(tmp_path, "train")
        assert str(error.value).startswith(f"{path}, ")


@given(damage=damages(), packed=st.booleans())
def test_damage_is_refused_at_a_byte_or_changes_no_more_than_the_bytes_it_hit(
    folder, damage, packed
):
    written = damage(gzip.compress(CONTENT, mtime=0) if packed else CONTENT)
    (folder / "test_batch.bin").write_bytes(written)
    try:
        read = cifar10(folder, "test")
    except DataError as error:
        assert str(error).startswith(f"{folder}/test_batch.bin, byte ")  # noqa: PT017
        return
    # Without a count or a checksum a plain file cut between two records is a shorter file.
    N, expected = len(read.labels), CONTENT if packed else written
    assert len(expected) == N * RECORD
    assert read.images.shape == (N, 3, 32, 32)
    again = b"".join(
        bytes([k]) + x.tobytes() for k, x in zip(read.labels, read.images, strict=True)
    )
    assert again == expected


def test_the_real_images_have_their_counts_and_their_mean_colours(data_folder):
    train, test = (cifar10(data_folder("cifar10"), split) for split in ("train", "test"))
    first = [988, 1021, 963, 982, 984, 1012, 1050, 1010, 981, 1009]
    second = [987, 1007, 1008, 1007, 1006, 975, 1025, 975, 1032, 978]
    assert train.files == ("data_batch_1.bin.gz", "data_batch_2.bin.gz")
    assert np.bincount(train.labels[:10_000]).tolist() == first
    assert np.bincount(train.labels[10_000:]).tolist() == second
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert train.images.shape == (20_000, 3, 32, 32)
    # The channel means by which programs standardise CIFAR-10, of all its 50,000 images.
    colours = test.images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(colours, [0.4914, 0.4822, 0.4465], atol=0.01)
