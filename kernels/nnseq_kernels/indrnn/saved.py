"""What the IndRNN kernels keep from forward for backward."""

from __future__ import annotations

from typing import Any, NamedTuple


class Saved(NamedTuple):
    """What backward needs; read-only, and shared with the caller's arrays (nothing is copied).

    The pre-activations are not kept: the derivative of each activation is a function of its output.
    """

    h: Any  # (T, B, H) every hidden state
    u: Any  # (H,) recurrent weights
    h0: Any  # (B, H) initial state
    mask: Any  # (T, B) bool, True where the step counts; or None
    act: str  # "relu", "tanh" or "identity"
    step_clip: float  # clips da_t to [-step_clip, step_clip]; 0 is off
