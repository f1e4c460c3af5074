"""IndRNN on CUDA through CuPy: the whole sequence in one launch (indrnn.cu).

    h_t = act(a_t + u ∘ h_{t-1}),   padded step: h_t = h_{t-1}                                (1)

Forward is one launch. Backward is one launch, which leaves du per batch element, and a small one
that sums it over the batch in a fixed order; so two runs give the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq_kernels.indrnn.launch import C_ACTS, SPEC, entry_name, sum_name
from nnseq_kernels.indrnn.saved import Saved
from nnseq_kernels.launcher import Launcher, cuda_launcher
from nnseq_kernels.spec import C_TYPES


def forward(
    a: Any, u: Any, h0: Any, mask: Any, *, act: str, step_clip: float
) -> tuple[tuple[Any, Any], Saved]:
    """Runs the recurrence (1) over all steps.

    Args:
        a: (T, B, H) pre-activations from below, float32 or float64, on the GPU.
        u: (H,) recurrent weights. h0: (B, H) initial state. Same dtype as a.
        mask: (T, B) bool, True where the step counts; or None.
        act: "relu", "tanh" or "identity".
        step_clip: bound of da_t in backward; 0 is off. Forward only passes it on.

    Returns:
        (h: (T, B, H), h_T: (B, H)) and what backward needs, read-only.

    Raises:
        TypeError, ValueError: dtypes, shapes, act or step_clip are not as above.
    """
    return forward_on(cuda_launcher(), a, u, h0, mask, act=act, step_clip=step_clip)


def backward(saved: Saved, dh: Any, dh_T: Any) -> tuple[Any, Any, Any, None]:
    """Returns da: (T, B, H), du: (H,), dh0: (B, H) and None for the mask.

    Args:
        saved: from forward.
        dh: (T, B, H) gradient of every h_t, or None for zero.
        dh_T: (B, H) gradient of the final state, or None for zero.
    """
    return backward_on(cuda_launcher(), saved, dh, dh_T)


def forward_on(
    launcher: Launcher, a: Any, u: Any, h0: Any, mask: Any, *, act: str, step_clip: float
) -> tuple[tuple[Any, Any], Saved]:
    """Does what `forward` does, with the given launcher's arrays and kernels."""
    xp = launcher.xp
    sizes = _sizes(a, act, step_clip)
    a, u, h0, mask = (
        _contiguous(xp, name, array)
        for name, array in (("a", a), ("u", u), ("h0", h0), ("mask", mask))
    )
    if mask is not None and mask.dtype != bool:
        raise TypeError(f"indrnn: mask has dtype {mask.dtype}, expected bool; pass mask != 0")
    if a.size == 0:
        _check_empty(sizes, u, h0)
        h, h_T = xp.empty_like(a), h0.copy()
    else:
        h, h_T = xp.empty_like(a), xp.empty_like(h0)
        name = entry_name("forward", str(a.dtype), act, mask is not None)
        launcher(SPEC, name, sizes._asdict(), a=a, u=u, h0=h0, mask=_bytes(xp, mask), h=h, h_T=h_T)
    return (h, h_T), Saved(h, u, h0, mask, act, step_clip)


def backward_on(launcher: Launcher, saved: Saved, dh: Any, dh_T: Any) -> tuple[Any, Any, Any, None]:
    """Does what `backward` does, with the given launcher's arrays and kernels."""
    xp = launcher.xp
    h, u, h0, mask, act, step_clip = saved
    if dh is None and dh_T is None:
        return xp.zeros_like(h), xp.zeros_like(u), xp.zeros_like(h0), None
    dh, dh_T = _contiguous(xp, "dh", dh), _contiguous(xp, "dh_T", dh_T)
    sizes = _sizes(h, act, step_clip)._asdict()
    if h.size == 0:
        return xp.empty_like(h), xp.zeros_like(u), _dh0_of_no_steps(xp, h0, dh_T), None

    dtype = str(h.dtype)
    da, du, dh0, du_b = (xp.empty_like(array) for array in (h, u, h0, h0))
    launcher(
        SPEC, entry_name("backward", dtype, act, mask is not None), sizes,
        h=h, u=u, h0=h0, mask=_bytes(xp, mask), dh=dh, dh_T=dh_T,
        da=da, du_b=du_b, dh0=dh0, step_clip=h.dtype.type(step_clip),
    )  # fmt: skip
    launcher(SPEC, sum_name(dtype), sizes, du_b=du_b, du=du)
    return da, du, dh0, None


class _Sizes(NamedTuple):
    """The lengths of the axes."""

    T: int
    B: int
    H: int


def _sizes(a: Any, act: str, step_clip: float) -> _Sizes:
    """Returns T, B, H of a: (T, B, H), once dtype and options are known to have a kernel."""
    if a.ndim != 3:
        raise ValueError(f"indrnn: a has shape {a.shape}, expected (T, B, H)")
    if str(a.dtype) not in C_TYPES:
        raise TypeError(f"indrnn: a has dtype {a.dtype}, expected float32 or float64")
    if act not in C_ACTS:
        raise ValueError(f"indrnn: act is {act!r}, expected one of {', '.join(C_ACTS)}")
    if not step_clip >= 0:
        raise ValueError(f"indrnn: step_clip is {step_clip}, expected 0 (off) or more")
    return _Sizes(*a.shape)


def _contiguous(xp: Any, name: str, array: Any) -> Any:
    """Returns the array C-contiguous, a copy only where needed; None stays None."""
    if array is None:
        return None
    if not isinstance(array, xp.ndarray):
        raise TypeError(
            f"indrnn: {name} is a {type(array).__module__}.{type(array).__name__}, expected "
            f"{xp.__name__}.ndarray; move it with nnseq.backend.to_device first"
        )
    return xp.ascontiguousarray(array)


def _check_empty(sizes: _Sizes, u: Any, h0: Any) -> None:
    """Checks the shapes that no launch will check, because there is nothing to launch."""
    if u.shape != (sizes.H,) or h0.shape != (sizes.B, sizes.H):
        raise ValueError(
            f"indrnn: u has shape {u.shape} and h0 {h0.shape}, expected (H,) and (B, H) with "
            f"B = {sizes.B}, H = {sizes.H} as in a"
        )


def _bytes(xp: Any, mask: Any) -> Any:
    """Returns the bool mask as the bytes that the kernels read, without a copy; None stays None."""
    return None if mask is None else mask.view(xp.uint8)


def _dh0_of_no_steps(xp: Any, h0: Any, dh_T: Any) -> Any:
    """Returns dh0 where there are no steps: h_T is h0 itself."""
    return xp.zeros_like(h0) if dh_T is None else dh_T.copy()
