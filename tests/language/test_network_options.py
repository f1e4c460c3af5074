"""nnseq.language.network_options: which options a network has, and which do not go together."""

from __future__ import annotations

import pytest

from nnseq.language.network_options import NetworkOptions
from nnseq.language.options import LanguageOptions
from nnseq.options import OptionError

ALONE = {
    "tied": {"tied": True},
    "p_embedding": {"p_embedding": 0.5},
    "p_drop": {"p_drop": 0.5},
    "MAG": {"model": "indrnn_plain", "U_bound": 0.99, "MAG": 2.0},
    "zoneout_masks": {"zoneout_masks": "static"},
    "ogate_zoneout": {"ogate_zoneout": True},
    "norm_divisor": {"norm_divisor": "states"},
    "norm_of": {"norm_of": "c"},
    "init_width": {"init_width": 0.1},
}


@pytest.mark.parametrize("name", NetworkOptions.needs)
def test_an_option_that_would_change_nothing_is_refused(name: str) -> None:
    values = ALONE[name]
    with pytest.raises(OptionError) as refused:
        NetworkOptions(**values)
    assert str(refused.value).startswith(f"--{name} is {values[name]}, but changes nothing")
    assert NetworkOptions.needs[name] in str(refused.value)


def test_every_condition_is_of_use() -> None:
    assert set(NetworkOptions.needs.values()) == set(NetworkOptions.conditions)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "indrnn_dense", "embed_size": 0}, "--embed_size 0 came with --model indrnn_"),
        ({"tied": True, "embed_size": 5}, "--embed_size 5 and --hidden_size 1000"),
        ({"zoneout_h": 0.5, "zoneout_masks": "shared"}, "but not both --zoneout_h and --zoneout_c"),
        ({"model": "gru", "norm_coef": 1.0, "norm_of": "c"}, "--model gru, which has no c"),
        ({"model": "gru", "zoneout_c": 0.5}, "--model gru, which has no zoneout_c"),
        ({"model": "srnn", "p_drop_igate": 0.5}, "which has no p_drop_igate"),
        ({"model": "indrnn_dense", "hidden_size": 5}, "which has no hidden_size"),
        ({"block_config": "8,0", "model": "indrnn_dense"}, "--block_config: '8,0' came"),
        ({"p_head": 1.0}, "--p_head: 1.0 came"),
    ],
)
def test_options_that_do_not_go_together_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError) as refused:
        NetworkOptions(**values)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_dynamic_evaluation_reads_what_shapes_its_steps_and_no_other_evaluation_does() -> None:
    fields = LanguageOptions.__dataclass_fields__
    for name in ("U_bound", "MAG", "clip_value", "batch_size"):
        assert fields[name].metadata["same_eval"] == (name in ("U_bound", "MAG"))
        trains_only = fields[name].metadata["trains_only"]
        assert trains_only(LanguageOptions(model="indrnn_plain"))
        assert not trains_only(LanguageOptions(model="indrnn_plain", dynamic_eval=True))
