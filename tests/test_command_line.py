"""nnseq.command_line: which flags there are, and what is said of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from nnseq.command_line import CommandLine
from nnseq.options import option


@dataclass(frozen=True)
class Toy:
    out: str | None = option(None, "a folder")
    preset: str | None = option(None, "a set of options")
    seq_len: int = option(10, "length, 100 % of it")
    act: str = option("relu", "activation", choices=("relu", "tanh"))
    curriculum: bool = option(True, "grow", negatable=True)
    resume: bool = option(False, "continue")


def line(*presets: str, **published: str) -> CommandLine:
    return CommandLine("toy", Toy, "A toy.", presets, published, {"out", "preset"})


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line with which a command line is refused."""
    with pytest.raises(SystemExit) as left:
        line().parse_args(argv)
    assert left.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("toy: ")
    assert output.err.count("\n") == 1, "one line"
    return output.err


def test_only_what_was_given_comes_out_with_its_type() -> None:
    argv = ["--seq_len", "7", "--no_curriculum", "--resume", "--out=x"]
    expected: dict[str, Any] = {"seq_len": 7, "curriculum": False, "resume": True, "out": "x"}
    assert vars(line().parse_args(argv)) == expected
    assert vars(line("small").parse_args(["--preset", "small"])) == {"preset": "small"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seq_lne", "5"], "did you mean --seq_len"),
        (["--seq-len", "5"], "did you mean --seq_len"),
        (["--seq", "5"], "no such flag"),
        (["stray"], "stray"),
        (["--epochs", "5"], "use --max_steps"),
        (["--data", "x"], "--data does not apply to toy"),
        (["--preset", "small"], "it has no presets"),
        (["--no_resume"], "no such flag"),
        (["--seq_len", "2.5"], "2.5"),
        (["--act", "sin"], "relu"),
    ],
)
def test_what_is_no_flag_is_refused_in_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, *argv)


def test_help_has_two_groups_the_defaults_and_what_is_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        line("small", "large", small="0.5 (a paper)").parse_args(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    own, shared = text.partition("options of every experiment:")[::2]
    assert "options of toy:" in own
    assert "length, 100 % of it (default: 10)" in own
    for flag, group in (("seq_len", own), ("no_curriculum", own), ("out", shared)):
        assert f"--{flag}" in group
    assert text.splitlines()[-2:] == ["  small  0.5 (a paper)", "  large"]
