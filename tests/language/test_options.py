"""nnseq.language.options: what holds when nothing is said, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from nnseq.indrnn_networks import INDRNN
from nnseq.language.network_options import RECURRENT, NetworkOptions
from nnseq.language.options import LanguageOptions, parse_language
from nnseq.options import OptionError, differences, short_name


def test_the_defaults_are_those_of_the_two_families() -> None:
    lstm, plain = LanguageOptions(), LanguageOptions(model="indrnn_plain")
    names = ("hidden_size", "seq_len", "batch_size", "batching", "lr", "clip_norm", "clip_value")
    assert [getattr(lstm, name) for name in names] == [1000, 100, 32, "chunks", 2e-3, 1.0, 0.0]
    assert [getattr(plain, name) for name in names] == [2000, 50, 128, "streams", 2e-4, 0.0, 10.0]
    assert (lstm.epochs, lstm.patience, lstm.embed_size, lstm.tied) == (100, 0, 0, None)
    assert (plain.epochs, plain.patience, plain.embed_size, plain.tied) == (None, 100, 600, True)
    assert (plain.reset_every, plain.variable_len, plain.weight_decay) == (10, True, 1e-4)


def test_the_test_set_has_one_column_for_indrnn_and_else_those_of_the_validation_set() -> None:
    plain = LanguageOptions(model="indrnn_plain")
    assert (plain.eval_batch_size, plain.test_batch_size) == (10, 1)
    assert LanguageOptions(model="indrnn_plain", eval_batch_size=7).test_batch_size == 1
    assert LanguageOptions().test_batch_size == 32
    assert LanguageOptions(eval_batch_size=7).test_batch_size == 7
    other = LanguageOptions(test_batch_size=3)
    assert differences(other, LanguageOptions().as_dict()) == [], "a run may go on with another"


def test_options_that_say_what_is_default_anyway_make_the_same_options() -> None:
    for model in (*INDRNN, *RECURRENT):
        options = LanguageOptions(model=model)
        again = LanguageOptions(**dataclasses.asdict(options))
        assert again == options
        assert short_name(again) == ("default" if model == "lstm" else f"model-{model}")


ALONE = {
    "temperature": 0.5,
    "dynamic_grid": True,
    "dynamic_len": 5,
    "dynamic_lr": 1e-3,
    "dynamic_decay": 0.1,
    "variable_len": True,
    "reset_every": 3,
    "random_start": 2,
    "momentum": 0.9,
    "lr_factor": 0.5,
    "min_lr": 1e-5,
    "decay_after": 2,
}
ELSEWHERE = {
    "augment": {"batching": "streams", "augment": True},
    "learn_states": {"batching": "streams", "learn_states": True},
    "bn_decay": {"model": "indrnn_plain", "weight_decay": 0.0, "bn_decay": True},
    "lr_decay": {"patience": 3, "lr_decay": 2.0},
}


@pytest.mark.parametrize("name", sorted(LanguageOptions.needs.keys() - NetworkOptions.needs.keys()))
def test_an_option_that_would_change_nothing_is_refused(name: str) -> None:
    values = ELSEWHERE.get(name) or {name: ALONE[name]}
    with pytest.raises(OptionError) as refused:
        LanguageOptions(**values)
    assert str(refused.value).startswith(f"--{name} is {values[name]}, but changes nothing")
    assert LanguageOptions.needs[name] in str(refused.value)


def test_every_condition_is_of_use() -> None:
    assert set(LanguageOptions.needs.values()) == set(LanguageOptions.conditions)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "indrnn_plain", "batch_size": 1}, "--batch_size 1 came with --model indrnn_"),
        ({"patience": 2, "min_lr": 1.0}, "--min_lr 1 came with --lr 0.002"),
        ({"sample": 9, "max_steps": 0}, "--sample came with --max_steps 0, after which nothing is"),
        ({"dynamic_eval": True, "max_steps": 0}, "--dynamic_eval came with --max_steps 0, after"),
        ({"sample": 9, "epochs": 0}, "--sample came with --epochs 0, after which nothing is"),
        ({"dynamic_eval": True, "epochs": 0}, "--dynamic_eval came with --epochs 0, after"),
        (
            {"zoneout_c": 0.1, "zoneout_masks": "static", "seq_len": 9, "dynamic_eval": True},
            "--dynamic_len 20 came with --zoneout_masks static of --seq_len 9",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError) as refused:
        LanguageOptions(**values)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model", [*INDRNN, *RECURRENT])
def test_smoke_makes_every_model_small_and_explicit_flags_win(model: str) -> None:
    presets = {"big": {"model": model, "seq_len": 400}}

    def parsed(*argv: str) -> LanguageOptions:
        return parse_language("toy", ["--preset", "big", *argv], "", presets=presets, published={})

    assert parsed().seq_len == 400
    smoke = parsed("--smoke", "--batch_size", "5")
    assert (smoke.seq_len, smoke.batch_size, smoke.model) == (12, 5, model)
    assert (smoke.hidden_size or 0) <= 24
    assert (smoke.growth_rate or 0) <= 4
    assert smoke.embed_size <= 24
    assert parsed("--smoke", "--temperature", "0.5").temperature == 0.5, "it makes a sample"
    for flag in ("--max_steps", "--epochs", "--sample"):
        none = parsed("--smoke", flag, "0")
        assert (none.sample, none.temperature) == (0, None)


def test_without_a_step_a_resumed_run_and_an_evaluation_still_sample() -> None:
    for more in ({"resume": True}, {"eval": True, "load_weight": "x.h5"}):
        for end in ({"max_steps": 0}, {"epochs": 0}):
            assert LanguageOptions(sample=9, dynamic_eval=True, **end, **more).sample == 9
