"""nnseq.model_options: defaults by --model, and options that a model does not have or need."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import pytest

from nnseq.model_options import ModelOptions, by_model, default, of, parse_sizes
from nnseq.options import OptionError, option, parse, short_name

PRESETS = {"paper": {"width": 7, "curriculum": False}}


@dataclass(frozen=True)
class Toy(ModelOptions):
    model: str = option("wide", "the model", choices=("wide", "deep", "gated"))
    lr: float | None = by_model("learning rate", {"wide": 0.5}, others=0.125, above=0)
    width: int | None = by_model("units", {"wide": 32}, low=1)
    curriculum: bool | None = by_model("grow", {"wide": True}, negatable=True)
    bias: float | None = by_model("of a gate", {"gated": 0.0, "deep": 1.0})


def toy(*argv: str) -> Toy:
    return parse("toy", Toy, argv, presets=PRESETS)


def test_defaults_follow_from_the_model_and_flags_win() -> None:
    wide, deep, gated = toy(), toy("--model", "deep"), toy("--model", "gated", "--lr", "0.25")
    assert (wide.lr, wide.width, wide.curriculum, wide.bias) == (0.5, 32, True, None)
    assert (deep.lr, deep.width, deep.curriculum, deep.bias) == (0.125, None, None, 1.0)
    assert (gated.lr, gated.bias) == (0.25, 0.0), "a default of 0 is a default"
    assert toy("--no_curriculum").curriculum is False
    assert toy("--preset", "paper").width == 7


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model", "deep", "--width", "3"], "--width came with --model deep, which has no width"),
        (["--model", "deep", "--width", "3"], "choose another model: wide"),
        (["--model", "gated", "--no_curriculum"], "which has no curriculum"),
        (["--bias", "0"], "choose another model: gated, deep"),
        (
            ["--model", "deep", "--preset", "paper"],
            "--width or --preset paper came with --model deep, which has no width",
        ),
        (
            ["--model", "wide", "--preset", "paper", "--bias", "2"],  # which the preset has not
            "--bias or --preset paper came with --model wide, which has no bias",
        ),
        (["--model", "tall"], "invalid choice: 'tall'"),
        (["--lr", "0"], "--lr: 0.0 came, expected a finite number > 0"),
    ],
)
def test_what_the_model_does_not_have_is_refused_in_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        toy(*argv)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_options_made_in_python_are_checked_too_and_can_be_copied() -> None:
    with pytest.raises(OptionError, match="--model deep, which has no width"):
        Toy(model="deep", width=3)
    with pytest.raises(OptionError, match="--model: 'tall' came"):
        Toy(model="tall")
    assert replace(Toy(model="deep"), seed=3).lr == 0.125


def test_the_folders_name_has_what_differs_from_the_models_own_defaults() -> None:
    assert short_name(Toy()) == "default"
    assert short_name(Toy(model="deep")) == "model-deep"
    assert short_name(Toy(model="deep", lr=0.125)) == "model-deep"
    assert short_name(Toy(model="deep", lr=0.5)) == "lr-0.5_model-deep"


def test_help_says_which_default_is_whose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        toy("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "learning rate (default: 0.5 of wide; else 0.125)" in text
    assert "of a gate (default: 0.0 of gated; 1.0 of deep)" in text


# ---- what an option needs ----------------------------------------------------------------------


@dataclass(frozen=True)
class Needy(ModelOptions):
    """A noise that may be cut, by a factor, which in turn may decay; and a seed of the noise."""

    model: str = option("wide", "the model", choices=("wide", "deep"))
    noise: float | None = by_model("std of noise", {"wide": 0.5}, low=0)
    cut: int | None = default("steps between cuts; 0: none", 3, low=0)
    factor: float | None = default("of a cut", 0.25, above=0)
    decay: float | None = by_model("of the factor", of(("wide", "deep"), 0.5), above=0)
    conditions: ClassVar = {
        "--noise above 0": lambda o: o.noise,
        "--cut above 0": lambda o: o.cut,
        "--factor other than 1": lambda o: o.factor not in (None, 1.0),
    }
    needs: ClassVar = {
        "cut": "--noise above 0",
        "factor": "--cut above 0",
        "decay": "--factor other than 1",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0.5, 3, 0.25, 0.5)),
        ({"factor": 1.0}, (0.5, 3, 1.0, None)),
        ({"cut": 0}, (0.5, 0, None, None)),
        ({"noise": 0.0}, (0.0, None, None, None)),
        ({"model": "deep"}, (None, None, None, None)),
        ({"cut": 1, "factor": 3.0, "decay": 2.0}, (0.5, 1, 3.0, 2.0)),
    ],
)
def test_what_would_change_nothing_is_none_and_so_is_what_hangs_on_it(
    given: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    options = Needy(**given)
    assert (options.noise, options.cut, options.factor, options.decay) == expected
    assert Needy(**asdict(options)) == options
    assert "cut" in short_name(replace(Needy(), cut=1))
    assert short_name(Needy(model="deep")) == "model-deep"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"noise": 0.0, "cut": 2}, "--cut is 2, but changes nothing without --noise above 0; give"),
        ({"model": "deep", "cut": 0}, "--cut is 0, but changes nothing without --noise above 0"),
        ({"cut": 0, "factor": 0.5}, "--factor is 0.5, but changes nothing without --cut above 0"),
        ({"factor": 1.0, "decay": 0.5}, "--decay is 0.5, but .* without --factor other than 1; "),
        ({"noise": 0.0, "decay": 0.5}, "--decay is 0.5, but .*; give both, or drop it"),
        ({"model": "deep", "noise": 1.0}, "--noise came with --model deep, which has no noise"),
    ],
)
def test_an_option_without_what_it_needs_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said) as refused:
        Needy(**given)
    assert "\n" not in str(refused.value)


def test_help_has_the_default_that_needs_something(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("needy", Needy, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "of a cut (default: 0.25)" in text
    assert "of the factor (default: 0.5 of wide, deep)" in text


# ---- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sizes"), [("8,6,4", (8, 6, 4)), ("1", (1,)), (" 2 , 10", (2, 10))]
)
def test_sizes_are_read(text: str, sizes: tuple[int, ...]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "8,", "8;6", "0", "0,1", "-1", "1.5", "a", "(8,6,4)"])
def test_what_are_no_sizes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected whole numbers above zero like 8,6,4"):
        parse_sizes(text)
