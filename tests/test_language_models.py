"""nnseq.language_models: what the options make of a model and its optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnseq.language_models import build_model, build_optimizer, build_plateau
from nnseq.language_options import LanguageOptions
from nnseq.nn import BatchNorm, IndRNNRecurrence, Module
from nnseq.optim import SGD, Adam, RMSProp

V = 11
SIZES: dict[str, dict[str, Any]] = {
    "indrnn_plain": {"hidden_size": 8, "num_layers": 2, "embed_size": 6},
    "indrnn_residual": {"hidden_size": 8, "num_blocks": 1, "embed_size": 6},
    "indrnn_dense": {"growth_rate": 3, "block_config": "2,1", "embed_size": 6},
}


def options(model: str, **values: Any) -> LanguageOptions:
    return LanguageOptions(model=model, **{**SIZES.get(model, {"hidden_size": 8}), **values})


def model_of(model: str, **values: Any) -> Module:
    return build_model(options(model, **values), V, np.random.default_rng(1))


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("bound", [{"U_bound": 0.9}, {"MAG": 1.5}])
def test_every_u_is_bounded_and_every_batch_norm_goes_by_steps(
    model: str, bound: dict[str, float]
) -> None:
    modules = [x for _, x in model_of(model, seq_len=9, **bound).named_modules()]
    bounds = {x.u_bound for x in modules if isinstance(x, IndRNNRecurrence)}
    assert bounds == {0.9 if "U_bound" in bound else 1.5 ** (1 / 9)}
    norms = [x for x in modules if isinstance(x, BatchNorm)]
    assert {x.running_mean.shape[0] for x in norms} == {18}
    u = np.concatenate([x.u.data for x in modules if isinstance(x, IndRNNRecurrence)])
    assert u.min() >= 0
    assert u.max() <= max(bounds)


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


def test_initial_weights_are_those_asked_for() -> None:
    def weights(**values: Any) -> dict[str, np.ndarray]:
        model = model_of("lstm", dtype="float64", **values)
        return {name: x.data for name, x in model.named_parameters()}

    orthogonal = weights()
    W_hh = next(x for name, x in orthogonal.items() if name.endswith("W_hh"))
    for gate in np.split(W_hh, 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(8), atol=1e-12)
    for name, x in weights(init="uniform", init_width=0.3, embed_size=5).items():
        if "W" in name:
            assert 0.1 < np.abs(x).max() <= 0.15
    glorot = weights(init="glorot")
    for name, x in glorot.items():
        if name.endswith("W_hh"):
            assert 0.9 * np.sqrt(6 / 16) < np.abs(x).max() <= np.sqrt(6 / 16)


def test_static_masks_are_long_enough_for_windows_of_random_length() -> None:
    values = {"zoneout_h": 0.5, "zoneout_masks": "static", "batching": "streams", "seq_len": 6}
    for variable_len, length in ((False, 6), (True, 16)):
        model = model_of("srnn", variable_len=variable_len, **values)
        (held,) = (x for name, x in model.named_buffers() if name.endswith("held"))
        assert held.shape == (1, length, 8)


def test_tied_models_have_one_table() -> None:
    for model, values in (("lstm", {"embed_size": 8}), ("indrnn_dense", {})):
        tied, untied = (
            model_of(model, tied=tied, **values).num_parameters() for tied in (True, False)
        )
        assert untied - tied == V * (8 if model == "lstm" else 6)
