"""The command line of an options dataclass: a flag for every field, and messages of one line."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

# Flags that only some experiments have, with what to use instead.
ELSEWHERE = {
    "epochs": "its data never ends; use --max_steps",
    "data": "its data is generated; drop the flag",
    "preset": "it has no presets; drop the flag",
}


class CommandLine(argparse.ArgumentParser):
    """argparse without abbreviations or defaults: what it returns was on the command line.

    Args:
        experiment: its name.
        kind: the dataclass, with fields made by nnseq.options.option.
        description: for `--help`.
        presets: by their names; without any there is no `--preset`.
        published: name -> what the paper reports of that preset; `--help` lists it.
        shared: names of the fields that every experiment has.
    """

    def __init__(
        self,
        experiment: str,
        kind: type[Any],
        description: str,
        presets: Collection[str],
        published: Mapping[str, str],
        shared: Collection[str],
    ) -> None:
        super().__init__(
            prog=experiment,
            description=description,
            epilog=_listed(presets, published),
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.flags: list[str] = []
        own_group = self.add_argument_group(f"options of {experiment}")
        shared_group = self.add_argument_group("options of every experiment")
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.name == "preset" and not presets:
                continue
            self.flags.append(f"--{field.name}")
            choices = tuple(presets) if field.name == "preset" else field.metadata["choices"]
            group = shared_group if field.name in shared else own_group
            _add_flag(group, field, plain_type(hints[field.name]), choices)

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


def plain_type(hint: Any) -> type:
    """`int | None` -> int."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return typing.cast(type, parts[0])


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


def _listed(presets: Collection[str], published: Mapping[str, str]) -> str:
    """The end of `--help`: every preset with its published result."""
    width = max(map(len, presets), default=0)
    lines = [f"  {name:{width}}  {published.get(name, '')}".rstrip() for name in presets]
    return "\n".join(["presets, and what is published of them:", *lines]) if published else ""
