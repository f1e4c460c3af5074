"""cpu_jit: numba.njit with a cache on disk that knows the text of everything a kernel calls.

Numba's own `cache=True` looks at the kernel's file alone: edit a function that the kernel imports
from another file and the old machine code runs on. Here one compiled function is one file, named
by a hash of

    what every name in the kernel stands for, and in the functions that it calls, and so on: the
    function's bytecode and the text of its whole source file, or the value of the constant,
    the argument types, the compiler options, the versions of Numba and Python, and the processor.

The text may be newer than the function, where a file is edited after its import: hence the
bytecode. A hash of the function and its options is in the name of the machine code too, which Numba
would take from a count. So nothing is ever stale, nothing is overwritten, and processes share the
folder. It is $NUMBA_CACHE_DIR, or `nnseq` in the user's cache folder. Where it cannot be written,
kernels are compiled anew in each process and one warning says so.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import pickle
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core import compiler, serialize
from numba.core.caching import _Cache

NAMING = 2  # of functions in the machine code; 1 was Numba's, by a count
SELF_CONTAINED = {"numba", "numpy", "math", "builtins"}  # versioned with Numba, not by their text


def cpu_jit(*, noalias: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with numba.njit(**options), cached as this module says.

    Args:
        noalias: no array argument that the function writes to overlaps another one. LLVM gives up
            vectorising a loop over more than about eight arrays if it must compare their addresses
            at each call.
        options: of numba.njit.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        cache = TextCache(function, repr((noalias, *map(_in_order, sorted(options.items())))))
        compiler_of_it = _compiler(noalias, cache.identity)
        dispatcher = numba.njit(pipeline_class=compiler_of_it, **options)(function)
        dispatcher._cache = cache
        return dispatcher

    return decorate


def _in_order(option: tuple[str, Any]) -> tuple[str, Any]:
    """A set's repr is another one in every process."""
    name, value = option
    return name, sorted(value) if isinstance(value, set) else value


def _compiler(noalias: bool, identity: Callable[[], str]) -> type[compiler.Compiler]:
    """Return Numba's compiler, with a promise to LLVM and another name for the machine code.

    Numba tells functions of one name apart, closures above all, by counting those of the process.
    Of two files from two processes the counts can be the same, and LLVM, which takes functions of
    one name for one, would run the first one's code for both.
    """

    class Compiler(compiler.Compiler):
        def define_pipelines(self) -> Any:
            self.state.flags.noalias = noalias
            self.state.func_id.unique_id = identity()
            return super().define_pipelines()  # type: ignore[no-untyped-call]

    return Compiler


def cache_folder() -> Path:
    """The folder that compiled kernels are kept in.

    Raises:
        FileNotFoundError: nobody says where it is.
    """
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen) / "nnseq"
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # no HOME, and a user without an entry in the list of users
        raise FileNotFoundError(str(error)) from error
    return Path(base) / "nnseq" / f"python{sys.version_info[0]}.{sys.version_info[1]}"


def loop_jit(
    *, noalias: bool = False, reorder: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a loop over arrays that stay the caller's, for threads to run side by side.

    It lets go of the interpreter, divides as C does (a check for 0 would stop the vectoriser), may
    fuse a product and a sum into one rounding, and does not count references: an LSTM takes 25 rows
    of arrays for each step and sequence, at one atomic addition or more. So it can allocate no
    array, and return none. reorder: a sum may be split into several, which vectorises it.
    """
    fastmath = {"contract", "reassoc"} if reorder else {"contract"}
    return cpu_jit(noalias=noalias, nogil=True, error_model="numpy", fastmath=fastmath, _nrt=False)


class TextCache(_Cache):
    """The cache of one dispatcher; Numba asks it for, and hands it, compiled signatures."""

    def __init__(self, function: Callable[..., Any], options: str) -> None:
        self.function, self.options = function, options
        self.enabled = True

    @property
    def cache_path(self) -> str:
        return str(cache_folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled signature, or None where it is not in the cache."""
        target_context.refresh()
        if not self.enabled:
            return None
        try:
            data = self._file(sig, target_context.codegen()).read_bytes()
            payload = pickle.loads(data)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None  # not there, or not whole: compile it
        return compiler.CompileResult._rebuild(target_context, *payload)  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled signature: to a new file first, so that readers see all or nothing."""
        if not self.enabled or data.lifted or data.library.has_dynamic_globals:
            return
        folder: Path | str = "the user's cache folder"
        try:
            path = self._file(sig, data.codegen)
            folder = path.parent
            folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{uuid.uuid4().hex}")
            try:
                partial.write_bytes(serialize.dumps(data._reduce()))  # type: ignore[no-untyped-call]
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            _warn_once(folder, error.strerror or str(error))

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def flush(self) -> None:
        for path in cache_folder().glob(f"{self._stem()}-*.nbc"):
            path.unlink(missing_ok=True)

    def identity(self) -> str:
        """What the function is, but for the types of its arguments and what compiles it."""
        # The compiled function is imported again by the name of its module.
        return _digest(self.function.__module__, text_hash(self.function), self.options)

    def _file(self, sig: Any, codegen: Any) -> Path:
        versions = NAMING, numba.__version__, sys.implementation.cache_tag
        digest = _digest(versions, self.identity(), str(sig), codegen.magic_tuple())
        return cache_folder() / f"{self._stem()}-{digest}.nbc"

    def _stem(self) -> str:
        module = self.function.__module__.rpartition(".")[2]
        name = self.function.__qualname__.replace("<locals>.", "")
        return f"{module}.{name}"


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def text_hash(function: Callable[..., Any]) -> str:
    """Hash the code and text of all that function reaches, and the constants that it reads."""
    digest = hashlib.sha256()
    for part in sorted(set(_reached(function))):
        digest.update(part.encode())
    return digest.hexdigest()


def _reached(function: Callable[..., Any]) -> Iterator[str]:
    """Yield what each name in a function stands for, and what is behind it, transitively."""
    stack: list[tuple[str, Any]] = [("", function)]
    seen: set[tuple[str, int]] = set()
    while stack:
        name, value = stack.pop()
        if isinstance(cache := getattr(value, "_cache", None), TextCache):
            yield f"{name} is compiled with {cache.options}"
        value = getattr(value, "py_func", value)  # a dispatcher stands for its function,
        value = getattr(value, "_defn", value)  # and so does an intrinsic
        if (name, id(value)) in seen:
            continue
        seen.add((name, id(value)))
        if isinstance(value, (FunctionType, ModuleType)):
            home = value.__name__ if isinstance(value, ModuleType) else value.__module__
            if home.partition(".")[0] in SELF_CONTAINED:
                continue
            yield f"{name} = {getattr(value, '__qualname__', value.__name__)}"
            yield _file_text(value)
        if isinstance(value, FunctionType):
            yield from _bytecode(value.__code__)
            stack += _named_in(value)
        elif isinstance(value, (tuple, list)):
            yield f"{name} has {len(value)} entries"
            stack += ((f"{name}[{i}]", entry) for i, entry in enumerate(value))
        elif isinstance(value, np.ndarray):  # its repr leaves entries out
            yield f"{name} = {value.dtype} {value.shape} {value.strides} {value.tobytes().hex()}"
        elif not isinstance(value, ModuleType):
            yield f"{name} = {type(value).__name__} {value!r}"


def _named_in(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of the variables that a function takes from outside.

    Of a module it is its attributes: any that the function names, since which belongs to which
    module only the compiler knows.
    """
    code, names = function.__code__, set(_names(function.__code__))
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    outside = dict(zip(code.co_freevars, cells, strict=True))
    outside |= {name: function.__globals__[name] for name in names & function.__globals__.keys()}
    outside |= {f"default {i}": x for i, x in enumerate(function.__defaults__ or ())}
    yield from outside.items()
    for module, value in outside.items():
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in SELF_CONTAINED:
            for name in names & vars(value).keys():
                yield f"{module}.{name}", getattr(value, name)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _bytecode(code: CodeType) -> Iterator[str]:
    constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
    yield repr((code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames, constants))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _bytecode(constant)


@functools.cache
def _file_text(value: FunctionType | ModuleType) -> str:
    """The content of the file that defines value; "" where there is none, as in a console."""
    try:
        return Path(inspect.getfile(value)).read_bytes().hex()
    except (OSError, TypeError):
        return ""


@functools.cache
def _warn_once(folder: Path | str, reason: str) -> None:
    warnings.warn(
        f"compiled kernels cannot be kept in {folder} ({reason}), so every process compiles them "
        f"again; set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )
