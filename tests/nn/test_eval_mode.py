"""nnseq.nn.eval_mode: every module's mode comes back, however the block ends."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq.nn import Dropout, Linear, Sequential
from nnseq.nn.eval_mode import eval_mode


def test_every_module_is_in_eval_mode_inside_and_as_it_was_after_an_error() -> None:
    model = Sequential(Linear(3, 2, rng=np.random.default_rng(1)), Dropout(0.5))
    modules = [module for _, module in model.named_modules()]
    modules[-1].eval()
    before = [module.is_training for module in modules]
    assert len(set(before)) == 2
    with eval_mode(model):
        assert not any(module.is_training for module in modules)
    assert [module.is_training for module in modules] == before

    def fail() -> None:
        with eval_mode(model):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [module.is_training for module in modules] == before
