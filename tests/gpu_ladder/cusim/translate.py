"""Rewrites the few CUDA declarations that C++ cannot express; everything else is left to macros.

Three things change, without moving any line:

- `__shared__ T s[N];` becomes a reference into memory that the runtime gives each block;
- `extern __shared__ T s[];` becomes a pointer to the launch's dynamic shared memory;
- `__launch_bounds__(N)` becomes a check at the beginning of the kernel's body.

Comments are blanked first, so that nothing inside one is taken for code. Quoted includes that can
be found are inlined and rewritten too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_ALIGNMENT = r"(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?"
_TYPE = r"(?:(?:const|volatile|unsigned|typename)\s+)*[\w:]+(?:\s*<[^;>]*>)?(?:::\w+)?"
_DYNAMIC = re.compile(
    rf"extern\s+__shared__\s+{_ALIGNMENT}({_TYPE})\s+{_ALIGNMENT}(\w+)\s*\[\s*\]\s*;"
)
_STATIC = re.compile(rf"__shared__\s+{_ALIGNMENT}({_TYPE})\s+(\w+)\s*((?:\[[^\]]*\]\s*)*);")
_KERNEL = re.compile(r"__global__\s+(?:static\s+)?")
_TEMPLATE = re.compile(r'template\s*<[^;{}]*>\s*(?:extern\s*"C"\s*|static\s+|inline\s+)*$')
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"[^\n]*', re.MULTILINE)


class Translation(NamedTuple):
    """C++ text and the names of the kernels in it that are no templates."""

    text: str
    kernels: tuple[str, ...]


def translate(code: str, filename: str, include_dirs: Sequence[Path] = ()) -> Translation:
    """Returns the C++ form of CUDA source `code`; `filename` is what compiler messages will name.

    Raises SyntaxError for a `__shared__` declaration of a form that is not supported.
    """
    seen: set[Path] = set()
    text = _with_includes(code, filename, include_dirs, seen)
    return Translation(text, tuple(_kernel_names(_blank_comments(code))))


def _with_includes(code: str, filename: str, include_dirs: Sequence[Path], seen: set[Path]) -> str:
    body = _rewrite(_blank_comments(code), filename)

    def inline(match: re.Match[str]) -> str:
        for folder in include_dirs:
            path = (folder / match[1]).resolve()
            if path in seen:
                return ""
            if path.is_file():
                seen.add(path)
                inner = _with_includes(
                    path.read_text(), path.name, [path.parent, *include_dirs], seen
                )
                line = body.count("\n", 0, match.end()) + 2
                inner = inner.replace("#pragma once", "")
                return f'{inner}\n#line {line} "{filename}"'
        return match[0]

    return f'#line 1 "{filename}"\n' + _INCLUDE.sub(inline, body)


def _blank_comments(code: str) -> str:
    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])

    return _COMMENT.sub(blank, code)


def _rewrite(code: str, filename: str) -> str:
    code = _DYNAMIC.sub(_dynamic_shared, code)
    code = _STATIC.sub(_static_shared, code)
    left = re.search(r"\b__shared__\b", code)
    if left:
        line = code.count("\n", 0, left.start()) + 1
        raise SyntaxError(
            f"{filename}:{line}: this __shared__ declaration is not understood; "
            "write one declarator per statement, `__shared__ T name[N];`"
        )
    return _check_launch_bounds(code)


def _dynamic_shared(match: re.Match[str]) -> str:
    kind, name = " ".join(match[1].split()), match[2]
    return f"{kind}* {name} = ({kind}*)cusim_dynamic_shared(__LINE__);" + _line_ends(match)


def _static_shared(match: re.Match[str]) -> str:
    kind, name, extents = " ".join(match[1].split()), match[2], " ".join(match[3].split())
    if extents:
        declared, pointer = f"{kind} (&{name}){extents}", f"{kind} (*){extents}"
    else:
        declared, pointer = f"{kind}& {name}", f"{kind}*"
    memory = f"cusim_shared(CUSIM_SHARED_ID, sizeof({kind}{extents}))"
    return f"{declared} = *({pointer}){memory};" + _line_ends(match)


def _line_ends(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _check_launch_bounds(code: str) -> str:
    """Inserts `cusim_launch_bounds(N);` behind the `{` of each kernel that declares a bound."""
    pieces, done = [], 0
    for match in re.finditer(r"__launch_bounds__\s*\(", code):
        end = _closing(code, match.end() - 1)
        bound = _first_argument(code[match.end() : end])
        parameters = code.index("(", end + 1)
        body = re.compile(r"[\s\\]*\{").match(code, _closing(code, parameters) + 1)
        if body:  # else a declaration without a body
            pieces += [code[done : body.end()], f" cusim_launch_bounds({bound});"]
            done = body.end()
    return "".join(pieces) + code[done:]


def _kernel_names(code: str) -> list[str]:
    names = []
    for match in _KERNEL.finditer(code):
        rest = re.sub(r"^__launch_bounds__\s*(?=\()", "", code[match.end() :].lstrip())
        while rest.startswith("("):  # the bound, before or after `void`
            rest = rest[_closing(rest, 0) + 1 :].lstrip()
        found = re.match(r"void\s+(?:__launch_bounds__\s*(?=\())?", rest)
        rest = rest[found.end() :] if found else rest
        while rest.startswith("("):
            rest = rest[_closing(rest, 0) + 1 :].lstrip()
        name = re.match(r"(\w+)\s*\(", rest)
        if name and not _TEMPLATE.search(code[: match.start()]) and name[1] not in names:
            names.append(name[1])
    return names


def _closing(code: str, opening: int) -> int:
    """The position of the parenthesis that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    raise SyntaxError(f"unbalanced parenthesis after: {code[opening : opening + 60]!r}")


def _first_argument(arguments: str) -> str:
    depth = 0
    for at, character in enumerate(arguments):
        depth += {"(": 1, "<": 1, ")": -1, ">": -1}.get(character, 0)
        if character == "," and depth == 0:
            return arguments[:at].strip()
    return arguments.strip()
