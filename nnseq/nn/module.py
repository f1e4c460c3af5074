"""Module: a tree of layers with named parameters.

Assigning a Parameter or a Module to an attribute is all it takes to register it; its name is the
attribute's, dotted along the way down. What is shared between two places is one parameter, known
by the first of its names.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.nn.arguments import float_dtype
from nnseq.nn.value import Value
from nnseq.tensor import Tensor


class Parameter(Tensor):
    """A leaf Tensor that a Module owns and an optimiser updates in place.

    Args:
        data: a float32 or float64 array; copied, so that no update reaches the caller's.
    """

    __slots__ = ()

    def __init__(self, data: Array) -> None:
        super().__init__(array_module(data).array(data, order="C"), requires_grad=True)


class Module:
    """Base class of layers and models.

    Attributes:
        is_training: True after train(), the default; False after eval().
        buffers: names of the attributes that hold arrays which are saved, but not trained.
    """

    buffers: ClassVar[tuple[str, ...]] = ()
    is_training: bool
    _arguments: dict[str, Any]  # of the constructor; nnseq.nn.description writes them as JSON

    forward: Callable[..., Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.__dict__.update(is_training=True, _arguments=_bind(cls, args, kwargs))
        return self

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run forward."""
        return self.forward(*inputs, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        inside: Iterable[Any] = ()
        if isinstance(value, (list, tuple)):
            inside = value
        elif isinstance(value, dict):
            inside = value.values()
        if any(isinstance(x, (Module, Parameter)) for x in inside):
            raise TypeError(
                f"{type(self).__name__}: {name} is a {type(value).__name__} of modules or "
                f"parameters, whose parameters would not be found; use a ModuleList"
            )
        super().__setattr__(name, value)

    # ---- the tree ------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (attribute, module) of the modules directly below, in the order of assignment."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module), from this one ("") downwards, each module once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            children = [(_join(name, part), child) for part, child in module.named_children()]
            stack += children[::-1]

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter), each parameter once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(prefix, name), value

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield (dotted name, array) of what is saved but not trained."""
        for prefix, module in self.named_modules():
            for name in module.buffers:
                yield _join(prefix, name), getattr(module, name)

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def num_parameters(self) -> int:
        """Count the trainable numbers, tied ones once, running statistics not."""
        return sum(x.size for x in self.parameters() if x.requires_grad)

    def __repr__(self) -> str:
        lines = []
        for name, module in self.named_modules():
            own = [(k, v) for k, v in vars(module).items() if isinstance(v, Parameter)]
            arrays = "  ".join(f"{key} {value.shape}" for key, value in own)
            depth, part = name.count(".") + bool(name), name.rpartition(".")[2]
            label = f"{part}: " if name else ""
            lines.append(f"{'  ' * depth}{label}{module._title()}{'  ' * bool(own)}{arrays}")
        return "\n".join(lines)

    def _title(self) -> str:
        """The class's name and those arguments that are not the defaults."""
        known = inspect.signature(type(self).__init__).parameters
        arguments = {name: _plain(value) for name, value in self.arguments().items()}
        shown = [
            f"{name}={value!r}"
            for name, value in arguments.items()
            if value is not Ellipsis and value != _plain(known[name].default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments that make such a module as this one is now."""
        return dict(self._arguments)

    # ---- modes ---------------------------------------------------------------------------------

    def train(self, is_training: bool = True) -> Self:
        """Switch this module and all below to training: masks are drawn, statistics updated."""
        for _, module in self.named_modules():
            module.is_training = is_training
        return self

    def eval(self) -> Self:
        """Switch this module and all below to evaluation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for x in self.parameters():
            x.grad = None

    def constrain(self) -> None:
        """Move parameters back into the sets that the layers below allow.

        A training loop calls it after each step of the optimiser.
        """
        for _, module in self.named_modules():
            module.constrain_own()

    def constrain_own(self) -> None:
        """Constrain the parameters that this module holds itself; layers override it."""

    # ---- arrays --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return dotted name -> a copy, on the CPU, of every parameter and buffer."""
        return {name: np.array(to_device(x, "cpu")) for name, x in self._arrays().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the parameters and buffers; all of them, or, after an error, none.

        Args:
            state: dotted name -> array, as state_dict returned it.

        Raises:
            ValueError: lists every missing, unexpected and misshapen name, and those of another
                dtype.
        """
        own = self._arrays()
        both = sorted(own.keys() & state.keys())
        faults = {
            "missing": sorted(own.keys() - state.keys()),
            "unexpected": sorted(state.keys() - own.keys()),
            "misshapen": [
                f"{name} is {np.shape(state[name])}, expected {own[name].shape}"
                for name in both
                if np.shape(state[name]) != own[name].shape
            ],
            "of another dtype": [
                f"{name} is {state[name].dtype}, expected {own[name].dtype}"
                for name in both
                if getattr(state[name], "dtype", own[name].dtype) != own[name].dtype
            ],
        }
        if any(faults.values()):
            listed = [f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names]
            raise ValueError(
                f"load_state_dict: the arrays belong to another {type(self).__name__}; "
                f"{'; '.join(listed)}; build it with the arguments it was saved with"
            )
        for name, array in own.items():
            array[...] = to_device(state[name], device_of(array))

    def to(self, device: str) -> Self:
        """Move parameters and buffers to "cpu" or "cuda"; their gradients become None.

        Make the optimiser afterwards: its own arrays live where the parameters were.

        Raises:
            ValueError, DeviceError: as nnseq.backend.device_module.
        """
        return self._convert(lambda x: to_device(x, device))

    def astype(self, dtype: Any) -> Self:
        """Convert parameters and float buffers; their gradients become None.

        Raises:
            TypeError: dtype is neither float32 nor float64.
        """
        new = float_dtype(type(self).__name__, dtype)
        for _, module in self.named_modules():
            if "dtype" in module._arguments:
                module._arguments["dtype"] = new.name
        return self._convert(lambda x: x.astype(new) if x.dtype.kind == "f" else x)

    def _arrays(self) -> dict[str, Array]:
        parameters = {name: x.data for name, x in self.named_parameters()}
        return parameters | dict(self.named_buffers())

    def _convert(self, change: Callable[[Array], Array]) -> Self:
        for x in self.parameters():
            x.data, x.grad = change(x.data), None
        for _, module in self.named_modules():
            for name in module.buffers:
                setattr(module, name, change(getattr(module, name)))
        return self


class ModuleList(Module):
    """Modules in a row, named "0", "1", ...

    Args:
        modules: the first ones; more can be appended.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.length = 0
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add one at the end.

        Raises:
            TypeError: not a Module.
        """
        if not isinstance(module, Module):
            raise TypeError(f"ModuleList: got {type(module).__name__}, expected a Module")
        setattr(self, str(self.length), module)
        self.length += 1

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(self.length))

    def __getitem__(self, index: int) -> Any:
        if not -self.length <= index < self.length:
            raise IndexError(
                f"ModuleList: got index {index}, expected one of {self.length} modules"
            )
        return getattr(self, str(index % self.length))


def _bind(cls: type[Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments by name, with defaults; {} where __init__ will refuse them."""
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    return dict(itertools.islice(bound.arguments.items(), 1, None))


def _plain(value: Any) -> Any:
    """A value that repr shows, a dtype by its name; Ellipsis for what it leaves out."""
    if isinstance(value, (list, tuple)):
        parts = [_plain(x) for x in value]
        return ... if ... in parts else parts
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    return value if value is None or isinstance(value, (bool, int, float, str, Value)) else ...


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
