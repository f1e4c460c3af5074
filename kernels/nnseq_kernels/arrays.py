"""Arrays as compiled CPU loops take them."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(x: Any) -> Any:
    """Return array x C-contiguous and writable, or a copy: for other arrays Numba compiles anew."""
    x = np.ascontiguousarray(x)
    return x if x.flags.writeable else x.copy()
