"""nnseq.classification.options: defaults by model, and options that could change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from nnseq.classification.options import (
    CONDITIONS,
    NEEDS,
    SMOKE,
    SMOKE_SIZES,
    ClassificationOptions,
    parse_options,
)
from nnseq.indrnn_networks import DENSE, INDRNN, PLAIN, RESIDUAL
from nnseq.options import OptionError, option

RECIPE = ("lr", "optimizer", "weight_decay", "clip_norm", "clip_value", "patience", "epochs")


@dataclass(frozen=True)
class SomeOptions(ClassificationOptions):
    model: str = option(PLAIN, "the network", choices=(*INDRNN, "lstm"))


def values(names: tuple[str, ...], **given: Any) -> list[Any]:
    options = SomeOptions(**given)
    return [getattr(options, name) for name in names]


def test_a_model_has_its_recipe() -> None:
    for model in INDRNN:
        assert values(RECIPE, model=model) == [2e-4, "adam", 1e-4, 0.0, 10.0, 100, None]
    assert values(RECIPE, model="lstm") == [1e-4, "rmsprop", 0.0, 1.0, 0.0, 0, 100]


def test_a_model_has_its_sizes_and_no_others() -> None:
    names = ("hidden_size", "num_layers", "num_blocks", "growth_rate", "num_first", "block_config")
    names += ("p_drop", "p_drop_first", "p_drop_inner", "p_drop_transition", "p_drop_last", "MAG")
    assert values(names, model=PLAIN) == [128, 6, *[None] * 4, 0.1, *[None] * 4, 5.0]
    assert values(names, model=RESIDUAL) == [128, None, 5, *[None] * 3, 0.1, *[None] * 4, 5.0]
    dense = [None, None, None, 16, 6, "8,6,4", 0.2, 0.2, 0.1, 0.1, 0.1, 5.0]
    assert values(names, model=DENSE) == dense
    assert values(names, model="lstm") == [None] * 12


CUT = ("patience", "lr_factor", "min_lr", "epochs")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [100, 0.1, 1e-6, None]),
        ({"patience": 0}, [0, None, None, 100]),
        ({"anneal": 50}, [None, None, None, None]),
        ({"anneal": 50, "epochs": 3}, [None, None, None, 3]),
        ({"model": "lstm"}, [0, None, None, 100]),
        ({"model": "lstm", "patience": 5}, [5, 0.1, 1e-6, None]),
        ({"model": "lstm", "anneal": 50}, [None, None, None, None]),
    ],
)
def test_something_ends_every_run(given: dict[str, Any], expected: list[Any]) -> None:
    assert values(CUT, **given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"anneal": 5, "patience": 3}, "--patience is 3, but changes nothing without --anneal 0"),
        ({"anneal": 5, "lr_factor": 0.5}, "--lr_factor is 0.5, but changes nothing without --pat"),
        ({"patience": 0, "min_lr": 1e-5}, "--min_lr is 1e-05, but changes nothing without --pati"),
        ({"weight_decay": 0.0, "bn_decay": True}, "--bn_decay is True, but .* without --weight_d"),
        (
            {"U_bound": 0.9, "init_last_u": False, "MAG": 2.0},
            "--MAG is 2.0, but changes nothing without --U_bound 0 or --init_last_u",
        ),
        ({"min_lr": 1e-3}, "--min_lr 0.001 came with --lr 0.0002, expected at most that"),
        ({"num_blocks": 2}, "--num_blocks came with --model indrnn_plain, which has no num_blocks"),
        ({"model": "lstm", "MAG": 2.0}, "--MAG came with --model lstm"),
        ({"model": DENSE, "num_layers": 2}, "--num_layers came with --model indrnn_dense"),
        ({"model": DENSE, "block_config": "8,x"}, "--block_config: '8,x' came, expected whole"),
        ({"valid_share": 0.0}, "--valid_share: 0.0 came, expected .* > 0"),
        ({"p_drop": 1.0}, "--p_drop: 1.0 came, expected"),
        ({"lr_factor": 1.0}, "--lr_factor: 1.0 came, expected"),
        ({"act": "gelu"}, "--act: 'gelu' came, expected relu, tanh, identity"),
    ],
)
def test_what_could_change_nothing_or_is_out_of_range_is_refused(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        SomeOptions(**given)


def test_every_condition_is_of_use() -> None:
    assert set(NEEDS.values()) == set(CONDITIONS)


def test_what_another_option_makes_useless_has_no_value() -> None:
    assert values(("bn_decay",), weight_decay=0.0) == [None]
    assert values(("MAG",), U_bound=0.9, init_last_u=False) == [None]
    assert values(("MAG",), U_bound=0.9) == [5.0]


PRESETS: dict[str, dict[str, Any]] = {
    "deep": {"model": PLAIN, "num_layers": 12, "batch_size": 64},
    "other": {"model": "lstm"},
}


def parsed(*argv: str) -> SomeOptions:
    published = {"deep": "accuracy 0.5"}
    return parse_options("some", SomeOptions, argv, "", presets=PRESETS, published=published)


def test_smoke_makes_every_model_small_and_explicit_flags_win() -> None:
    options = parsed("--preset", "deep", "--smoke", "--batch_size", "7")
    assert (options.batch_size, options.max_steps, options.num_layers) == (7, SMOKE["max_steps"], 2)
    assert options.out == "runs/some/smoke"
    assert parsed("--preset", "deep").num_layers == 12
    assert set(SMOKE_SIZES) >= {*INDRNN, "lstm", "lstm_rbn"}
    for model in INDRNN:
        assert parsed("--model", model, "--smoke").smoke


def test_help_lists_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parsed("--help")
    assert left.value.code == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["  deep   accuracy 0.5", "  other"]
