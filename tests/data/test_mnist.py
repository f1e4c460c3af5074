"""MNIST: idx files of any rank, wrong ones refused at a byte, and the real digits."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.files import DataError
from nnseq.data.mnist import mnist, read_idx
from tests.data.damage import damages

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 28, 28), np.uint8)
LABELS = np.array([3, 0, 9, 4, 3], np.uint8)


def idx(x, kind=8):
    """An idx file, written as its definition says."""
    return struct.pack(f">BBBB{x.ndim}I", 0, 0, kind, x.ndim, *x.shape) + x.tobytes()


def write_set(folder, images=IMAGES, labels=LABELS, prefix="train"):
    """A split of MNIST; bytes are written as they are."""
    for x, name in ((images, "images-idx3-ubyte"), (labels, "labels-idx1-ubyte")):
        (folder / f"{prefix}-{name}").write_bytes(idx(x) if isinstance(x, np.ndarray) else x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that every example of a property writes anew."""
    return tmp_path_factory.mktemp("mnist")


# ---- idx ----------------------------------------------------------------------------------------


@given(shape=st.lists(st.integers(1, 4), max_size=4), packed=st.booleans())
def test_an_array_of_any_rank_comes_back(folder, shape, packed):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    (folder / "x").write_bytes(gzip.compress(idx(x), mtime=0) if packed else idx(x))
    read = read_idx(folder / "x")
    assert read.dtype == np.uint8
    assert not read.flags.writeable
    np.testing.assert_array_equal(read, x, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: the file ends, expected 0x000008 and the rank"),
        (b"\0\0\x08", "byte 3: the file ends"),
        (b"\x08\0\0\x03", r"byte 0: 0x08000003, expected 0x000008 and the rank \(idx, unsigned"),
        (idx(np.zeros(3, ">f4"), kind=0x0D), "byte 0: 0x00000d01, expected 0x000008"),
        (b"\0\0\x08\x03" + bytes(11), "byte 15: the file ends, expected 3 sizes of 4 bytes"),
        (b"\0\0\x08\x41" + b"\0\0\0\x01" * 65, "byte 3: rank 65, expected at most 64"),
        (idx(np.zeros((2, 0, 3), np.uint8)), "byte 8: size 0, expected at least 1"),
        (idx(IMAGES)[:-1], "byte 3935: the file has 3935 bytes, expected 3936 as the sizes 5 × 28"),
        (idx(IMAGES) + b"\0", "byte 3936: the file has 3937 bytes, expected 3936 as the sizes"),
    ],
)
def test_a_wrong_idx_file_is_refused_at_the_byte(tmp_path, content, message):
    path = tmp_path / "x"
    for written in (content, gzip.compress(content, mtime=0)):
        path.write_bytes(written)
        with pytest.raises(DataError, match=message) as error:
            read_idx(path)
        assert str(error.value).startswith(f"{path}, ")


def test_the_largest_rank_of_numpy_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"\0\0\x08\x40" + b"\0\0\0\x01" * 64 + b"\x07")
    assert read_idx(tmp_path / "x").shape == (1,) * 64


@pytest.mark.parametrize("shape", [(2**32 - 1, 28, 28), (2**32 - 1,) * 3, (2**32 - 1,) * 64])
def test_a_head_that_claims_four_thousand_million_images_allocates_nothing(tmp_path, shape):
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    (tmp_path / "x").write_bytes(head + bytes(1000))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"the file has \d+ bytes, expected"):
        read_idx(tmp_path / "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


# ---- MNIST --------------------------------------------------------------------------------------


def test_both_splits_are_read_under_each_of_their_names(tmp_path):
    write_set(tmp_path)
    write_set(tmp_path, IMAGES[:2], LABELS[:2], "t10k")
    train, test = mnist(tmp_path, "train"), mnist(str(tmp_path), "test")
    np.testing.assert_array_equal(train.images, IMAGES, strict=True)
    np.testing.assert_array_equal(train.labels, LABELS, strict=True)
    assert train.files == ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    assert len(test.images) == len(test.labels) == 2
    for path in tmp_path.glob("t10k*"):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    renamed = mnist(tmp_path, "test")
    assert renamed.files == ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte")
    np.testing.assert_array_equal(renamed.images, test.images)


def test_a_split_that_is_not_there_is_not_replaced_by_the_other(tmp_path):
    write_set(tmp_path)
    with pytest.raises(DataError, match=r"expected t10k-images-idx3-ubyte or .* fetch mnist"):
        mnist(tmp_path, "test")
    with pytest.raises(ValueError, match="split 'valid'"):
        mnist(tmp_path, "valid")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (LABELS, LABELS, "train-images-idx3-ubyte, byte 3: rank 1, expected 3: the file should"),
        (IMAGES, IMAGES, "train-labels-idx1-ubyte, byte 3: rank 3, expected 1: the file should"),
        (IMAGES[:, :14].copy(), LABELS, "byte 8: images of 14 × 28, expected 28 × 28"),
        (IMAGES, LABELS[:4], "labels-idx1-ubyte, byte 4: 4 labels, expected 5 as train-images"),
        (IMAGES[:3], LABELS, "byte 4: 5 labels, expected 3 as train-images-idx3-ubyte has images"),
        (IMAGES, LABELS + np.uint8(1), "byte 10: label 10 of image 2, expected 0 to 9"),
        (idx(IMAGES) + b"\0", LABELS, "byte 3936: the file has 3937 bytes"),
        (IMAGES, idx(LABELS)[:-1], "labels-idx1-ubyte, byte 12: the file has 12 bytes"),
    ],
)
def test_files_that_do_not_make_a_set_are_refused(tmp_path, images, labels, message):
    write_set(tmp_path, images, labels)
    with pytest.raises(DataError, match=message):
        mnist(tmp_path, "train")


@given(damage=damages(), packed=st.booleans(), hit=st.sampled_from(["images", "labels"]))
def test_damage_is_refused_at_a_byte_or_changes_no_more_than_the_bytes_it_hit(
    folder, damage, packed, hit
):
    contents = {"images": idx(IMAGES), "labels": idx(LABELS)}
    before = contents[hit]
    contents[hit] = damage(gzip.compress(before, mtime=0) if packed else before)
    write_set(folder, contents["images"], contents["labels"])
    try:
        read = mnist(folder, "train")
    except DataError as error:
        assert str(error).startswith(f"{folder}/train-{hit}-idx")  # noqa: PT017
        assert ", byte " in str(error)  # noqa: PT017
        return
    # A changed pixel or a label that is still one of ten cannot be noticed without a checksum.
    changed = np.sum(read.images != IMAGES) + np.sum(read.labels != LABELS)
    assert packed or len(contents[hit]) == len(before)
    assert changed == (0 if packed else contents[hit] != before)
    assert read.images.shape == (5, 28, 28)


# ---- the real digits ----------------------------------------------------------------------------


def test_the_real_sets_have_their_counts_first_labels_and_mean_pixel(data_folder):
    train, test = (mnist(data_folder("mnist"), split) for split in ("train", "test"))
    assert train.images.shape == (60_000, 28, 28)
    assert test.images.shape == (10_000, 28, 28)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == counts
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(test.labels).tolist() == counts
    parts = train.images.reshape(60, -1)  # a thousand images at a time: bincount widens to int64
    pixels = sum(np.bincount(part, minlength=256) for part in parts) / train.images.size
    mean = pixels @ np.arange(256) / 255
    variance = pixels @ (np.arange(256) / 255 - mean) ** 2
    assert round(mean, 4) == 0.1307  # the two numbers by which programs standardise MNIST
    assert round(np.sqrt(variance), 4) == 0.3081


def test_one_epoch_of_a_linear_model_knows_nine_of_ten_real_digits(data_folder):
    train, test = (mnist(data_folder("mnist"), split) for split in ("train", "test"))
    order = np.random.default_rng(0).permutation(len(train.labels)).reshape(-1, 100)
    W, b = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    for batch in order:
        x = train.images[batch].reshape(100, 784) / np.float32(255)
        a = x @ W + b
        p = np.exp(a - a.max(axis=1, keepdims=True))
        da = (p / p.sum(axis=1, keepdims=True) - np.eye(10)[train.labels[batch]]) / 100
        W -= 0.3 * (x.T @ da.astype(np.float32))
        b -= 0.3 * da.sum(axis=0).astype(np.float32)
    answers = np.argmax(test.images.reshape(-1, 784) / np.float32(255) @ W + b, axis=1)
    assert np.mean(answers == test.labels) > 0.90
