"""Made-up images: the real readers take them, and their classes can be told apart."""

import numpy as np
import pytest

from nnseq.data.cifar10 import cifar10
from nnseq.data.made_up_images import made_up_cifar10, made_up_mnist
from nnseq.data.mnist import mnist
from nnseq.data.pixels import pixel_sequences

SETS = [(made_up_mnist, mnist, (28, 28)), (made_up_cifar10, cifar10, (3, 32, 32))]


@pytest.mark.parametrize(("make", "read", "shape"), SETS)
def test_the_reader_of_the_real_files_takes_them(tmp_path, make, read, shape):
    make(tmp_path, np.random.default_rng(0))
    for split, count in (("train", 400), ("test", 100)):
        images, labels, files = read(tmp_path, split)
        assert images.shape == (count, *shape)
        assert np.bincount(labels).tolist() == [count // 10] * 10
        assert len(files) == (1 if (split, read) == ("test", cifar10) else 2)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100_000


@pytest.mark.parametrize(("make", "read", "shape"), SETS)
def test_the_mean_pixel_of_an_image_tells_most_classes(tmp_path, make, read, shape):
    make(tmp_path, np.random.default_rng(0))
    train, test = (read(tmp_path, split) for split in ("train", "test"))
    bright = pixel_sequences(train.images).mean(axis=(0, 2))
    centres = np.array([bright[train.labels == k].mean() for k in range(10)])
    assert np.all(np.diff(centres) > 0)
    asked = pixel_sequences(test.images).mean(axis=(0, 2))
    answers = np.argmin(np.abs(asked[:, None] - centres), axis=1)
    assert np.mean(answers == test.labels) > 0.3  # by chance: 0.1
    assert np.mean(np.abs(answers - test.labels.astype(int)) <= 1) > 0.8


@pytest.mark.parametrize(("make", "read", "shape"), SETS)
def test_images_of_a_class_differ_from_each_other(tmp_path, make, read, shape):
    make(tmp_path, np.random.default_rng(0))
    images, labels, _ = read(tmp_path, "train")
    for k in range(10):
        assert len(np.unique(images[labels == k], axis=0)) > 20
