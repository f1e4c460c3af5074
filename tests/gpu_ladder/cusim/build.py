"""Compiles translated kernels with g++ and keeps the shared objects in a cache of the user's.

A cached object is named by a hash of all that went into it: source, shim, flags and compiler. It is
written under a temporary name and renamed, so that several pytest processes may build the same one.
The cache lives in `$XDG_CACHE_HOME/nnseq/cusim` (default ~/.cache) or, where that cannot be
written, in a folder of the system's temporary one; it may be deleted at any time.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEVICE, RUNTIME = HERE / "device", HERE / "runtime"

# -fno-gnu-unique: else statics of templates would be shared by all loaded kernel files.
# -ffp-contract=off: the CPU must not fuse what the source does not say.
COMMON = ["-std=c++17", "-fPIC", "-fno-gnu-unique", "-fno-strict-aliasing", "-ffp-contract=off"]
# The runtime is never instrumented, and must not have its loops turned into memset and memcpy
# calls, which ThreadSanitizer would see.
RUNTIME_FLAGS = ["-O2", "-g1", "-fno-tree-loop-distribute-patterns"]
SANITIZER_FLAGS = {
    "fast": ["-O2", "-g1"],
    "asan": [
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined,float-cast-overflow",
        "-fno-sanitize-recover=all",
    ],
    "tsan": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread"],
}
MODES = tuple(SANITIZER_FLAGS)
_MODE_MACRO = {"fast": [], "asan": ["-DCUSIM_ASAN"], "tsan": ["-DCUSIM_TSAN"]}
_SANITIZER_SYMBOL = {"asan": "__asan_init", "tsan": "__tsan_init"}


class CompileError(RuntimeError):
    """g++ refused a kernel file; the message holds what it said."""


def shared_object(text: str, mode: str, options: Sequence[str] = ()) -> Path:
    """Returns the shared object of translated source `text`, compiled now or earlier.

    Raises:
        CompileError: g++ refused the source.
        FileNotFoundError: there is no g++.
        ValueError: `mode` is none of `MODES`.
    """
    if mode not in MODES:
        raise ValueError(f"cusim: mode is {mode!r}, expected one of {', '.join(MODES)}")
    flags = [*COMMON, *SANITIZER_FLAGS[mode], *_MODE_MACRO[mode], *options]
    target = cache_folder() / f"{_digest(text, flags)}.{mode}.so"
    if not target.exists():
        objects = [_runtime_object(source, mode) for source in sorted(RUNTIME.glob("*.cpp"))]
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            source = Path(folder) / "kernel.cpp"
            source.write_text(text)
            shim = ["-shared", f"-I{DEVICE}", "-include", str(DEVICE / "cusim.h")]
            parts = [str(source), *map(str, objects)]
            _compile([*flags, *shim, *parts], Path(folder) / target.name, target)
    return target


def load(path: Path, mode: str) -> ctypes.CDLL:
    """Loads a shared object; a sanitizer's own library must have been preloaded (see sanitizer.py).

    Raises RuntimeError when it was not: loading would end the process.
    """
    symbol = _SANITIZER_SYMBOL.get(mode)
    if symbol and not hasattr(ctypes.CDLL(None), symbol):
        raise RuntimeError(
            f"cusim: mode {mode!r} needs a process started under that sanitizer; "
            "run the code through tests.gpu_ladder.sanitizer.run_python"
        )
    return ctypes.CDLL(str(path))


def _runtime_object(source: Path, mode: str) -> Path:
    flags = [*COMMON, *RUNTIME_FLAGS, *_MODE_MACRO[mode]]
    target = cache_folder() / f"{source.stem}.{_digest(source.name, flags)}.o"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            includes = [f"-I{DEVICE}", f"-I{RUNTIME}"]
            _compile([*flags, *includes, "-c", str(source)], Path(folder) / target.name, target)
    return target


def _compile(arguments: list[str], temporary: Path, target: Path) -> None:
    # A preloaded sanitizer is meant for this process, not for the compiler.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run(
        ["g++", *arguments, "-o", str(temporary)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise CompileError(f"cusim: g++ refused the kernel file:\n{done.stderr}")
    temporary.replace(target)


def _digest(text: str, flags: Sequence[str]) -> str:
    parts = [text, *flags, _shim_source(), _compiler_version()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


@functools.cache
def _shim_source() -> str:
    files = sorted([*DEVICE.glob("*.h"), *RUNTIME.glob("*.h"), *RUNTIME.glob("*.cpp")])
    return "\0".join(path.read_text() for path in files)


@functools.cache
def _compiler_version() -> str:
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    try:
        done = subprocess.run(
            ["g++", "-dumpfullversion", "-dumpmachine"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            "cusim: g++ is not on the PATH; the CPU checks of the CUDA kernels need it "
            "(Debian: apt-get install g++)"
        ) from None
    return done.stdout


@functools.cache
def cache_folder() -> Path:
    """The folder that holds compiled kernels, made if need be."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    fallback = Path(tempfile.gettempdir()) / f"nnseq-cusim-{os.getuid()}"
    for folder in (home / "nnseq" / "cusim", fallback):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"cusim: no cache in {folder} ({error})", file=sys.stderr)
        else:
            if os.access(folder, os.W_OK):
                return folder
    raise PermissionError(f"cusim: neither {home} nor {fallback} can be written")
