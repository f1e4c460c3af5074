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

import argparse
import dataclasses
import math
import sys
import types
import typing
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

O = TypeVar("O", bound="Options")

DEVICES = ("auto", "cpu", "cuda")
KERNELS = ("auto", "reference", "numba", "cupy", "numba_cuda")
DTYPES = ("float32", "float64")

# Shared flags that only some experiments have, with what to use instead.
ELSEWHERE = {
    "epochs": "its data never ends; use --max_steps",
    "data": "its data is generated; drop the flag",
    "preset": "it has no presets; drop the flag",
}

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
    """
    limits = {"low": low, "above": above, "high": high}
    metadata = {"help": help, "choices": tuple(choices), "parse": parse, **limits}
    metadata |= {"negatable": negatable, "same_run": same_run, "same_eval": same_eval}
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


TRAINING_ONLY = ("lr", "clip_norm", "clip_value", "max_steps", "epochs", "save_every", "log_every")


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
        "30s", "time between checkpoints, or steps: 100", parse=parse_save_every, same_run=False
    )
    max_steps: int | None = option(
        None, "the last step (default: when the recipe ends; 0: build only)", low=0, same_run=False
    )
    batch_size: int = option(32, "sequences in a step", low=1)
    lr: float = option(1e-3, "learning rate", above=0)
    clip_norm: float = option(0.0, "bound on the norm of all gradients together; 0: none", low=0)
    clip_value: float = option(0.0, "bound on every entry of the gradients; 0: none", low=0)
    eval: bool = option(False, "only evaluate --load_weight on the test set", same_run=False)
    load_weight: str | None = option(None, "HDF5 file with parameters to start from or to evaluate")
    log_every: int = option(100, "steps between two lines of metrics.jsonl", low=1, same_run=False)
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
    return option(default, help, low=0, same_run=False)


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
    smoke: Mapping[str, Any] | None = None,
) -> O:
    """Turns a command line into options; leaves with exit code 2 and one line if it cannot.

    Args:
        experiment: its name, for messages and the default folder.
        kind: the options dataclass.
        argv: arguments without the program's name; None: those of this process.
        description: for `--help`.
        presets: name -> values that replace defaults under `--preset name`.
        published: name -> what the paper reports of that preset; `--help` lists it.
        smoke: values that replace defaults under `--smoke`.

    Raises:
        SystemExit: 0 after `--help`, 2 after a usage error.
    """
    presets = presets or {}
    parser = _Parser(experiment, kind, description, presets)
    parser.epilog = _listed(presets, published or {})
    explicit = vars(parser.parse_args(sys.argv[1:] if argv is None else list(argv)))
    if explicit.get("eval"):
        for name in TRAINING_ONLY:
            if name in explicit:
                parser.error(f"--{name} came with --eval, which trains nothing; drop one of them")
    values = dict(presets.get(explicit.get("preset", ""), {}))
    if explicit.get("smoke"):
        values |= smoke or {}
        if "out" not in explicit:
            # A folder that only smoke runs use may be used again without asking.
            continues = explicit.get("resume") or explicit.get("eval")
            values |= {"out": f"runs/{experiment}/smoke", "overwrite": not continues}
    try:
        options = kind(**(values | explicit))
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


def eval_differences(options: Options, stored: Mapping[str, Any]) -> list[str]:
    """Lists the options without which a model is not what was trained, where they differ."""
    own = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    asked = (f.name for f in dataclasses.fields(options) if f.metadata["same_eval"])
    return [
        f"--{name} is {own[name]}, it was trained with {stored[name]}"
        for name in asked
        if name in stored and own[name] != stored[name]
    ]


def _listed(presets: Mapping[str, Any], published: Mapping[str, str]) -> str:
    """The end of `--help`: every preset with its published result."""
    width = max(map(len, presets), default=0)
    lines = [f"  {name:{width}}  {published.get(name, '')}".rstrip() for name in presets]
    return "\n".join(["presets, and what is published of them:", *lines]) if published else ""


class _Parser(argparse.ArgumentParser):
    """argparse without abbreviations or defaults: what it returns was on the command line."""

    def __init__(
        self, experiment: str, kind: type[Options], description: str, presets: Mapping[str, Any]
    ) -> None:
        super().__init__(
            prog=experiment,
            description=description,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.flags: list[str] = []
        shared = {field.name for field in dataclasses.fields(Options)}
        own_group = self.add_argument_group(f"options of {experiment}")
        shared_group = self.add_argument_group("options of every experiment")
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.name == "preset" and not presets:
                continue
            self.flags.append(f"--{field.name}")
            choices = tuple(presets) if field.name == "preset" else field.metadata["choices"]
            group = shared_group if field.name in shared else own_group
            _add_flag(group, field, _plain_type(hints[field.name]), choices)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._explain_unknown(unknown))
        return known

    def _explain_unknown(self, unknown: Sequence[str]) -> str:
        flag = unknown[0].partition("=")[0]
        name = flag.removeprefix("--")
        if name in ELSEWHERE:
            return f"{flag} does not apply to {self.prog}: {ELSEWHERE[name]}"
        import difflib

        underscored = f"--{name.replace('-', '_')}"
        near = difflib.get_close_matches(underscored, self.flags, 1)
        hint = f"did you mean {near[0]}?" if near else "--help lists the flags"
        return f"{' '.join(unknown)}: no such flag; {hint}"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _add_flag(
    group: Any, field: dataclasses.Field[Any], kind: type, choices: tuple[str, ...]
) -> None:
    flag, text = f"--{field.name}", field.metadata["help"].replace("%", "%%")
    if kind is bool:
        if field.default is not True or field.metadata["negatable"]:
            group.add_argument(flag, action="store_const", const=True, help=text)
        if field.metadata["negatable"]:
            group.add_argument(
                f"--no_{field.name}",
                action="store_const",
                const=False,
                dest=field.name,
                help=f"not {flag}",
            )
        return
    if field.default is not None:
        text += f" (default: {field.default})"
    named = {"choices": choices} if choices else {"metavar": kind.__name__.upper()}
    group.add_argument(flag, type=kind, help=text, **named)


def _plain_type(hint: Any) -> type:
    """`int | None` -> int."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return typing.cast(type, parts[0])


def _check_value(field: dataclasses.Field[Any], hint: Any, value: Any) -> None:
    """Raises OptionError unless the value has the field's type and lies within its limits."""
    if value is None and field.default is None:
        return
    kind, rules = _plain_type(hint), field.metadata
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
