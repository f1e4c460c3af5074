"""nnseq.language.networks: what the options make of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnseq.language.networks import build_model
from nnseq.language.options import LanguageOptions
from nnseq.nn import BatchNorm, IndRNNRecurrence, Module

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
