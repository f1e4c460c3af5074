"""nnseq.options: what the command line takes, refuses, and how presets and flags weigh."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from nnseq.options import (
    OptionError,
    Options,
    SaveEvery,
    differences,
    epochs_option,
    eval_differences,
    option,
    parse,
    parse_save_every,
    short_name,
)
from tests.child import ENVIRONMENT


@dataclass(frozen=True)
class Toy(Options):
    seq_len: int = option(10, "length", low=2)
    act: str = option("relu", "activation", choices=("relu", "tanh"))
    curriculum: bool = option(True, "grow", negatable=True)


@dataclass(frozen=True)
class WithEpochs(Toy):
    epochs: int | None = epochs_option(3)


PRESETS = {"paper": {"seq_len": 99, "lr": 0.5, "curriculum": False}}
SMOKE = {"seq_len": 4, "max_steps": 2}


def toy(*argv: str) -> Toy:
    return parse("toy", Toy, argv, presets=PRESETS, smoke=SMOKE)


def refused(capsys: pytest.CaptureFixture[str], *argv: str, kind: type[Toy] = Toy) -> str:
    """The one line with which a command line is refused."""
    with pytest.raises(SystemExit) as left:
        parse("toy", kind, argv, presets=PRESETS if kind is Toy else None)
    assert left.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1, "one line"
    return output.err


def test_flags_have_the_names_of_the_fields_and_their_types() -> None:
    options = toy("--seq_len", "7", "--lr=0.25", "--dtype", "float64", "--resume", "--act", "tanh")
    assert (options.seq_len, options.lr, options.dtype) == (7, 0.25, "float64")
    assert options.resume is True
    assert options.act == "tanh"


def test_a_preset_replaces_defaults_and_explicit_flags_win_over_it() -> None:
    assert toy("--preset", "paper").seq_len == 99
    options = toy("--lr", "0.125", "--preset", "paper", "--curriculum")
    assert (options.seq_len, options.lr, options.curriculum) == (99, 0.125, True)


def test_an_explicit_flag_equal_to_the_default_wins_over_the_preset() -> None:
    assert toy("--preset", "paper", "--seq_len", "10").seq_len == 10


def test_smoke_wins_over_the_preset_and_flags_win_over_smoke() -> None:
    options = toy("--smoke", "--preset", "paper", "--max_steps", "5")
    assert (options.seq_len, options.lr, options.max_steps) == (4, 0.5, 5)


def test_smoke_uses_a_folder_of_its_own_again_but_no_other() -> None:
    assert toy("--smoke").overwrite
    assert not toy("--smoke", "--resume").overwrite
    assert not toy("--smoke", "--out", "precious").overwrite
    assert not toy("--smoke", "--eval", "--load_weight", "x.h5").overwrite


def test_no_flag_switches_off_what_is_on_by_default() -> None:
    assert toy().curriculum
    assert not toy("--no_curriculum").curriculum


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--epochs", "5"], "use --max_steps"),
        (["--seq_len", "1"], "--seq_len: 1 came, expected a whole number >= 2"),
        (["--seq_len", "-3"], "-3 came"),
        (["--seq_len", "2.5"], "2.5"),
        (["--lr", "0"], "--lr: 0.0 came, expected a finite number > 0"),
        (["--lr", "nan"], "nan came"),
        (["--lr", "inf"], "inf came"),
        (["--act", "sin"], "relu"),
        (["--dtype", "float16"], "float32"),
        (["--device", "tpu"], "cuda"),
        (["--preset", "papre"], "paper"),
        (["--save_every", "often"], "30s"),
        (["--threads", "0"], "--threads: 0 came"),
        (["--resume", "--overwrite"], "--resume came with --overwrite"),
        (["--eval"], "without --load_weight"),
        (["--eval", "--load_weight", "x.h5", "--resume"], "--eval"),
        (["--eval", "--load_weight", "x.h5", "--overwrite"], "overwrites no run"),
        (["--max_steps", "-1"], "--max_steps: -1 came"),
        (["--eval", "--load_weight", "x.h5", "--lr", "1"], "--lr came with --eval"),
        (["--eval", "--load_weight", "x.h5", "--batch_size", "9"], "which trains nothing; drop"),
    ],
)
def test_a_bad_command_line_is_refused_in_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *argv)
    assert line.startswith("toy: ")
    assert said in line


def test_epochs_is_taken_where_the_experiment_has_it() -> None:
    assert parse("toy", WithEpochs, ["--epochs", "7"]).epochs == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq_len": 1},
        {"seq_len": 2.5},
        {"seq_len": True},
        {"resume": 1},
        {"act": "sin"},
        {"lr": "x"},
    ],
)
def test_python_is_refused_what_the_command_line_is(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=f"--{next(iter(wrong))}"):
        Toy(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "every"),
    [("30s", SaveEvery(30.0, 0)), ("0.5s", SaveEvery(0.5, 0)), ("100", SaveEvery(0.0, 100))],
)
def test_save_every_reads_seconds_and_steps(text: str, every: SaveEvery) -> None:
    assert parse_save_every(text) == every


@pytest.mark.parametrize("text", ["0", "-5", "0s", "-1s", "nans", "infs", "s", "", "10m", "1.5"])
def test_save_every_refuses_everything_else(text: str) -> None:
    with pytest.raises(ValueError, match="30s"):
        parse_save_every(text)


def test_the_default_folder_names_the_options_that_differ() -> None:
    assert toy().out == "runs/toy/default"
    assert toy("--seq_len", "50", "--seed", "3").out == "runs/toy/seed-3_seq_len-50"
    assert toy("--log_every", "7", "--max_steps", "9").out == "runs/toy/default"


def test_no_two_sets_of_options_share_a_default_folder() -> None:
    long = {"lr": 0.123456789012345, "clip_norm": 0.123456789012345, "clip_value": 0.123456789}
    names = {short_name(Toy(**long, seq_len=n, batch_size=1234567)) for n in range(2, 40)}
    assert len(names) == 38
    assert all(len(name) <= 100 for name in names)
    files = "a/checkpoint.h5", "b/checkpoint.h5"
    weighted = [Toy(load_weight=file, eval=flag) for file in files for flag in (False, True)]
    assert len({short_name(options) for options in weighted}) == 4


def test_differences_lists_every_option_of_the_mathematics_and_no_other() -> None:
    stored = Toy(seq_len=5, lr=0.5, max_steps=3, log_every=7, save_every="9", out="x").as_dict()
    listed = differences(Toy(), stored)
    assert [line.split()[0] for line in listed] == ["--lr", "--seq_len"]
    assert listed[1] == "--seq_len is 10, the checkpoint has 5"


def test_differences_notices_options_that_only_one_side_knows() -> None:
    stored = {**Toy().as_dict(), "depth": 3}
    del stored["act"]
    assert [line.split()[0] for line in differences(Toy(), stored)] == ["--act", "--depth"]


def test_eval_differences_lists_what_evaluation_depends_on_and_both_sides_know() -> None:
    @dataclass(frozen=True)
    class Shown(Toy):
        scale: float = option(1.0, "of what is shown", same_eval=True)
        crop: int = option(3, "of what is shown", same_eval=True)

    stored = Shown(scale=2.0, crop=4, seq_len=5, lr=0.5).as_dict()
    assert eval_differences(Shown(crop=4), stored).faults == [
        "--scale is 1.0, it was trained with 2.0"
    ]
    del stored["scale"]
    assert eval_differences(Shown(), stored).faults == ["--crop is 3, it was trained with 4"]


@dataclass(frozen=True)
class Adapting(Toy):
    adapts: bool = option(False, "evaluation takes steps as well")
    step: float = option(1.0, "of training", trains_only=lambda o: not o.adapts)
    bound: float = option(9.0, "on it", same_eval=True, trains_only=lambda o: not o.adapts)


def test_a_preset_may_set_what_is_of_training_alone_and_a_flag_may_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_eval = ["--eval", "--load_weight", "x.h5"]
    assert toy(*of_eval, "--preset", "paper").lr == 0.5
    assert toy(*of_eval, "--smoke").max_steps == 2
    said = refused(capsys, *of_eval, "--step", "2", kind=Adapting)
    assert said == "toy: --step came with --eval, which trains nothing; drop one of them\n"


def test_what_belongs_to_the_model_beside_another_option_must_then_be_that_of_training() -> None:
    options, stored = Adapting(adapts=True), Adapting(bound=3.0).as_dict()
    assert eval_differences(options, stored).faults == ["--bound is 9.0, it was trained with 3.0"]
    assert eval_differences(dataclasses.replace(options, adapts=False), stored) == ([], [])


def test_what_training_and_an_evaluation_read_may_differ_and_is_told() -> None:
    of_eval = ["--eval", "--load_weight", "x.h5", "--adapts", "--step", "2"]
    options, stored = parse("toy", Adapting, of_eval), Adapting(step=3.0, lr=0.5).as_dict()
    said = "--step is 2.0, it was trained with 3.0"
    assert eval_differences(options, stored) == ([], [said])
    assert eval_differences(dataclasses.replace(options, adapts=False), stored) == ([], [])
    assert eval_differences(dataclasses.replace(options, step=3.0), stored) == ([], [])


def test_smoke_may_depend_on_what_is_given() -> None:
    def small(given: Mapping[str, Any]) -> dict[str, Any]:
        return {"seq_len": given["seq_len"] // 9, "lr": 0.25}

    options = parse("toy", Toy, ["--smoke", "--preset", "paper"], presets=PRESETS, smoke=small)
    assert (options.seq_len, options.lr) == (11, 0.25)


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Toy().seq_len = 3  # type: ignore[misc]


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        toy("--help")
    assert left.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(Toy):
        assert f"--{field.name}" in text
    assert "(default: 10)" in text


def test_options_import_nothing_heavy() -> None:
    code = (
        "import sys, nnseq.options, nnseq.checkpoint, nnseq.plots;"
        "print([m for m in ('numba', 'scipy', 'h5py', 'matplotlib', 'cupy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert done.stdout.strip() == "[]"
