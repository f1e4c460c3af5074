"""From one options dataclass to one command line, the same for every experiment.

    @dataclass(frozen=True)
    class AddingOptions(Options):
        seq_len: int = option(5000, "length of the sequences", low=2)

    options = parse("adding", AddingOptions, argv, presets={"paper": {"lr": 2e-4}})

Every field is a flag with its own name (`--seq_len`). What counts, strongest first: flags on the
command line, `--smoke`, `--preset`, the defaults of the dataclass. A flag that an experiment does
not have is refused, and so is a value out of range, on the command line and in Python alike.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import typing
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nnseq.command_line import CommandLine, plain_type

O = TypeVar("O", bound="Options")

DEVICES = ("auto", "cpu", "cuda")
KERNELS = ("auto", "reference", "numba", "cupy", "numba_cuda")
DTYPES = ("float32", "float64")

SHORT_NAME = 100  # characters of a default folder's name; a file system allows 255


class OptionError(ValueError):
    """An option that cannot be honoured: one line, exit code 2."""


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    parse: Any = None,
    negatable: bool = False,
    same_run: bool = True,
    same_eval: bool = False,
    trains_only: bool | Callable[[Any], bool] = False,
) -> Any:
    """One field of an options dataclass, which is one flag.

    Args:
        default: its value when nothing says otherwise; None = decided when the run is built.
        help: a sentence for `--help`.
        choices: the texts allowed.
        low, above, high: value >= low, value > above, value <= high.
        parse: called with a text to check its form; raises ValueError.
        negatable: a bool also gets `--no_<name>`.
        same_run: the option belongs to the mathematics, so that `--resume` needs the same value.
        same_eval: evaluation depends on it, as on what a model is shown, and no array of a file
            tells its value, so that `--eval` needs that of training.
        trains_only: evaluation does not read it, so that `--eval` refuses the flag, and same_eval
            does not count; or a function that says so of the options.
    """
    limits = {"low": low, "above": above, "high": high}
    metadata = {"help": help, "choices": tuple(choices), "parse": parse, **limits}
    metadata |= {"negatable": negatable, "same_run": same_run, "same_eval": same_eval}
    metadata["trains_only"] = trains_only
    return dataclasses.field(default=default, metadata=metadata)


class SaveEvery(typing.NamedTuple):
    """How often a checkpoint is written: every so many seconds, or every so many steps (0: not)."""

    seconds: float
    steps: int


def parse_save_every(text: str) -> SaveEvery:
    """Reads "30s" (seconds) or "100" (steps).

    Raises:
        ValueError: neither, or not above zero.
    """
    try:
        every = (
            SaveEvery(float(text[:-1]), 0)
            if text.endswith("s") and not text.endswith("_s")
            else SaveEvery(0.0, int(text))
        )
    except ValueError:
        every = SaveEvery(0.0, 0)
    if not (0 < every.seconds < math.inf or every.steps > 0):
        raise ValueError(f"{text!r} came, expected seconds like 30s or a number of steps like 100")
    return every


@dataclass(frozen=True)
class Options:
    """The options that every experiment shares. An experiment's own dataclass extends this one.

    Raises:
        OptionError: a value of the wrong type or out of range, or two that contradict each other.
    """

    device: str = option("auto", "where arrays live; auto: cuda if usable", choices=DEVICES)
    kernels: str = option("auto", "which implementation of fused ops runs", choices=KERNELS)
    threads: int | None = option(None, "CPU threads of Numba and BLAS (default: all)", low=1)
    dtype: str = option("float32", "of parameters and data", choices=DTYPES)
    seed: int = option(0, "of initial weights, data and masks", low=0)
    out: str | None = option(
        None, "folder of results (default: runs/<experiment>/<options in short>)", same_run=False
    )
    resume: bool = option(False, "continue from checkpoint.h5 in --out", same_run=False)
    overwrite: bool = option(False, "discard the run in --out and start anew", same_run=False)
    save_every: str = option(
        "30s",
        "time between checkpoints, or steps: 100",
        parse=parse_save_every,
        same_run=False,
        trains_only=True,
    )
    max_steps: int | None = option(
        None,
        "the last step (default: when the recipe ends; 0: build only)",
        low=0,
        same_run=False,
        trains_only=True,
    )
    batch_size: int = option(32, "sequences in a step", low=1, trains_only=True)
    lr: float = option(1e-3, "learning rate", above=0, trains_only=True)
    clip_norm: float = option(
        0.0, "bound on the norm of all gradients together; 0: none", low=0, trains_only=True
    )
    clip_value: float = option(
        0.0, "bound on every entry of the gradients; 0: none", low=0, trains_only=True
    )
    eval: bool = option(False, "only evaluate --load_weight on the test set", same_run=False)
    load_weight: str | None = option(None, "HDF5 file with parameters to start from or to evaluate")
    log_every: int = option(
        100, "steps between two lines of metrics.jsonl", low=1, same_run=False, trains_only=True
    )
    smoke: bool = option(False, "a tiny run of a few seconds, to see that it works", same_run=False)
    preset: str | None = option(None, "a named set of options; explicit flags win", same_run=False)

    def __post_init__(self) -> None:
        for name, value in self.derived().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            _check_value(field, hints[field.name], getattr(self, field.name))
        _refuse_together(self, "resume", "overwrite", "eval")
        if self.eval and not self.load_weight:
            raise OptionError("--eval came without --load_weight FILE.h5, expected both")
        if self.eval and self.overwrite:
            raise OptionError("--overwrite came with --eval, which overwrites no run; drop it")
        self.check()

    def derived(self) -> Mapping[str, Any]:
        """Values for options left at None that follow from other options, as from a model's name.

        Called before any value is checked.
        """
        return {}

    def check(self) -> None:
        """What an experiment's own options must satisfy together; raises OptionError."""

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON can hold them."""
        return dataclasses.asdict(self)


def epochs_option(default: int | None, help: str = "passes over the training set") -> Any:
    """The field `epochs: int`, for experiments whose training set ends."""
    return option(default, help, low=0, same_run=False, trains_only=True)


def data_option() -> Any:
    """The field `data: str | None`, for experiments that read files."""
    return option(None, "the folder that holds this set's files directly", same_run=False)


def parse(
    experiment: str,
    kind: type[O],
    argv: Sequence[str] | None = None,
    description: str = "",
    *,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    published: Mapping[str, str] | None = None,
    smoke: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> O:
    """Turns a command line into options; leaves with exit code 2 and one line if it cannot.

    Args:
        experiment: its name, for messages and the default folder.
        kind: the options dataclass.
        argv: arguments without the program's name; None: those of this process.
        description: for `--help`.
        presets: name -> values that replace defaults under `--preset name`.
        published: name -> what the paper reports of that preset; `--help` lists it.
        smoke: values that replace defaults under `--smoke`, or a function to them from what the
            preset and the flags say.

    Raises:
        SystemExit: 0 after `--help`, 2 after a usage error.
    """
    presets = presets or {}
    shared = {field.name for field in dataclasses.fields(Options)}
    parser = CommandLine(experiment, kind, description, presets, published or {}, shared)
    explicit = vars(parser.parse_args(sys.argv[1:] if argv is None else list(argv)))
    values = dict(presets.get(explicit.get("preset", ""), {}))
    if explicit.get("smoke"):
        values |= (smoke(values | explicit) if callable(smoke) else smoke) or {}
        if "out" not in explicit:
            # A folder that only smoke runs use may be used again without asking.
            continues = explicit.get("resume") or explicit.get("eval")
            values |= {"out": f"runs/{experiment}/smoke", "overwrite": not continues}
    of_eval = explicit if explicit.get("eval") else {}
    try:
        _refuse_of_training(kind, of_eval, lambda field: field.metadata["trains_only"] is True)
        options = kind(**(values | explicit))
        _refuse_of_training(kind, of_eval, lambda field: _is_unread(field, options))
        if options.out is None:
            folder = Path("runs", experiment, short_name(options))
            options = dataclasses.replace(options, out=str(folder))
    except OptionError as error:
        parser.error(str(error))
    return options


def short_name(options: Options) -> str:
    """The options of the mathematics that differ from their defaults, as the name of a folder."""
    parts = ["eval"] if options.eval else []
    derived = options.derived()
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        default = derived.get(field.name) if field.default is None else field.default
        if field.metadata["same_run"] and value != default:
            text = value
            if field.name == "load_weight":  # many files have the name checkpoint.h5
                text = f"{Path(value).stem}-{zlib.crc32(value.encode()):08x}"
            parts.append(f"{field.name}-{text}")
    name = "_".join(parts) or "default"
    if len(name) > SHORT_NAME:
        import hashlib

        name = f"{name[: SHORT_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name


def differences(options: Options, stored: Mapping[str, Any]) -> list[str]:
    """Lists the options of the mathematics that differ from those a checkpoint was made with."""
    own = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    ours = {f.name for f in dataclasses.fields(options) if f.metadata["same_run"]}
    return [
        f"--{name} is {own.get(name)}, the checkpoint has {stored.get(name)}"
        for name in sorted(ours | (stored.keys() - own.keys()))
        if name not in own or name not in stored or own[name] != stored[name]
    ]


class EvalDifferences(typing.NamedTuple):
    """In which options an evaluation differs from the training of its model.

    Attributes:
        faults: without these the model is not what was trained.
        others: training reads these and the evaluation too, each with a value of its own: what a
            run's own evaluation came to has that of training.
    """

    faults: list[str]
    others: list[str]


def eval_differences(options: Options, stored: Mapping[str, Any]) -> EvalDifferences:
    """Lists where the options of an evaluation are not those stored with a model."""
    found = EvalDifferences([], [])
    for field in dataclasses.fields(options):
        name, own, rules = field.name, getattr(options, field.name), field.metadata
        if name not in stored or own == stored[name] or _is_unread(field, options):
            continue
        said = f"--{name} is {own}, it was trained with {stored[name]}"
        if rules["same_eval"]:
            found.faults.append(said)
        elif callable(rules["trains_only"]):
            found.others.append(said)
    return found


def _is_unread(field: dataclasses.Field[Any], options: Options) -> bool:
    """Whether evaluation with these options does not read the field."""
    mark = field.metadata["trains_only"]
    return bool(mark(options) if callable(mark) else mark)


def _check_value(field: dataclasses.Field[Any], hint: Any, value: Any) -> None:
    """Raises OptionError unless the value has the field's type and lies within its limits."""
    if value is None and field.default is None:
        return
    kind, rules = plain_type(hint), field.metadata
    expected = {int: "a whole number", float: "a finite number", bool: "True or False", str: "text"}
    fits = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
    if kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and math.isfinite(value)
    if not fits:
        raise OptionError(f"--{field.name}: {value!r} came, expected {expected[kind]}")
    low, above, high = rules["low"], rules["above"], rules["high"]
    outside = [
        bound
        for bound, broken in (
            (f">= {low}", low is not None and value < low),
            (f"> {above}", above is not None and value <= above),
            (f"<= {high}", high is not None and value > high),
        )
        if broken
    ]
    if outside:
        raise OptionError(f"--{field.name}: {value} came, expected {expected[kind]} {outside[0]}")
    if rules["choices"] and value not in rules["choices"]:
        raise OptionError(f"--{field.name}: {value!r} came, expected {', '.join(rules['choices'])}")
    if rules["parse"] is not None:
        try:
            rules["parse"](value)
        except ValueError as error:
            raise OptionError(f"--{field.name}: {error}") from None


def _refuse_together(options: Options, first: str, *others: str) -> None:
    for other in others:
        if getattr(options, first) and getattr(options, other):
            raise OptionError(
                f"--{first} came with --{other}, expected one of them; drop the other"
            )


def _refuse_of_training(
    kind: type[Options],
    of_eval: Mapping[str, Any],
    is_unread: Callable[[dataclasses.Field[Any]], bool],
) -> None:
    """Refuses flags beside `--eval` that it does not read."""
    for field in dataclasses.fields(kind):
        if field.name in of_eval and is_unread(field):
            raise OptionError(
                f"--{field.name} came with --eval, which trains nothing; drop one of them"
            )
