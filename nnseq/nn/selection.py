"""Choosing parameters of a model by patterns of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from nnseq.tensor import Tensor

Select = str | Callable[[str], bool]
Parameters = Mapping[str, Any] | Iterable[tuple[str, Any]]
WEIGHT_MATRICES = ("*W*",)  # W, W_ih, W_hh: by their names, biases and vectors are b, u, g, ...


def select_parameters(
    who: str, parameters: Parameters, include: Select | Iterable[Select]
) -> dict[str, Tensor]:
    """Return dotted name -> parameter of those that a pattern matches.

    As in an optimiser: `*` and `?` are allowed; a pattern without a dot is compared with the last
    part of the name alone ("W_hh" is every W_hh), one with a dot with all of it ("layers.0.*"). A
    function of the dotted name does too.

    Args:
        who: for messages.
        parameters: (dotted name, parameter) pairs or a mapping, as model.named_parameters().
        include: one pattern or function, or several; what any of them matches is chosen, once.

    Raises:
        ValueError: a pattern matches nothing.
        TypeError: include or parameters are something else.
    """
    pairs = list(parameters.items() if isinstance(parameters, Mapping) else parameters)
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise TypeError(
            f"{who}: parameters are {type(parameters).__name__} without names, expected pairs "
            f"(name, parameter), such as model.named_parameters()"
        )
    selects = [include] if isinstance(include, str) or callable(include) else list(include)
    chosen: set[str] = set()
    for select in selects:
        if not isinstance(select, str) and not callable(select):
            raise TypeError(f"{who}: include has {select!r}, expected a pattern or a function")
        found = {name for name, _ in pairs if _matches(select, name)}
        if not found:
            raise ValueError(
                f"{who}: include: {select!r} matches none of {', '.join(name for name, _ in pairs)}"
            )
        chosen |= found
    if not chosen:
        raise ValueError(f"{who}: include is empty, expected at least one pattern such as 'W_hh'")
    return {name: x for name, x in pairs if name in chosen}


def _matches(select: Select, name: str) -> bool:
    if not isinstance(select, str):
        return bool(select(name))
    return fnmatchcase(name if "." in select else name.rpartition(".")[2], select)
