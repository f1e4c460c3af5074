"""A module's class and constructor arguments as JSON, and the module made of them again.

    describe(model) -> {"class": "PlainIndRNN", "config": {"input_size": 2, ...}}
    build(description) -> a model of that class, with other initial values

A description names a class; only classes of Module that are already imported are looked up, so a
file can choose between them and not run anything else. An argument called rng is left out, since
the parameters are loaded afterwards.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnseq.nn.initializers import Initializer
from nnseq.nn.module import Module

RNG = "rng"


def describe(module: Module) -> dict[str, Any]:
    """Return {"class": name, "config": arguments by name}, which json.dumps takes.

    Raises:
        TypeError: an argument that JSON cannot hold, such as a function.
    """
    who, config = type(module).__name__, {}
    for name, value in module.arguments().items():
        if name != RNG:
            try:
                config[name] = _encode(value)
            except TypeError as error:
                raise TypeError(f"{who}: the argument {name} is {error}") from None
    return {"class": who, "config": config}


def build(description: Mapping[str, Any], rng: np.random.Generator | None = None) -> Module:
    """Make the module that was described.

    Args:
        description: as describe returned it.
        rng: draws the initial values; a generator with seed 0 if left out, for a module whose
            parameters are loaded next.

    Raises:
        ValueError: not a description, no such class, or arguments that the class does not take.
    """
    try:
        name, config = description["class"], description["config"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"build: got {description!r}, expected a class and its config") from error
    cls = registered(name)
    takes = inspect.signature(cls.__init__).parameters
    unknown = sorted(config.keys() - takes.keys())
    if unknown:
        raise ValueError(f"build: {name} takes no argument {', '.join(unknown)}")
    arguments = {key: _decode(value) for key, value in config.items()}
    if RNG in takes:
        arguments[RNG] = np.random.default_rng(0) if rng is None else rng
    rows = [key for key, p in takes.items() if p.kind is p.VAR_POSITIONAL and key in arguments]
    row = [x for key in rows for x in arguments.pop(key)]
    return cls(*row, **arguments)


def registered(name: str) -> type[Module]:
    """Return the imported class of Module with that name.

    Raises:
        ValueError: none, or more than one.
    """
    found = [cls for cls in _subclasses(Module) if cls.__name__ == name]
    if len(found) != 1:
        where = ", ".join(sorted(cls.__module__ for cls in found)) or "nowhere"
        raise ValueError(
            f"module class {name!r}: found {where}, expected exactly one; import the module that "
            f"defines it first"
        )
    return found[0]


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    return [c for direct in cls.__subclasses__() for c in (direct, *_subclasses(direct))]


def _encode(value: Any) -> Any:
    if isinstance(value, Module):
        return {"module": describe(value)}
    if isinstance(value, Initializer):
        fields = dataclasses.asdict(value)  # type: ignore[call-overload]
        return {"initializer": type(value).__name__, "numbers": fields}
    if isinstance(value, (tuple, list)):
        return [_encode(x) for x in value]
    if isinstance(value, (type, np.dtype)):
        return np.dtype(value).name
    if isinstance(value, np.generic):
        value = value.item()
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise TypeError(f"a {type(value).__name__}, which JSON cannot hold") from None
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(x) for x in value]
    if isinstance(value, dict) and set(value) == {"module"}:
        return build(value["module"])
    if isinstance(value, dict) and set(value) == {"initializer", "numbers"}:
        for cls in _subclasses(Initializer):
            if cls.__name__ == value["initializer"]:
                return cls(**value["numbers"])
        raise ValueError(f"build: unknown initializer {value['initializer']!r}")
    return value
