"""Launches compiled kernels on NumPy arrays, with CuPy's call and the checks that CuPy lacks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import build
from .translate import translate

ORDERS = ("forward", "reverse", "random")
MAX_THREADS = 1024
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)
DEFAULT_SHARED = 48 * 1024  # bytes of dynamic shared memory a kernel gets without asking
MAX_SHARED = 227 * 1024  # bytes per block on sm_90 and sm_100
ERROR_BYTES = 2048

# A shared object has one scheduler, and ctypes lets other Python threads run during a call.
_ONE_LAUNCH = threading.Lock()


class LaunchError(RuntimeError):
    """A launch that a GPU would refuse, or whose behaviour would be undefined there."""


class Module:
    """The kernels of one CUDA source, on the CPU; mirrors `cupy.RawModule`.

    Args:
        code_or_path: CUDA source text, or the Path of a .cu file.
        options: NVRTC options; -D and -I are used, others (-std, --maxrregcount) mean nothing here.
        name_expressions: instances of template kernels, such as "forward<float>".
        mode: "fast", "asan" (with UBSan) or "tsan"; the last two need a process started by
            sanitizer.run_python.
        enable_cooperative_groups: launches are cooperative: all blocks run together.
    """

    def __init__(
        self,
        code_or_path: str | Path,
        options: Sequence[str] = (),
        name_expressions: Sequence[str] = (),
        mode: str = "fast",
        enable_cooperative_groups: bool = False,
    ) -> None:
        folders = [Path(option[2:]) for option in options if option.startswith("-I")]
        if isinstance(code_or_path, Path):
            code, filename = code_or_path.read_text(), code_or_path.name
            folders.insert(0, code_or_path.resolve().parent)
        else:
            code, filename = code_or_path, "kernel.cu"
        text, kernels = translate(code, filename, folders)
        names = dict.fromkeys([*kernels, *name_expressions])
        self._symbols = {name: f"k{i}" for i, name in enumerate(names)}
        exports = "".join(f"CUSIM_EXPORT({s}, ({n}))\n" for n, s in self._symbols.items())
        used = [option for option in options if option.startswith(("-D", "-I"))]
        source = f'{text}\n#line 1 "exports of {filename}"\n{exports}'
        self.path = build.shared_object(source, mode, used)
        self.cooperative = enable_cooperative_groups
        self.mode = mode
        self.library = build.load(self.path, mode)

    def get_function(self, name: str) -> Kernel:
        """Returns the kernel `name`: an extern "C" name or one of the name expressions."""
        if name not in self._symbols:
            raise AttributeError(f"cusim: no kernel {name!r}, only {', '.join(self._symbols)}")
        return Kernel(self, name, self._symbols[name])


class Kernel:
    """One kernel; call it as a `cupy.RawKernel`.

    `max_dynamic_shared_size_bytes` must be raised for more than 48 KB of dynamic shared memory, as
    on a GPU.
    """

    def __init__(self, module: Module, name: str, symbol: str) -> None:
        self.name = name
        self.max_dynamic_shared_size_bytes = DEFAULT_SHARED
        self._cooperative = module.cooperative
        self._launch = getattr(module.library, f"cusim_launch_{symbol}")
        text = ctypes.create_string_buffer(4096)
        getattr(module.library, f"cusim_describe_{symbol}")(text, ctypes.c_size_t(len(text)))
        self.parameters = text.value.decode().split(";")[:-1]  # "f4", "*f4", "*const f4"

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        order: str = "forward",
        seed: int = 0,
    ) -> None:
        """Runs the kernel; what it wrote is in the arrays when the call returns.

        Args:
            grid, block: one to three sizes.
            args: one per parameter. A pointer takes a C-contiguous array of its dtype, or
                `numpy.uintp(0)` for NULL, as CuPy does (CuPy does not pass None as a NULL pointer,
                so None is refused). Anything else takes a NumPy scalar of the exact type.
            shared_mem: bytes of dynamic shared memory.
            order: in which order threads and blocks run: "forward", "reverse" or "random".
            seed: of the random order.

        Raises:
            TypeError: an argument that the GPU would misread.
            ValueError: overlapping arrays, or an unknown order.
            LaunchError: a configuration no GPU takes, or an error found while the kernel ran.
        """
        if order not in ORDERS:
            raise ValueError(f"{self.name}: order is {order!r}, expected one of {ORDERS}")
        self._check_configuration(grid, block, shared_mem)
        arguments = Arguments(self.name, self.parameters, args)
        error = ctypes.create_string_buffer(ERROR_BYTES)
        request = _Request(
            _dim3(grid),
            _dim3(block),
            shared_mem,
            int(self._cooperative),
            ORDERS.index(order),
            seed,
            ctypes.cast(error, ctypes.c_char_p),
            ERROR_BYTES,
        )
        with _ONE_LAUNCH:
            failed = self._launch(arguments.pointers(), ctypes.byref(request))
        arguments.copy_back()
        if failed:
            raise LaunchError(f"{self.name}: {error.value.decode()}")

    def _check_configuration(
        self, grid: Sequence[int], block: Sequence[int], shared_mem: int
    ) -> None:
        for what, size, limits in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
            if not 1 <= len(size) <= 3:
                raise LaunchError(f"{self.name}: {what} is {size}, expected one to three sizes")
            for n, limit in zip(size, limits, strict=False):
                if not 1 <= n <= limit:
                    raise LaunchError(f"{self.name}: {what} is {size}, each must be in 1..{limit}")
        threads = int(np.prod(block))
        if threads > MAX_THREADS:
            raise LaunchError(f"{self.name}: {threads} threads per block exceed {MAX_THREADS}")
        limit = min(self.max_dynamic_shared_size_bytes, MAX_SHARED)
        if not 0 <= shared_mem <= limit:
            raise LaunchError(
                f"{self.name}: shared_mem is {shared_mem} bytes, at most {limit} are allowed "
                "(48 KB unless max_dynamic_shared_size_bytes is raised)"
            )


class Arguments:
    """The arguments of one launch, checked, with the arrays copied to "device" memory.

    Each array gets a private copy of exactly its size, so that AddressSanitizer sees the first
    element out of bounds. The same memory passed twice shares one copy; a partial overlap cannot be
    represented and is refused unless all the kernel does with both is read.
    """

    def __init__(self, kernel: str, parameters: Sequence[str], args: Sequence[Any]) -> None:
        if len(args) != len(parameters):
            raise TypeError(f"{kernel}: {len(parameters)} parameters, but {len(args)} arguments")
        self._slots: list[Any] = []
        self._copies: dict[tuple[int, int], DeviceCopy] = {}  # by address and size
        self._written: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
        arrays: list[tuple[int, np.ndarray[Any, Any], bool]] = []
        for i, (value, parameter) in enumerate(zip(args, parameters, strict=True)):
            who = f"{kernel}: argument {i}"
            if not parameter.startswith("*"):
                self._slots.append(_scalar(who, value, parameter))
                continue
            if isinstance(value, np.uintp) and value == 0:
                self._slots.append(ctypes.c_void_p(0))
                continue
            constant = parameter.startswith("*const ")
            _check_array(who, value, parameter.split()[-1].lstrip("*"), constant)
            for other, array, other_constant in arrays:
                _check_overlap(who, value, other, array, constant and other_constant)
            arrays.append((i, value, constant))
            key = (value.ctypes.data, value.nbytes)
            if key not in self._copies:
                self._copies[key] = DeviceCopy(value)
            if not constant:
                self._written[key] = value
            self._slots.append(self._copies[key].pointer)

    def pointers(self) -> Any:
        """The addresses of all arguments, as the driver's launch takes them."""
        return (ctypes.c_void_p * len(self._slots))(*map(ctypes.addressof, self._slots))

    def copy_back(self) -> None:
        """Brings what the kernel wrote back into the caller's arrays."""
        for key, array in self._written.items():
            self._copies[key].copy_to(array)


class DeviceCopy:
    """A malloc of exactly an array's size that holds its bytes."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        address = _LIBC.malloc(max(array.nbytes, 1))
        if not address:
            raise MemoryError(f"cusim: no {array.nbytes} bytes for a device copy")
        self.pointer = ctypes.c_void_p(address)
        ctypes.memmove(self.pointer, array.ctypes.data, array.nbytes)

    def copy_to(self, array: np.ndarray[Any, Any]) -> None:
        ctypes.memmove(array.ctypes.data, self.pointer, array.nbytes)

    def __del__(self) -> None:
        if hasattr(self, "pointer"):
            _LIBC.free(self.pointer)


class _Request(ctypes.Structure):
    """One launch; mirrors cusim_request in device/protocol.h."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_bytes", ctypes.c_size_t),
        ("cooperative", ctypes.c_int),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("error", ctypes.c_char_p),
        ("error_bytes", ctypes.c_size_t),
    ]


def _dim3(size: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*(int(n) for n in (*size, 1, 1)[:3]))


def _check_array(who: str, value: Any, dtype: str, constant: bool) -> None:
    if not isinstance(value, np.ndarray):
        cure = "; for NULL pass numpy.uintp(0), which CuPy understands" if value is None else ""
        raise TypeError(f"{who} is {type(value).__name__}, expected an array of {dtype}{cure}")
    came = value.dtype.str[1:]
    # A kernel may read a bool mask as bytes, but bytes other than 0 and 1 are no bool.
    if came != dtype and not (came == "b1" and dtype == "u1"):
        raise TypeError(f"{who} is an array of {value.dtype}, the kernel's pointer is to {dtype}")
    if not value.flags.c_contiguous:
        raise TypeError(f"{who} is not C-contiguous: the kernel would read other elements")
    if not constant and not value.flags.writeable:
        raise TypeError(f"{who} is a read-only array, but the kernel's pointer is not const")


def _check_overlap(
    who: str, value: np.ndarray[Any, Any], other: int, array: np.ndarray[Any, Any], constant: bool
) -> None:
    same = value.ctypes.data == array.ctypes.data and value.nbytes == array.nbytes
    if not constant and not same and np.may_share_memory(value, array):
        raise ValueError(f"{who} overlaps argument {other}: pass one array and an offset")


def _scalar(who: str, value: Any, dtype: str) -> Any:
    if dtype == "?":
        raise TypeError(
            f"{who}: parameters of this type cannot be passed; use scalars and pointers"
        )
    if not isinstance(value, np.generic):
        raise TypeError(
            f"{who} is a {type(value).__name__}, expected a NumPy scalar of {dtype}: "
            "CuPy sends a Python number as 8 bytes, whatever the parameter"
        )
    if value.dtype.str[1:] != dtype:
        raise TypeError(f"{who} is {value.dtype}, the kernel's parameter is {dtype}")
    return (ctypes.c_char * value.nbytes).from_buffer_copy(value.tobytes())


_LIBC = ctypes.CDLL(None)
_LIBC.malloc.restype = ctypes.c_void_p
_LIBC.malloc.argtypes = [ctypes.c_size_t]
_LIBC.free.argtypes = [ctypes.c_void_p]
