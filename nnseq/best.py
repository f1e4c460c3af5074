"""The best evaluation of a run, and the way back to it when the learning rate is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nnseq.nn.module import Module
from nnseq.optim.optimizer import Optimizer
from nnseq.optim.schedule import Plateau


class BestWeights(NamedTuple):
    """Model and optimiser at the evaluation that was best so far.

    Attributes:
        step: after which it was.
        metric: what it had there; lower is better.
        state: the model's state_dict.
        optimizer: the optimiser's state_dict.
    """

    step: int
    metric: float
    state: Mapping[str, Any]
    optimizer: Mapping[str, Any]


class Best:
    """Keeps the best model and optimiser, and goes back to them at each cut of lr.

        metric improves     keep parameters, running statistics and the optimiser's state  (1)
        plateau cuts lr     put all of them back, then lr ← plateau.lr                     (2)

    The optimiser goes back as a whole: Adam's moments, and with them the count of steps that its
    bias correction needs. Li et al. 2018, IndRNN, arXiv:1803.04831v3, do not say so; the rule is
    that of the authors' PyTorch scripts, and

        Plateau(lr, p, factor, min_lr=1e-6, stop=True, patience_factor=0.5, patience_added=2)

    is their schedule with --pThre p and factor 0.1 or 0.2. After the last cut, the one that would
    pass min_lr and stops the run instead, (2) holds too, with lr as it is.

    Args:
        model: whose state_dict is kept, on the CPU.
        optimizer: of the model's parameters.
        plateau: decides what an improvement is, and when lr is cut.

    Attributes:
        kept: the best evaluation so far; None before the first.
    """

    def __init__(self, model: Module, optimizer: Optimizer, plateau: Plateau) -> None:
        self.model, self.optimizer, self.plateau = model, optimizer, plateau
        self.kept: BestWeights | None = None

    def observe(self, metric: float, step: int) -> bool:
        """Takes note of an evaluation after step number `step`.

        Args:
            metric: lower is better; nan does not improve.

        Returns:
            Was lr cut? Model and optimiser are then those of the best evaluation, if there was one:
            a hidden state carried from batch to batch belongs to a model that is gone.
        """
        before = self.plateau.best
        was_cut = self.plateau.observe(metric)
        if self.plateau.best != before:
            state, of_optimizer = self.model.state_dict(), self.optimizer.state_dict()
            self.kept = BestWeights(int(step), float(metric), state, of_optimizer)  # (1)
        elif was_cut or self.plateau.is_finished:
            if self.kept is not None:
                self.model.load_state_dict(self.kept.state)  # (2)
                self.optimizer.load_state_dict(self.kept.optimizer)
            self.optimizer.lr = self.plateau.lr
        return was_cut

    def state_dict(self) -> dict[str, Any]:
        """Returns values that JSON can hold: the plateau's, and step and metric of what is kept."""
        step, metric = (None, None) if self.kept is None else self.kept[:2]
        return {"step": step, "metric": metric, "plateau": self.plateau.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any], kept: BestWeights | None) -> None:
        """Puts back what state_dict returned; model and optimiser have states of their own.

        Args:
            state: as state_dict returned it.
            kept: the evaluation that it names.

        Raises:
            KeyError: the state is not one of Best.
            ValueError: it belongs to another model or another schedule.
        """
        own = self.model.state_dict().keys()
        if kept is not None and kept.state.keys() != own:
            strange, model = ", ".join(sorted(kept.state.keys() ^ own)), type(self.model).__name__
            raise ValueError(
                f"Best: load_state_dict: the weights are of another {model}, only one of the two "
                f"has {strange}; build it with the arguments it was saved with"
            )
        self.plateau.load_state_dict(state["plateau"])
        self.kept = kept
