"""A module's class and constructor arguments as JSON, and the module made of them again.

    describe(model) -> {"class": "PlainIndRNNBody", "config": {"input_size": 2, ...}}
    build(description) -> a model of that class, with other initial values

A description names a class; only classes of Module and of Value that are already imported are
looked up, so a file can choose between them and not run anything else. An argument called rng is
left out, since the parameters are loaded afterwards.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from nnseq.nn.module import Module
from nnseq.nn.value import Value

RNG = "rng"
T = TypeVar("T")


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
    config = description.get("config") if isinstance(description, Mapping) else None
    if not isinstance(config, Mapping) or "class" not in description:
        raise ValueError(f"build: got {description!r}, expected a class and its config by name")
    name = description["class"]
    cls = _named(Module, name)
    takes = inspect.signature(cls.__init__).parameters
    unknown = sorted(config.keys() - takes.keys())
    if unknown:
        raise ValueError(f"build: {name} takes no argument {', '.join(unknown)}")
    try:
        arguments = {key: _decode(value) for key, value in config.items()}
        if RNG in takes:
            arguments[RNG] = np.random.default_rng(0) if rng is None else rng
        rows = [key for key, p in takes.items() if p.kind is p.VAR_POSITIONAL and key in arguments]
        row = [x for key in rows for x in arguments.pop(key)]
        return cls(*row, **arguments)
    except OverflowError as error:
        raise ValueError(f"build: {name} has a number that is too large: {error}") from error


def _named(base: type[T], name: Any) -> type[T]:
    """Return the imported class below base with that name; ValueError: none, or more than one."""
    found = [cls for cls in _subclasses(base) if cls.__name__ == name]
    if len(found) != 1:
        where = ", ".join(sorted(cls.__module__ for cls in found)) or "nowhere"
        raise ValueError(
            f"{base.__name__} class {name!r}: found {where}, expected exactly one; import the "
            f"module that defines it first"
        )
    return found[0]


def _subclasses(cls: type[T]) -> list[type[T]]:
    return [c for direct in cls.__subclasses__() for c in (direct, *_subclasses(direct))]


def _encode(value: Any) -> Any:
    if isinstance(value, Module):
        return {"module": describe(value)}
    if isinstance(value, Value):
        names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
        fields = {name: _encode(getattr(value, name)) for name in names}
        return {"value": type(value).__name__, "fields": fields}
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
    if isinstance(value, dict) and set(value) == {"initializer", "numbers"}:  # of older files
        value = {"value": value["initializer"], "fields": value["numbers"]}
    if isinstance(value, dict) and set(value) == {"value", "fields"}:
        cls: Any = _named(Value, value["value"])
        try:
            return cls(**{key: _decode(x) for key, x in dict(value["fields"]).items()})
        except TypeError as error:
            raise ValueError(f"build: no {cls.__name__} has such fields: {error}") from error
    return value
