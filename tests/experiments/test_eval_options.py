"""With --eval an option is refused, or changes what comes out, or is of the run alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from nnseq.data.made_up import write_made_up
from nnseq.language.dynamic_evaluation import grid
from nnseq.language.options import LanguageOptions
from nnseq.options import Options
from tests import experiment_checks as checks
from tests.language_runs import run_main, script, write_texts
from tests.pixel_runs import write_few_digits

OF_THE_RUN = {"device", "kernels", "threads", "seed", "out", "resume", "overwrite", "eval"}
OF_THE_RUN |= {"load_weight", "smoke", "preset", "data"}
ONE = ["--kernels", "reference", "--threads", 1]
Flags = list[object]


class Case(NamedTuple):
    """A run, and what is tried in its evaluation: (what comes beside it in both, the option)."""

    model: Flags  # also of the evaluation
    training: Flags
    tries: list[tuple[Flags, Flags]]


def alone(*options: Flags) -> list[tuple[Flags, Flags]]:
    return [([], flags) for flags in options]


DYNAMIC: Flags = ["--dynamic_eval", "--dynamic_lr", 0.01, "--batch_size", 3]
OF_TEXT: Flags = [*ONE, "--seq_len", 7, "--eval_batch_size", 16]
OF_LSTM: Flags = ["--model", "lstm", "--hidden_size", 8, "--embed_size", 8, "--zoneout_h", 0.2]
OF_LSTM += ["--zoneout_c", 0.2, "--p_drop_igate", 0.2]
STATIC: Flags = ["--model", "srnn", "--hidden_size", 8, "--batching", "streams"]
STATIC += ["--zoneout_h", 0.2, "--zoneout_masks", "static"]
PLAIN: Flags = ["--model", "indrnn_plain", "--hidden_size", 6, "--num_layers", 2]
RESIDUAL: Flags = ["--model", "indrnn_residual", "--hidden_size", 6, "--num_blocks", 1]
DENSE: Flags = ["--model", "indrnn_dense", "--growth_rate", 3, "--block_config", "2,1"]
OF_NETWORK = alone(["--hidden_size", 5], ["--num_layers", 1], ["--bn_eval", "batch"])
OF_NETWORK += alone(["--bn", "before"], ["--act", "tanh"])
OF_DENSE = alone(["--growth_rate", 4], ["--block_config", "1,1"])
TEXT = [
    Case(
        [*OF_TEXT, *OF_LSTM],
        ["--batch_size", 3],
        [
            *alone(
                ["--hidden_size", 9], ["--num_layers", 2], ["--embed_size", 5],
                ["--tied"], ["--no_learn_states"], ["--batching", "streams"], ["--seq_len", 9],
                ["--zoneout_h", 0.3], ["--zoneout_c", 0.3], ["--p_drop_igate", 0.3],
                ["--ogate_zoneout"], ["--zoneout_masks", "static"], ["--forget_bias", 0],
                ["--eval_batch_size", 5], ["--test_batch_size", 5], ["--sample", 9],
                ["--dtype", "float64"], ["--batch_size", 3], ["--clip_value", 1],
            ),
            ([], DYNAMIC),
            *(
                (DYNAMIC, option)
                for option in (
                    ["--dynamic_len", 5], ["--dynamic_lr", 0.02], ["--dynamic_decay", 0.5],
                    ["--batch_size", 4], ["--clip_value", 0.1],
                )
            ),
            (DYNAMIC[:1] + DYNAMIC[3:], ["--dynamic_grid"]),
            (["--sample", 40], ["--temperature", 0.1]),
        ],
    ),
    Case([*OF_TEXT, "--hidden_size", 8], ["--batch_size", 3], alone(["--model", "gru"])),
    Case([*OF_TEXT, *STATIC], ["--batch_size", 3], alone(["--variable_len"])),
    Case(
        [*OF_TEXT, *PLAIN, "--embed_size", 6],
        ["--batch_size", 3, "--MAG", 0.5],
        [
            *alone(["--bn", "after"], ["--act", "tanh"], ["--no_variable_len"]),
            *alone(["--MAG", 3], ["--U_bound", 0.5]),
            ([*DYNAMIC, "--MAG", 0.5], ["--MAG", 0.7]),
        ],
    ),
    Case(
        [*OF_TEXT, *PLAIN, "--embed_size", 6],
        ["--batch_size", 3, "--U_bound", 0.5],
        [([*DYNAMIC, "--U_bound", 0.5], ["--U_bound", 0.7])],
    ),
    Case([*OF_TEXT, *RESIDUAL, "--embed_size", 6], ["--batch_size", 3], alone(["--num_blocks", 2])),
    Case([*OF_TEXT, *DENSE, "--embed_size", 6], ["--batch_size", 3], OF_DENSE),
]  # fmt: skip
DIGITS = [
    Case(
        [*ONE, *PLAIN],
        ["--batch_size", 2],
        [*OF_NETWORK, *alone(["--permute"]), (["--bn_eval", "batch"], ["--eval_batch_size", 5])],
    ),
    Case([*ONE, *RESIDUAL], ["--batch_size", 2], alone(["--num_blocks", 2])),
    Case([*ONE, *DENSE], ["--batch_size", 2], [*OF_DENSE, *alone(["--num_first", 1])]),
    Case(
        [*ONE, "--model", "lstm", "--hidden_size", 3],
        ["--batch_size", 2],
        alone(
            ["--model", "lstm_rbn"], ["--zoneout_h", 0.3], ["--zoneout_c", 0.3],
            ["--pixels", "signed"], ["--dtype", "float64"], ["--p_drop_igate", 0.3],
        ),
    ),
]  # fmt: skip
DIGITS += [
    Case(
        [*ONE, "--model", "lstm_rbn", "--hidden_size", 3],
        ["--batch_size", 2],
        alone(["--summarize"]),
    )
]
OF_CLIPS: Flags = [*ONE, "--seq_len", 6, "--test_crops", 2]
CLIPS = [
    Case(
        [*OF_CLIPS, *PLAIN, "--geometric"],
        ["--batch_size", 4],
        [
            *OF_NETWORK,
            *alone(
                ["--seq_len", 7], ["--random_len"],
                ["--test_crops", 3], ["--benchmark", "cross_view"], ["--lines", "authors"],
                ["--eval_batch_size", 7], ["--dtype", "float64"],
            ),
        ],
    ),
    Case(
        [*OF_CLIPS, "--hidden_size", 6],
        ["--batch_size", 4],
        alone(["--model", "indrnn_residual"]),
    ),
    Case([*OF_CLIPS, *RESIDUAL], ["--batch_size", 4], alone(["--num_blocks", 2], ["--geometric"])),
    Case(
        [*OF_CLIPS, *DENSE],
        ["--batch_size", 4],
        [*OF_DENSE, *alone(["--num_first", 1], ["--time_diff"])],
    ),
]  # fmt: skip
OF_SUMS: Flags = ["--threads", 1, "--seq_len", 10, "--hidden_size", 4]
SUMS = [
    Case(
        OF_SUMS,
        [],
        alone(
            ["--seq_len", 11], ["--hidden_size", 5], ["--num_layers", 1], ["--act", "tanh"],
            ["--dtype", "float64"],
        ),
    ),
    Case([*OF_SUMS, "--model", "irnn"], [], alone(["--model", "rnn"])),
    Case(
        [*OF_SUMS, "--model", "lstm"],
        [],
        alone(["--zoneout_h", 0.3], ["--zoneout_c", 0.3], ["--forget_bias", 0]),
    ),
]  # fmt: skip
CASES = {"char_ptb": TEXT, "pixel_mnist": DIGITS, "action_recognition": CLIPS, "adding": SUMS}
KINDS = {"pixel_mnist": "PixelOptions", "action_recognition": "ActionOptions"}
KINDS |= {"adding": "AddingOptions"}


def kind_of(experiment: str) -> type[Options]:
    kind = KINDS.get(experiment)
    return LanguageOptions if kind is None else script(experiment)[kind]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Flags]:
    texts, digits, clips = (tmp_path_factory.mktemp(name) for name in ("text", "digits", "clips"))
    write_texts(texts)
    write_few_digits(digits)
    write_made_up("ntu", clips, np.random.default_rng(3))
    places = {"char_ptb": texts, "pixel_mnist": digits, "action_recognition": clips}
    return {"adding": [], **{name: ["--data", place] for name, place in places.items()}}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    checks.without_pictures(monkeypatch)
    few = partial(grid, lrs=(1e-3, 4e-3), decays=(0.001,))
    with monkeypatch.context() as patch:
        patch.setattr("nnseq.language.evaluation.grid", few)
        yield


def left(out: Path) -> Any:
    sample = out / "sample.txt"
    metrics = json.loads((out / "summary.json").read_text())["metrics"]
    return metrics, sample.exists() and sample.read_text(encoding="utf-8")


def tried(main: Callable[[list[str]], int], argv: Sequence[object], out: Path) -> Any:
    """What an evaluation leaves, or the exit code of one that is refused."""
    try:
        code: Any = main([str(x) for x in (*argv, "--out", out)])
    except SystemExit as error:
        code = error.code
    return code or left(out)


@pytest.mark.parametrize("experiment", CASES)
def test_no_option_was_forgotten(experiment: str) -> None:
    """Neither marked as one of training alone, nor tried below."""
    flags = [str(change[0]) for case in CASES[experiment] for _, change in case.tries]
    names = {flag.removeprefix("--").removeprefix("no_") for flag in flags}
    fields = dataclasses.fields(kind_of(experiment))
    rest = {f.name for f in fields if f.metadata["trains_only"] is not True} - OF_THE_RUN
    assert rest == names


@pytest.mark.parametrize("experiment", CASES)
def test_an_option_of_training_alone_is_refused(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = script(experiment)["main"]
    for field in dataclasses.fields(kind_of(experiment)):
        if field.metadata["trains_only"] is True:
            kind = str(field.type).removesuffix(" | None")
            value = {
                "bool": [],
                "int": [3],
                "float": [0.5],
                "str": list(field.metadata["choices"][:1]) or ["9"],
            }
            said = f"--{field.name} came with --eval, which trains nothing; drop one of them"
            flags = ["--eval", "--load_weight", "x.h5", f"--{field.name}", *value[kind]]
            checks.refusal(main, flags, 2, said, capsys)


TRIES = [
    pytest.param(name, k, beside, option, id=" ".join(map(str, [name, k, *option, *beside[:1]])))
    for name, cases in CASES.items()
    for k, case in enumerate(cases)
    for beside, option in case.tries
]


@pytest.fixture(scope="module")
def evaluated(
    folders: dict[str, Flags], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Flags, Any]]:
    """(the command line of a case's evaluation, what it leaves), with what comes beside."""
    place = tmp_path_factory.mktemp("runs")

    @cache
    def file(experiment: str, number: int) -> Path:
        case, out = CASES[experiment][number], place / f"{experiment}{number}"
        argv = [*case.model, *folders[experiment], *case.training, "--max_steps", 2]
        run_main(script(experiment)["main"], out, *argv)
        return out / "checkpoint.h5"

    @cache
    def unchanged(experiment: str, number: int, beside: tuple[object, ...]) -> tuple[Flags, Any]:
        argv = [*CASES[experiment][number].model, *folders[experiment], *beside]
        argv += ["--eval", "--load_weight", file(experiment, number)]
        out = file(experiment, number).parent / "_".join(["eval", *map(str, beside)])
        return argv, tried(script(experiment)["main"], argv, out)

    return unchanged


@pytest.mark.parametrize(("experiment", "number", "beside", "option"), TRIES)
def test_every_other_option_is_refused_or_changes_what_comes_out(
    experiment: str,
    number: int,
    beside: Flags,
    option: Flags,
    evaluated: Callable[..., tuple[Flags, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv, unchanged = evaluated(experiment, number, tuple(beside))
    assert isinstance(unchanged, tuple)
    capsys.readouterr()
    found = tried(script(experiment)["main"], [*argv, *option], tmp_path)
    told, error = capsys.readouterr()
    flag = str(option[0]).replace("--no_", "--")
    of_steps = beside == DYNAMIC and flag in ("--batch_size", "--clip_value")
    if isinstance(found, tuple):
        assert found != unchanged
        assert (f"not as in training: {flag} is " in told) == of_steps
        return
    assert not of_steps, error
    reasons = (f"{flag} came with --eval", "it was trained with", "holds another model")
    assert any(reason in error for reason in reasons), error
    assert error.count("\n") == 1


def test_weights_that_fit_another_model_too_are_not_taken_for_its_own(
    evaluated: Callable[..., tuple[Flags, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv, _ = evaluated("adding", 1, ())
    flags = [*argv, "--model", "rnn", "--out", tmp_path]
    said = "--model is rnn, it was trained with irnn"
    checks.refusal(script("adding")["main"], flags, 2, said, capsys)


def test_fresh_and_shared_masks_are_the_same_in_evaluation(
    evaluated: Callable[..., tuple[Flags, Any]], tmp_path: Path
) -> None:
    argv, unchanged = evaluated("char_ptb", 0, ())
    flags = [*argv, "--zoneout_masks", "shared"]
    assert tried(script("char_ptb")["main"], flags, tmp_path) == unchanged
