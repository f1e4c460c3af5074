"""What a child process of a test needs."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
# To a child what pytest's own `pythonpath` is to this process.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
