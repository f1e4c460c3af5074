"""nnseq.runs.settings: what is decided, what is refused; whole runs are in test_train_endings."""

from __future__ import annotations

import pytest

from nnseq import backend
from nnseq.backend import forced_kernels, use_kernels
from nnseq.machine import most_threads
from nnseq.options import OptionError, Options
from nnseq.runs.settings import resolved, settings


def test_what_is_left_open_is_decided_and_what_is_given_stays() -> None:
    with use_kernels("reference"):
        options = resolved(Options(device="cpu"))
        assert (options.device, options.threads) == ("cpu", most_threads())
        assert options.kernels == "reference", "as if the flag had come"
        assert resolved(Options(device="cpu", threads=1, kernels="numba")).kernels == "numba"


def test_kernels_and_threads_hold_inside_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import get_num_threads

    before = forced_kernels(), get_num_threads()
    with settings(Options(kernels="reference", threads=1)):
        assert (forced_kernels(), get_num_threads()) == ("reference", 1)
    assert (forced_kernels(), get_num_threads()) == before
    monkeypatch.setattr(backend, "_forced", "numba")
    with settings(Options()):
        assert forced_kernels() == "numba", "auto leaves the environment its say"


def test_what_cannot_run_here_is_refused() -> None:
    with pytest.raises(OptionError, match="--kernels: cupy came with device cpu, expected one of"):
        resolved(Options(device="cpu", kernels="cupy"))
    with (
        pytest.raises(OptionError, match="--threads: 99999 came, expected at most"),
        settings(Options(threads=99999)),
    ):
        pass
