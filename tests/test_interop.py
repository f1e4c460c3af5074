"""nnseq.save and nnseq.load: a model comes back as it was, from a file that runs no code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.checkpoint import CheckpointError
from nnseq.interop import load, save
from nnseq.models import IndRNNOptions, LastStepReadout, PlainIndRNNBody
from nnseq.nn.initializers import Normal
from nnseq.nn.module import Module
from tests.child import ENVIRONMENT


def model(dtype: str = "float32", bn: bool = False) -> LastStepReadout:
    rng, place = np.random.default_rng(1), "after" if bn else None
    options = IndRNNOptions(9, act="tanh", W_init=Normal(0.5), bn=place, dtype=dtype)
    return LastStepReadout(PlainIndRNNBody(3, 7, 2, options, rng=rng), 2, rng=rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bn", [False, True])
def test_a_loaded_model_gives_the_same_bits(tmp_path: Path, dtype: str, bn: bool) -> None:
    first = model(dtype, bn)
    x = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(dtype)
    first(x)  # in training, so that batch norm's running statistics are not the initial ones
    save(first, tmp_path / "model.h5")
    second = load(tmp_path / "model.h5")
    assert type(second) is LastStepReadout
    assert not second.is_training
    np.testing.assert_array_equal(first.eval()(x).data, second(x).data)


def test_a_process_that_imported_only_nnseq_loads_it(tmp_path: Path) -> None:
    save(model(), tmp_path / "model.h5")
    code = "import sys, nnseq; print(type(nnseq.load(sys.argv[1])).__name__)"
    argv = [sys.executable, "-c", code, str(tmp_path / "model.h5")]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.stdout, done.stderr) == ("LastStepReadout\n", "")


def test_the_previous_file_is_kept(tmp_path: Path) -> None:
    save(model(), tmp_path / "model.h5")
    save(model("float64"), tmp_path / "model.h5")
    assert load(tmp_path / "model.prev.h5").state_dict()["readout.W"].dtype == np.float32


def test_a_file_without_a_model_is_refused(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "x.h5", {"params": {}}, {"step": 3})
    with pytest.raises(CheckpointError, match="no description of a model"):
        load(tmp_path / "x.h5")


def test_a_class_that_is_not_known_is_refused_and_not_imported(tmp_path: Path) -> None:
    description = {"class": "system", "config": {}}
    checkpoint.write(tmp_path / "x.h5", {"params": {}}, {"model": description})
    with pytest.raises(CheckpointError, match="'system'"):
        load(tmp_path / "x.h5")


def test_arrays_that_do_not_fit_are_all_listed(tmp_path: Path) -> None:
    save(model(), tmp_path / "x.h5")
    tree, attributes = checkpoint.read(tmp_path / "x.h5")
    tree["params"]["readout.W"] = np.zeros((2, 2))
    tree["params"]["extra"] = np.zeros(1)
    del tree["params"]["readout.b"]
    checkpoint.write(tmp_path / "x.h5", tree, attributes)
    with pytest.raises(CheckpointError) as refusal:
        load(tmp_path / "x.h5")
    for name in ("missing: readout.b", "unexpected: extra", "readout.W is (2, 2)"):
        assert name in str(refusal.value)


def test_arguments_that_json_cannot_hold_are_named(tmp_path: Path) -> None:
    class Odd(Module):
        def __init__(self, function: object) -> None:
            self.function = function

    with pytest.raises(TypeError, match="the argument function is a"):
        save(Odd(print), tmp_path / "x.h5")
    assert list(tmp_path.iterdir()) == []
