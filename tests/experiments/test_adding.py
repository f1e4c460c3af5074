"""experiments/adding.py as a user runs it: by its path, in a process of its own, and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq import checkpoint
from nnseq.curriculum import Curriculum, FullLength
from nnseq.optim import Plateau
from tests.child import ENVIRONMENT, ROOT, run_until_killed

SCRIPT = ROOT / "experiments" / "adding.py"
SMALL = ["--seq_len", "24", "--hidden_size", "8", "--batch_size", "4", "--log_every", "5"]
SMALL += ["--threads", "1"]


def command(*argv: object) -> list[str]:
    return [sys.executable, str(SCRIPT), *map(str, argv)]


def adding(*argv: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*argv), capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == code, done.stderr
    return done


def result(out: Path) -> tuple[Any, ...]:
    """Arrays, numbers and lines of a finished run, without times and its own flags."""
    tree, attributes = checkpoint.read(out / "checkpoint.h5")
    tree["state"]["position"].pop("seconds")
    lines = metrics(out)
    summary = json.loads((out / "summary.json").read_text())
    for record in (*lines, summary):
        record.pop("seconds")
    for name in ("options", "commit", "command"):
        summary.pop(name)
    attributes.pop("options")
    return _bits(tree), attributes, lines, summary


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def _bits(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _bits(leaf) for name, leaf in tree.items()}
    return (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree


# ---- the command line ----------------------------------------------------------------------------


def test_help_says_what_it_is_and_imports_nothing_heavy() -> None:
    text = adding("--help").stdout
    assert text.startswith("usage: adding")
    for flag in ("--seq_len", "--num_layers", "--hidden_size", "--batch_size", "--MAG", "--act"):
        assert flag in text
    for flag in ("--lr", "--clip_value", "--in2hid_std", "--curriculum", "--preset {paper}"):
        assert flag in text
    for flag in ("--model {indrnn,irnn,", "--zoneout_h", "--zoneout_c", "--forget_bias"):
        assert flag in text
    code = f"""
import runpy, sys
sys.argv = ["adding.py", "--help"]
try:
    runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
except SystemExit:
    known = ("numba", "scipy", "h5py", "matplotlib", "cupy", "tqdm")
    print("heavy:", [name for name in known if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert "heavy: []" in done.stdout


def test_smoke_is_a_whole_run_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        lines = adding("--smoke").stdout.splitlines()
    assert lines[0].startswith("kernels: indrnn: ")
    assert any("--curriculum" in line for line in lines[:2])
    assert "(always answering 1: 0.1667)" in lines[2]
    out = tmp_path / "runs" / "adding" / "smoke"
    assert {"metrics.jsonl", "checkpoint.h5", "curve.png", "summary.json"} <= {
        p.name for p in out.iterdir()
    }
    assert 0 < json.loads((out / "summary.json").read_text())["metrics"]["test_mse"] < 1


def test_preset_paper_is_the_papers_recipe(tmp_path: Path) -> None:
    adding("--preset", "paper", "--seq_len", 100, "--max_steps", 0, "--out", tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    options = summary["options"]
    assert summary["params"] == 2 * 128 + 128 * 128 + 2 * (128 + 128) + 128 + 1
    expected = {"num_layers": 2, "hidden_size": 128, "batch_size": 32, "lr": 2e-4, "MAG": 2.0}
    expected |= {"act": "relu", "in2hid_std": 0.001, "clip_value": 10.0, "curriculum": False}
    assert {name: options[name] for name in expected} == expected


CHANGES: list[list[object]] = [
    ["--seq_len", 30],
    ["--num_layers", 1],
    ["--hidden_size", 9],
    ["--batch_size", 5],
    ["--MAG", 1.1],
    ["--act", "tanh"],
    ["--lr", 0.01],
    ["--clip_value", 1e-4],
    ["--clip_norm", 1e-4],
    ["--in2hid_std", 0.1],
    ["--seed", 1],
    ["--dtype", "float64"],
]


def test_every_option_of_the_mathematics_changes_the_result(tmp_path: Path) -> None:
    """A flag that is accepted changes something."""
    import runpy

    main = runpy.run_path(str(SCRIPT))["main"]
    seen = {}
    for number, change in enumerate([[], *CHANGES]):
        out = tmp_path / str(number)
        argv = [*SMALL, "--max_steps", "2", "--out", out, *change]
        assert main([str(a) for a in argv]) == 0
        seen[str(change)] = json.loads((out / "summary.json").read_text())["metrics"]["test_mse"]
    assert len(set(seen.values())) == len(seen), seen


# ---- the other models ----------------------------------------------------------------------------

MODELS = ["indrnn", "irnn", "rnn", "lstm", "gru", "mut1", "mut2", "mut3"]
FLAGS_OF_OTHERS: list[list[object]] = [
    *([["--model", model] for model in MODELS[1:]]),
    ["--model", "gru", "--zoneout_h", 0.5],
    *(["--model", "lstm", flag, 0.5] for flag in ("--zoneout_h", "--zoneout_c", "--forget_bias")),
    *(["--model", "lstm", flag, 1e-4] for flag in ("--lr", "--clip_norm")),
]


def test_every_model_and_every_option_of_one_changes_the_result(tmp_path: Path) -> None:
    import runpy

    main = runpy.run_path(str(SCRIPT))["main"]
    seen = {}
    for number, flags in enumerate(FLAGS_OF_OTHERS):
        out = tmp_path / str(number)
        assert main([str(a) for a in [*SMALL, "--max_steps", 2, "--out", out, *flags]]) == 0
        seen[str(flags)] = json.loads((out / "summary.json").read_text())["metrics"]["test_mse"]
    assert len(set(seen.values())) == len(seen), seen


def test_the_models_have_their_own_recipe_and_size(tmp_path: Path) -> None:
    adding("--model", "lstm", "--max_steps", 0, "--out", tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["params"] == 4 * 64 * (2 + 64 + 1) + 64 + 1
    expected = {"seq_len": 100, "num_layers": 1, "lr": 1e-3, "clip_norm": 1.0, "forget_bias": 1.0}
    expected |= {"MAG": None, "act": None, "in2hid_std": None, "curriculum": None}
    assert {name: summary["options"][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model", "lstm", "--MAG", "2"], "--MAG came with --model lstm"),
        (["--model", "gru", "--act", "tanh"], "--act came with --model gru"),
        (["--model", "irnn", "--in2hid_std", "1"], "--in2hid_std came with --model irnn"),
        (["--model", "mut1", "--no_curriculum"], "--curriculum came with --model mut1"),
        (["--model", "rnn", "--preset", "paper"], "--preset paper came with --model rnn"),
        (["--forget_bias", "1"], "--forget_bias came with --model indrnn"),
        (["--zoneout_h", "0.1"], "--zoneout_h came with --model indrnn"),
        (["--model", "gru", "--zoneout_c", "0.1"], "choose another model: lstm"),
        (["--model", "mut4"], "invalid choice: 'mut4'"),
    ],
)
def test_an_option_of_another_model_is_refused_in_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import runpy

    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT))["main"](argv)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_a_stopped_run_with_masks_continues_to_the_same_bits(tmp_path: Path) -> None:
    import runpy

    space = runpy.run_path(str(SCRIPT))
    space["main"].__globals__["EVAL_EVERY"] = 4  # and an evaluation, which draws none, between

    def run(out: str, steps: int, *more: str) -> None:
        argv = [*SMALL, "--model", "lstm", "--zoneout_h", "0.2", "--zoneout_c", "0.4", *more]
        assert space["main"]([*argv, "--out", str(tmp_path / out), "--max_steps", str(steps)]) == 0

    run("whole", 10)
    run("parts", 5)
    run("parts", 10, "--resume")
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_an_evaluation_amid_training_takes_the_expectation_and_draws_no_mask() -> None:
    import runpy

    space = runpy.run_path(str(SCRIPT))
    options = {"seq_len": 9, "hidden_size": 3, "device": "cpu"}
    task = space["Adding"](space["AddingOptions"](model="lstm", zoneout_c=0.5, **options))
    before = task.rngs["masks"].bit_generator.state
    assert task.evaluate() == task.evaluate()
    assert task.rngs["masks"].bit_generator.state == before
    assert task.model.is_training
    task.loss()
    assert task.rngs["masks"].bit_generator.state != before


def test_without_the_curriculum_every_sequence_is_long_and_plateaus_are_watched(
    tmp_path: Path,
) -> None:
    adding(*SMALL, "--seq_len", 60, "--max_steps", 100, "--no_curriculum", "--out", tmp_path / "n")
    lines = metrics(tmp_path / "n")
    assert {line["T"] for line in lines} == {60}
    assert lines[-1]["eval_mse"] > 0
    adding(*SMALL, "--seq_len", 60, "--max_steps", 1, "--out", tmp_path / "c")
    assert metrics(tmp_path / "c")[0]["T"] == 50


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--seq_lenn", "5"], 2, "did you mean --seq_len"),
        (["--epochs", "5"], 2, "does not apply to adding"),
        (["--seq_len", "-5"], 2, "--seq_len: -5 came"),
        (["--out", "/dev/null/x"], 2, "--out: /dev/null/x cannot be used"),
        (
            ["--eval", "--load_weight", "/nowhere.h5", "--out", "{tmp}"],
            1,
            "/nowhere.h5: no such file",
        ),
    ],
)
def test_bad_input_is_one_line(argv: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = adding(*(a.replace("{tmp}", str(tmp_path)) for a in argv), code=code)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("adding: ")
    assert said in done.stderr


def test_eval_gives_the_test_mse_of_the_checkpoint(tmp_path: Path) -> None:
    adding(*SMALL, "--max_steps", 3, "--out", tmp_path / "run")
    file = tmp_path / "run" / "checkpoint.h5"
    sizes = ["--seq_len", "24", "--hidden_size", "8", "--threads", "1"]
    done = adding(*sizes, "--eval", "--load_weight", file, "--out", tmp_path / "eval")
    assert "curriculum" not in done.stdout
    trained, evaluated = (
        json.loads((tmp_path / name / "summary.json").read_text())["metrics"]
        for name in ("run", "eval")
    )
    assert trained == evaluated


# ---- killed and continued ------------------------------------------------------------------------


def kill_and_continue(tmp_path: Path, kills: int, least: int, steps: int) -> None:
    """Kills a run at moments spread over its length; it must end like one that was not killed."""
    options = [*SMALL, "--max_steps", steps, "--save_every", 7]
    adding(*options, "--out", tmp_path / "whole")
    seconds = json.loads((tmp_path / "whole" / "summary.json").read_text())["seconds"]
    rng, killed = np.random.default_rng(kills), 0
    resume: list[str] = []
    for _ in range(kills):
        argv = command(*options, "--out", tmp_path / "parts", *resume)
        code = run_until_killed(
            argv, tmp_path / "parts", rng.uniform(0, 1.2 * seconds / kills), signal.SIGKILL
        )
        resume = ["--resume"]
        killed += code == -signal.SIGKILL
        if code == 0:
            break
        assert code == -signal.SIGKILL
    adding(*options, "--out", tmp_path / "parts", "--resume")
    assert killed >= least, "the run was over before it was killed often enough"
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_kill_9_and_resume_ends_with_the_same_bits(tmp_path: Path) -> None:
    kill_and_continue(tmp_path, kills=2, least=1, steps=250)


@pytest.mark.parametrize("recipe", ["--curriculum", "--no_curriculum"])
def test_a_run_stopped_in_a_later_stage_of_its_recipe_ends_with_the_same_bits(
    tmp_path: Path, recipe: str
) -> None:
    import runpy

    space = runpy.run_path(str(SCRIPT))

    class Fast(Curriculum):
        def __init__(self, target: int, lr: float) -> None:
            super().__init__(target, lr, start=6, window=4, threshold=9.0, final=30)

    class Impatient(FullLength):
        def __init__(self, T: int, lr: float) -> None:
            Plateau.__init__(self, lr, 1, 0.1, threshold=0.9)
            self.T = T

    space["main"].__globals__.update(Curriculum=Fast, FullLength=Impatient, EVAL_EVERY=5)

    def run(out: str, steps: int, *more: str) -> None:
        argv = [*SMALL, recipe, "--in2hid_std", "0.3", "--out", str(tmp_path / out), *more]
        assert space["main"]([*argv, "--max_steps", str(steps)]) == 0

    run("whole", 31)
    run("parts", 7)
    for steps in (18, 31):
        run("parts", steps, "--resume")
    seen = {(line["T"], line["lr"]) for line in metrics(tmp_path / "whole")}
    assert len(seen) >= 4, "the recipe has stages"
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


@pytest.mark.kills
def test_25_kills_of_a_run_of_a_minute_end_with_the_same_bits(tmp_path: Path) -> None:
    kill_and_continue(tmp_path, kills=25, least=20, steps=20_000)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_with_its_code_and_a_checkpoint(
    tmp_path: Path, number: int, code: int
) -> None:
    argv = command(*SMALL, "--max_steps", 10**6, "--out", tmp_path)
    assert run_until_killed(argv, tmp_path, 0.2, number) == code
    assert checkpoint.read(tmp_path / "checkpoint.h5")[1]["step"] > 0


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    """The first is waiting for a step that takes a minute; the second does not wait."""
    code = f"""
import runpy, sys, time
space = runpy.run_path({str(SCRIPT)!r})
class Slow(space["Adding"]):
    def loss(self):
        print("in the step", flush=True)
        time.sleep(30); time.sleep(30)
options = space["AddingOptions"](seq_len=10, out=sys.argv[1])
sys.exit(space["run"]("adding", options, Slow))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the step\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None, "the first signal waits for the step"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    process.stdout.close()
    assert checkpoint.read(tmp_path / "checkpoint.h5")[1]["step"] == 0
