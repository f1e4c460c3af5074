"""Starts Python under AddressSanitizer (with UBSan) or ThreadSanitizer.

A sanitizer must be loaded before everything else, so its checks run in a process of their own, with
its library preloaded. Exit codes tell what happened: `FOUND[mode]` that the sanitizer has a
finding, 0 that there was none, anything else that the script itself failed.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOUND = {"asan": 87, "tsan": 66}
_LIBRARIES = {"asan": ("libasan.so", "libubsan.so"), "tsan": ("libtsan.so",)}
_OPTIONS = {
    # Python never frees everything at exit, and fibers leave their stacks by switching.
    "asan": {
        "ASAN_OPTIONS": f"exitcode={FOUND['asan']}:detect_leaks=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": f"exitcode={FOUND['asan']}:print_stacktrace=1",
    },
    "tsan": {"TSAN_OPTIONS": f"exitcode={FOUND['tsan']}:report_signal_unsafe=0"},
}


def run_python(
    mode: str,
    arguments: Sequence[str],
    variables: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Runs `python *arguments` from the repository's root and returns its output and exit code.

    Args:
        mode: "asan", "tsan", or "fast" for no sanitizer.
        variables: environment variables to add.
        timeout: in seconds; subprocess.TimeoutExpired when it takes longer.

    Raises FileNotFoundError when g++ has no such sanitizer library.
    """
    environment = {**os.environ, **(variables or {})}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    # BLAS threads are none of our business, and ThreadSanitizer does not fork with threads around.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    command = [sys.executable, *arguments]
    if mode != "fast":
        environment |= _OPTIONS[mode]
        environment["LD_PRELOAD"] = " ".join(map(_library, _LIBRARIES[mode]))
        command = [*_fixed_addresses(), *command]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
    )


@functools.cache
def _library(name: str) -> str:
    done = subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    path = done.stdout.strip()
    if not Path(path).is_absolute():  # g++ answers with the bare name when it has none
        raise FileNotFoundError(
            f"g++ has no {name}; install the sanitizers (Debian: libasan8, libtsan2)"
        )
    return path


@functools.cache
def _fixed_addresses() -> tuple[str, ...]:
    """`setarch -R` where it works: some systems randomise addresses more than TSan bears."""
    setarch = shutil.which("setarch")
    prefix = (setarch, platform.machine(), "-R") if setarch else ()
    if prefix and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
        return prefix
    return ()
