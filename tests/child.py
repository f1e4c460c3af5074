"""What a child process of a test needs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# To a child what pytest's own `pythonpath` is to this process.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}


def run_until_killed(argv: list[str], out: Path, after: float, number: int) -> int:
    """Starts a run, waits for its first checkpoint and `after` seconds more, and sends a signal."""
    known = (out / "checkpoint.h5").stat().st_mtime_ns if (out / "checkpoint.h5").exists() else 0
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        path = out / "checkpoint.h5"
        if path.exists() and path.stat().st_mtime_ns != known:
            time.sleep(after)
            process.send_signal(number)
            break
        time.sleep(0.002)
    return process.wait(timeout=60)
