"""What every optimiser shares: the parameters, their learning rates and weight decay, the state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.tensor import Tensor

Select = str | Callable[[str], bool]
Parameters = Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]


class Optimizer(ABC):
    """Updates parameters in place from their gradients.

    Parameters are chosen by a pattern of their dotted name, `*` and `?` allowed. A pattern without
    a dot is compared with the last part alone: "u" is every `u`, "layers.0.*" all of one layer. A
    function of the dotted name does too.

    Args:
        parameters: (dotted name, parameter) pairs or a mapping, as model.named_parameters(). Those
            that require no gradient are left out.
        lr: learning rate; the attribute may be set between steps, as schedules do.
        weight_decay: λ of a penalty λ/2 ‖θ‖² whose gradient λθ is added to dθ (AdamW decays
            otherwise and says how).
        no_decay: which parameters are not decayed.
        lr_factors: pattern -> factor on lr; where several patterns match, the last one counts.

    Attributes:
        num_steps: steps done.

    Raises:
        ValueError: nothing to train, a name twice, a number out of range, or a pattern that matches
            no parameter.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        *,
        weight_decay: float = 0.0,
        no_decay: Iterable[Select] = (),
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        pairs = list(parameters.items() if isinstance(parameters, Mapping) else parameters)
        self.parameters = {name: x for name, x in pairs if x.requires_grad}
        if not self.parameters or len({name for name, _ in pairs}) < len(pairs):
            raise ValueError(
                f"{self._who}: got the parameters {[name for name, _ in pairs]}, expected at least "
                f"one that requires a gradient, and no name twice"
            )
        self.lr = self._check("lr", lr)
        decay = self._check("weight_decay", weight_decay)
        self.weight_decays = dict.fromkeys(self.parameters, decay)
        for select in no_decay:
            self.weight_decays.update(dict.fromkeys(self._matches("no_decay", select), 0.0))
        self.lr_factors = dict.fromkeys(self.parameters, 1.0)
        for pattern, factor in (lr_factors or {}).items():
            self.set_lr_factor(pattern, factor)
        self.num_steps = 0
        self.slots: dict[str, dict[str, Array]] = {}

    def set_lr_factor(self, select: Select, factor: float) -> None:
        """Let the learning rate of the parameters that select matches be factor times lr.

        Raises:
            ValueError: factor < 0, or nothing matches.
        """
        factor = self._check("lr_factors", factor)
        self.lr_factors.update(dict.fromkeys(self._matches("lr_factors", select), factor))

    def step(self) -> None:
        """Update every parameter from its gradient.

        Raises:
            ValueError: a parameter has no gradient: backward did not reach it.
        """
        missing = [name for name, x in self.parameters.items() if x.grad is None]
        if missing:
            raise ValueError(
                f"{self._who}: no gradient came for {', '.join(missing)}; call backward first, or "
                f"give the optimiser only the parameters that the loss depends on"
            )
        self.num_steps += 1
        for name, x in self.parameters.items():
            state = {slot: arrays[name] for slot, arrays in self.slots.items()}
            lr = float(self.lr) * self.lr_factors[name]  # float(): a NumPy scalar is float64
            self.update(x.data, x.grad, state, lr, self.weight_decays[name])

    @abstractmethod
    def update(
        self, theta: Array, dtheta: Array, state: dict[str, Array], lr: float, weight_decay: float
    ) -> None:
        """Update one parameter.

        Args:
            theta: the parameter; written.
            dtheta: its gradient; read-only.
            state: slot -> array of theta's shape; written.
            lr: this parameter's learning rate.
            weight_decay: this parameter's.
        """

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for x in self.parameters.values():
            x.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next step depends on, besides the parameters.

        Returns:
            "slots": slot -> dotted name -> a copy, on the CPU, and numbers that JSON can hold.
        """
        slots = {
            slot: {name: np.array(to_device(x, "cpu")) for name, x in arrays.items()}
            for slot, arrays in self.slots.items()
        }
        return {
            "step": self.num_steps,
            "lr": float(self.lr),
            "lr_factors": dict(self.lr_factors),
            "slots": slots,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what state_dict returned; all of it, or, after an error, nothing.

        Raises:
            ValueError: the state belongs to another optimiser or to other parameters.
        """
        own = {(s, name): x for s, arrays in self.slots.items() for name, x in arrays.items()}
        given = {(s, name): x for s, arrays in state["slots"].items() for name, x in arrays.items()}
        faults = [f"{'/'.join(key)} is missing" for key in sorted(own.keys() - given.keys())]
        faults += [f"{'/'.join(key)} is unexpected" for key in sorted(given.keys() - own.keys())]
        for key in sorted(own.keys() & given.keys()):
            came, expected = given[key], own[key]
            if (came.shape, came.dtype) != (expected.shape, expected.dtype):
                faults.append(
                    f"{'/'.join(key)} is {came.dtype} {came.shape}, "
                    f"expected {expected.dtype} {expected.shape}"
                )
        if set(state["lr_factors"]) != set(self.parameters):
            faults.append(f"lr_factors are of {', '.join(state['lr_factors'])}")
        if faults:
            raise ValueError(
                f"{self._who}: load_state_dict: the state belongs to other parameters or another "
                f"optimiser: {'; '.join(faults)}"
            )
        self.num_steps, self.lr = int(state["step"]), float(state["lr"])
        self.lr_factors = {name: float(state["lr_factors"][name]) for name in self.parameters}
        for key, x in own.items():
            x[...] = to_device(given[key], device_of(x))

    @property
    def _who(self) -> str:
        return type(self).__name__

    def _make_slots(self, *names: str) -> None:
        """Give every parameter an array of zeros under each of these names."""
        self.slots = {
            slot: {n: array_module(x.data).zeros_like(x.data) for n, x in self.parameters.items()}
            for slot in names
        }

    def _matches(self, what: str, select: Select) -> list[str]:
        if isinstance(select, str):
            whole = "." in select
            names = [
                name
                for name in self.parameters
                if fnmatchcase(name if whole else name.rpartition(".")[2], select)
            ]
        else:
            names = [name for name in self.parameters if select(name)]
        if not names:
            raise ValueError(
                f"{self._who}: {what}: {select!r} matches none of {', '.join(self.parameters)}"
            )
        return names

    def _check(self, name: str, value: float, below: float = math.inf) -> float:
        if not 0 <= value < below:
            raise ValueError(f"{self._who}: {name} is {value}, expected a number in [0, {below})")
        return float(value)

    def _check_above_0(self, name: str, value: float) -> float:
        if not 0 < value < math.inf:
            raise ValueError(f"{self._who}: {name} is {value}, expected a finite number above 0")
        return float(value)
