"""nnseq.indrnn_networks: every option reaches the part of the network that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nnseq.classification.options import ClassificationOptions
from nnseq.indrnn_networks import DENSE, INDRNN, PLAIN, RESIDUAL, indrnn_body
from nnseq.models import DenseIndRNNBody, PlainIndRNNBody, ResidualIndRNNBody
from nnseq.nn import Dropout
from nnseq.nn.normalized_indrnn import NormalizedIndRNN
from nnseq.options import OptionError, option

T, D = 9, 3
SIZES: dict[str, dict[str, Any]] = {
    PLAIN: {"hidden_size": 5, "num_layers": 2},
    RESIDUAL: {"hidden_size": 5, "num_blocks": 2},
    DENSE: {"growth_rate": 2, "num_first": 3, "block_config": "2,1"},
}


@dataclass(frozen=True)
class SomeOptions(ClassificationOptions):
    model: str = option(PLAIN, "the network", choices=(*INDRNN, "lstm"))


def body(model: str, **given: Any) -> Any:
    options = SomeOptions(model=model, **{**SIZES[model], **given})
    return indrnn_body(options, D, T, np.random.default_rng(0))


def recurrences(network: Any) -> list[Any]:
    return [part for _, part in network.named_modules() if isinstance(part, NormalizedIndRNN)]


def us(network: Any) -> list[np.ndarray]:
    return [x.data for name, x in network.named_parameters() if name.rpartition(".")[2] == "u"]


@pytest.mark.parametrize(
    ("model", "kind", "count"),
    [(PLAIN, PlainIndRNNBody, 2), (RESIDUAL, ResidualIndRNNBody, 5), (DENSE, DenseIndRNNBody, 9)],
)
def test_the_network_has_the_sizes_of_the_options(model: str, kind: type, count: int) -> None:
    network = body(model)
    assert type(network) is kind
    assert network.input_size == D
    assert len(recurrences(network)) == count


@pytest.mark.parametrize("model", INDRNN)
def test_u_starts_and_stays_within_its_bounds(model: str) -> None:
    high = 5.0 ** (1 / T)
    network = body(model)
    *others, last = us(network)
    assert all(((u >= 0) & (u <= high)).all() for u in others)
    assert min(u.min() for u in others) < 1 / high
    assert ((last >= 1 / high) & (last <= high)).all()
    assert us(body(model, init_last_u=False))[-1].min() < 1 / high
    assert max(u.max() for u in us(body(model, U_bound=0.3, init_last_u=False))) <= 0.3
    for constrained in (True, False):
        network = body(model, constrain_u=constrained)
        for u in us(network):
            u[...] = 9.0
        network.constrain()
        for u in us(network):
            np.testing.assert_allclose(u, high if constrained else 9.0, rtol=1e-6)
            assert (u <= high).all() == constrained


def test_a_bound_below_where_the_last_u_starts_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--MAG or --U_bound: .* would start in .* empty"):
        body(PLAIN, U_bound=0.5)


@pytest.mark.parametrize("model", INDRNN)
def test_a_fault_of_the_caller_is_not_blamed_on_an_option(model: str) -> None:
    options = SomeOptions(model=model, **SIZES[model])
    with pytest.raises(ValueError, match=r"^\w+: input_size is 0") as raised:
        indrnn_body(options, 0, T, np.random.default_rng(0))
    assert not isinstance(raised.value, OptionError)


@pytest.mark.parametrize("model", INDRNN)
def test_small_norm_init_act_and_dtype_reach_every_part(model: str) -> None:
    network = body(model, small_norm_init=True, act="tanh", dtype="float64")
    parameters = dict(network.named_parameters())
    assert {x.dtype for x in parameters.values()} == {np.dtype(np.float64)}
    gammas = [x.data for name, x in parameters.items() if name.endswith("gamma")]
    assert len(gammas) == len(recurrences(network))
    assert all((gamma == 0.1).all() for gamma in gammas)
    assert min(u.min() for u in us(network)[:-1]) < 0, "tanh starts on both sides"


def drops(network: Any) -> dict[str, float]:
    found = {name: part for name, part in network.named_modules() if isinstance(part, Dropout)}
    return {name: part.p_drop for name, part in found.items()}


def test_each_dropout_of_a_dense_network_has_its_place() -> None:
    names = {"p_drop_first": 0.1, "p_drop_inner": 0.2, "p_drop": 0.3}
    names |= {"p_drop_transition": 0.4, "p_drop_last": 0.5}
    found = drops(body(DENSE, **names))
    assert sorted(found.values()) == [0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.4, 0.5]
    for name, p in found.items():
        expected = 0.1 if name.startswith("first") else 0.4 if ".0." in name else 0.5
        if name.startswith("blocks"):
            expected = 0.2 if "inner" in name else 0.3
        assert p == expected, name


@pytest.mark.parametrize("model", [PLAIN, RESIDUAL])
def test_dropout_of_the_others_is_everywhere(model: str) -> None:
    assert set(drops(body(model, p_drop=0.35)).values()) == {0.35}


@pytest.mark.parametrize("bn", ["before", "after"])
@pytest.mark.parametrize("model", INDRNN)
def test_batch_norm_is_on_the_side_that_was_asked_for(model: str, bn: str) -> None:
    assert {part.place for part in recurrences(body(model, bn=bn))} == {bn}
