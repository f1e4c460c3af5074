"""On what a run runs: the device, the CPU threads and the kernels that its options ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from nnseq.backend import PREFERENCE, forced_kernels, use_kernels
from nnseq.machine import choose_device, limited_threads, most_threads
from nnseq.options import OptionError, Options

O = TypeVar("O", bound=Options)


def resolved(options: O) -> O:
    """The options with device, threads and kernels decided, as a run records them.

    Raises:
        OptionError: these kernels do not run on that device.
        nnseq.backend.DeviceError: the device cannot be used.
    """
    options = dataclasses.replace(
        options,
        device=choose_device(options.device),
        threads=options.threads or most_threads(),
    )
    _check_kernels(options)
    if options.kernels == "auto":  # NNSEQ_KERNELS counts as if it had been given
        options = dataclasses.replace(options, kernels=forced_kernels())
    return options


@contextmanager
def settings(options: Options) -> Iterator[None]:
    """Inside the block `--threads` and `--kernels` hold; "auto" leaves NNSEQ_KERNELS its say.

    Raises:
        OptionError: more threads than there are.
    """
    count, most = options.threads or 1, most_threads()
    if count > most:
        raise OptionError(f"--threads: {count} came, expected at most {most}, the CPUs usable here")
    kernels = nullcontext() if options.kernels == "auto" else use_kernels(options.kernels)
    with limited_threads(count), kernels:
        yield


def _check_kernels(options: Options) -> None:
    usable = ("auto", *PREFERENCE[options.device])
    asked = {"--kernels": options.kernels}
    if options.kernels == "auto":
        asked["NNSEQ_KERNELS"] = forced_kernels()
    for who, name in asked.items():
        if name not in usable:
            raise OptionError(
                f"{who}: {name} came with device {options.device}, expected one of "
                f"{', '.join(usable)}; choose another, or another --device"
            )
