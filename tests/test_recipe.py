"""nnseq.recipe: the optimiser and the schedule of the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nnseq.classification.options import ClassificationOptions
from nnseq.indrnn_networks import INDRNN, PLAIN, indrnn_body
from nnseq.language.networks import build_model
from nnseq.language.options import LanguageOptions
from nnseq.nn import IndRNNRecurrence, Module
from nnseq.optim import SGD, Adam, RMSProp
from nnseq.options import option
from nnseq.recipe import NEVER, build_optimizer, build_plateau

V = 11
SIZES: dict[str, dict[str, Any]] = {
    "indrnn_plain": {"hidden_size": 8, "num_layers": 2, "embed_size": 6},
    "indrnn_residual": {"hidden_size": 8, "num_blocks": 1, "embed_size": 6},
    "indrnn_dense": {"growth_rate": 3, "block_config": "2,1", "embed_size": 6},
}


def options(model: str, **values: Any) -> LanguageOptions:
    return LanguageOptions(model=model, **{**SIZES.get(model, {"hidden_size": 8}), **values})


@dataclass(frozen=True)
class SomeOptions(ClassificationOptions):
    model: str = option(PLAIN, "the network", choices=(*INDRNN, "lstm"))


def plain() -> Module:
    return indrnn_body(SomeOptions(hidden_size=5, num_layers=2), 3, 9, np.random.default_rng(0))


# ---- language models ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("bn_decay", [False, True])
def test_weight_decay_leaves_u_and_biases_alone(model: str, bn_decay: bool) -> None:
    o = options(model, weight_decay=0.01, bn_decay=bn_decay)
    optimizer = build_optimizer(o, build_model(o, V, np.random.default_rng(1)))
    kinds: dict[str, set[float]] = {}
    for name, decay in optimizer.weight_decays.items():
        kinds.setdefault(name.rpartition(".")[2], set()).add(decay)
    weights = {name: decays for name, decays in kinds.items() if name.startswith("W")}
    assert weights
    assert all(decays == {0.01} for decays in weights.values())
    assert kinds["gamma"] == {0.01 if bn_decay else 0.0}
    assert kinds["u"] == kinds["b"] == kinds["beta"] == {0.0}


def test_every_optimiser_can_be_chosen() -> None:
    for name, kind in (("adam", Adam), ("rmsprop", RMSProp), ("sgd", SGD)):
        values = {} if name == "adam" else {"momentum": 0.7}
        o = options("srnn", optimizer=name, lr=0.3, **values)
        optimizer = build_optimizer(o, build_model(o, V, np.random.default_rng(1)))
        assert type(optimizer) is kind
        assert optimizer.lr == 0.3
        assert getattr(optimizer, "momentum", 0.7) == 0.7
        assert set(optimizer.weight_decays.values()) == {0.0}


def test_the_plateau_is_the_one_of_indrnns_authors_or_never_cuts() -> None:
    """patience > int(4 / reduced + 0.5) is asked before the count goes up: the 6th cuts."""
    plateau = build_plateau(options("indrnn_plain", lr=1.0, patience=4, min_lr=0.1))
    cuts = [plateau.observe(1.0) for _ in range(12)]
    assert [k for k, was_cut in enumerate(cuts) if was_cut] == [6]
    assert plateau.lr == pytest.approx(0.2)
    assert plateau.is_finished, "the next, after 4 more, would pass 0.1"
    plateau = build_plateau(options("lstm", lr=1.0))
    assert not any(plateau.observe(1.0) for _ in range(1000))


@pytest.mark.parametrize("model", INDRNN)
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_u_lr_is_a_factor_on_the_learning_rate_of_every_u_and_of_nothing_else(
    model: str, factor: float
) -> None:
    few = {name: x for name, x in SIZES[model].items() if name != "embed_size"}
    classifier = SomeOptions(model=model, u_lr=factor, **few)
    body = indrnn_body(classifier, 3, 9, np.random.default_rng(0))
    language = options(model, u_lr=factor)
    whole = build_model(language, V, np.random.default_rng(1))
    for o, network in ((classifier, body), (language, whole)):
        parts = [part for _, part in network.named_modules() if isinstance(part, IndRNNRecurrence)]
        us = {id(part.u) for part in parts}
        assert len(us) >= 2
        factors = build_optimizer(o, network).lr_factors
        for name, x in network.named_parameters():
            assert factors[name] == (factor if id(x) in us else 1.0), name


# ---- classifiers -------------------------------------------------------------------------------


@pytest.mark.parametrize("bn_decay", [False, True])
def test_gamma_decays_by_a_flag_of_classifiers_too(bn_decay: bool) -> None:
    options = SomeOptions(weight_decay=0.25, bn_decay=bn_decay, hidden_size=4, num_layers=1)
    network = indrnn_body(options, 2, 7, np.random.default_rng(0))
    decays = build_optimizer(options, network).weight_decays
    by_last: dict[str, set[float]] = {}
    for name, decay in decays.items():
        by_last.setdefault(name.rpartition(".")[2], set()).add(decay)
    free = {0.25} if bn_decay else {0.0}
    expected = {"W_ih": {0.25}, "b": {0.0}, "u": {0.0}, "gamma": free, "beta": {0.0}}
    assert by_last == expected


def test_the_optimiser_is_that_of_the_options() -> None:
    network = plain()
    adam = build_optimizer(SomeOptions(lr=0.1), network)
    assert isinstance(adam, Adam)
    assert adam.lr == 0.1
    rmsprop = build_optimizer(SomeOptions(model="lstm"), network)
    assert isinstance(rmsprop, RMSProp)
    assert rmsprop.rho == 0.5
    assert set(rmsprop.weight_decays.values()) == {0.0}


def test_the_schedule_is_the_authors_or_none() -> None:
    plateau = build_plateau(SomeOptions(patience=4, lr=1.0, lr_factor=0.5, min_lr=0.3))
    assert plateau.observe(0.5) is False
    lrs = []
    while not plateau.is_finished:
        plateau.observe(0.5)
        lrs.append(plateau.lr)
    # The cut is at the (4 + 2)th evaluation without progress, as in their programs, the end at the
    # (⌊4 / 2 + 1/2⌋ + 2)th after it.
    assert lrs == [1.0] * 5 + [0.5] + [0.5] * 4
    never = build_plateau(SomeOptions(patience=0))
    assert not any(never.observe(1.0) for _ in range(500))
    assert never.patience == NEVER
