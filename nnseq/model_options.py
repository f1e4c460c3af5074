"""Options of an experiment that offers several models: defaults, and whole options, by --model.

    @dataclass(frozen=True)
    class ToyOptions(ModelOptions):
        model: str = option("lstm", "the network", choices=("indrnn", "lstm", "gru"))
        lr: float | None = by_model("learning rate", {"indrnn": 4e-3}, others=1e-3, above=0)
        forget_bias: float | None = by_model("added to the forget gate", {"lstm": 1.0})

`--model lstm` has lr 1e-3 and forget_bias 1.0; with `--model gru`, --forget_bias is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnseq.options import OptionError, Options, option


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
    shown += [] if others is None else [f"else {others}"]
    field = option(None, f"{help} (default: {'; '.join(shown)})", **rules)
    metadata = {**field.metadata, "by_model": dict(defaults), "others": others}
    return dataclasses.field(default=None, metadata=metadata)


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options with a field `model`, some of whose fields are made by by_model.

    Raises:
        OptionError: as Options, or an option that --model does not have.
    """

    model: str = option("", "the model")

    def derived(self) -> Mapping[str, Any]:
        return {field.name: _default(field, self.model) for field in _fields(self)}

    def check(self) -> None:
        for field in _fields(self):
            if getattr(self, field.name) is not None and _default(field, self.model) is None:
                # Whether the flag or the preset gave it is not known here.
                what = f"--{field.name}" + (f" or --preset {self.preset}" if self.preset else "")
                raise OptionError(
                    f"{what} came with --model {self.model}, which has no {field.name}; drop it, "
                    f"or choose another model: {', '.join(field.metadata['by_model'])}"
                )


def _fields(options: ModelOptions) -> list[dataclasses.Field[Any]]:
    """The fields made by by_model."""
    return [field for field in dataclasses.fields(options) if "by_model" in field.metadata]


def _default(field: dataclasses.Field[Any], model: str) -> Any:
    """The model's default; None if it does not have the option."""
    return field.metadata["by_model"].get(model, field.metadata["others"])
