"""Made-up sets by name: written where asked, the same from the same generator."""

import numpy as np
import pytest

from nnseq.data.made_up import MADE_UP, write_made_up


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", MADE_UP)
def test_the_same_generator_gives_the_same_files_and_another_gives_others(tmp_path, name):
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_made_up(name, tmp_path / "new" / folder, np.random.default_rng(seed))
    one, two, three = (contents(tmp_path / "new" / folder) for folder in ("one", "two", "three"))
    assert one == two
    assert one != three
    assert 1_000 < sum(map(len, one.values())) < 2_000_000


def test_all_the_sets_have_a_made_up_form():
    assert set(MADE_UP) == {"mnist", "cifar10", "ptb", "text8", "wikitext", "ntu"}


def test_another_name_is_refused_and_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"'imagenet' came, expected one of mnist, cifar10, ptb"):
        write_made_up("imagenet", tmp_path / "new", np.random.default_rng(0))
    assert not (tmp_path / "new").exists()
