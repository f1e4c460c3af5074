"""Options of an experiment that offers several models: what an option is depends on the others.

    @dataclass(frozen=True)
    class ToyOptions(ModelOptions):
        model: str = option("lstm", "the network", choices=("indrnn", "lstm", "gru"))
        lr: float | None = by_model("learning rate", {"indrnn": 4e-3}, others=1e-3, above=0)
        forget_bias: float | None = by_model("added to the forget gate", {"lstm": 1.0})
        patience: int = option(0, "validations until lr is cut; 0: never", low=0)
        lr_factor: float | None = default("of a cut", 0.2, above=0)
        conditions = {"--patience above 0": lambda o: o.patience}
        needs = {"lr_factor": "--patience above 0"}

`--model lstm` has lr 1e-3 and forget_bias 1.0; with `--model gru`, --forget_bias is refused. Unless
--patience comes too, lr_factor is None, and --lr_factor is refused: it would change nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from nnseq.options import OptionError, Options, option

BELOW_1 = 0.999999  # of what must not be 1


def by_model(help: str, defaults: Mapping[str, Any], *, others: Any = None, **rules: Any) -> Any:
    """One field of ModelOptions, with a default for every model that has the option.

    Args:
        help: a sentence for `--help`.
        defaults: model -> default.
        others: default of the models that are not named; None: they do not have the option.
        rules: as nnseq.options.option.
    """
    models: dict[str, list[str]] = {}
    for model, value in defaults.items():
        models.setdefault(str(value), []).append(model)
    shown = [f"{value} of {', '.join(names)}" for value, names in models.items()]
    shown += [] if others is None else [f"{'else ' * bool(shown)}{others}"]
    field = option(None, f"{help} (default: {'; '.join(shown)})", **rules)
    metadata = {**field.metadata, "by_model": dict(defaults), "others": others}
    return dataclasses.field(default=None, metadata=metadata)


def default(help: str, value: Any, **rules: Any) -> Any:
    """One field with the same default for every model, which `needs` can take away."""
    return by_model(help, {}, others=value, **rules)


def of(models: Iterable[str], value: Any) -> dict[str, Any]:
    """The same default for each of several models."""
    return dict.fromkeys(models, value)


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options with a field `model`, some of whose fields are made by by_model or default.

    Attributes:
        conditions: what a message says -> does it hold for these options?
        needs: such a field -> the condition without which it would change nothing. Its value is
            then None; of two fields the one that a condition asks about comes first.

    Raises:
        OptionError: as Options, or an option that --model does not have, or one without what it
            needs.
    """

    model: str = option("", "the model")

    conditions: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    needs: ClassVar[Mapping[str, str]] = {}

    def derived(self) -> Mapping[str, Any]:
        values = {field.name: _default(field, self.model) for field in _fields(self)}
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        left_out = {name: x for name, x in values.items() if given[name] is None}
        known = SimpleNamespace(**(given | left_out))
        for name, need in self.needs.items():
            if not self.conditions[need](known):
                values[name] = None
                setattr(known, name, given[name])  # for the needs that follow from this one
        return values

    def check(self) -> None:
        for field in _fields(self):
            if getattr(self, field.name) is not None and _default(field, self.model) is None:
                # Whether the flag or the preset gave it is not known here.
                what = f"--{field.name}" + (f" or --preset {self.preset}" if self.preset else "")
                raise OptionError(
                    f"{what} came with --model {self.model}, which has no {field.name}; drop it, "
                    f"or choose another model: {', '.join(field.metadata['by_model'])}"
                )
        for name, need in self.needs.items():
            value = getattr(self, name)
            if value is not None and not self.conditions[need](self):
                raise OptionError(
                    f"--{name} is {value}, but changes nothing without {need}; give both, or drop "
                    "it"
                )


def parse_sizes(text: str) -> tuple[int, ...]:
    """Reads "8,6,4".

    Raises:
        ValueError: not whole numbers above zero.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"{text!r} came, expected whole numbers above zero like 8,6,4")
    return tuple(int(part) for part in parts)


def _fields(options: ModelOptions) -> list[dataclasses.Field[Any]]:
    """The fields made by by_model."""
    return [field for field in dataclasses.fields(options) if "by_model" in field.metadata]


def _default(field: dataclasses.Field[Any], model: str) -> Any:
    """The model's default; None if it does not have the option."""
    return field.metadata["by_model"].get(model, field.metadata["others"])
