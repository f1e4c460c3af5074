"""nnseq.model_options: defaults by --model, and options that a model does not have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from nnseq.model_options import ModelOptions, by_model
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
