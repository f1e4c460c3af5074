"""Options of the experiments that name the class of a sequence: which network, which recipe.

What an option is when nothing says so depends on --model; an option that could change nothing
beside the others is refused (NEEDS). Defaults are those of the programs of IndRNN's authors; for
other models, of the zoneout authors' program for MNIST pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from nnseq.cells.indrnn import ACTIVATIONS
from nnseq.indrnn_networks import DENSE, INDRNN, PLAIN, RESIDUAL, dense_drop
from nnseq.model_options import BELOW_1, ModelOptions, by_model, default, of, parse_sizes
from nnseq.options import data_option, epochs_option, option, parse
from nnseq.recipe import EPOCHS, check_min_lr

# --smoke: whatever the preset, a small network and a few steps.
SMOKE = {"batch_size": 10, "max_steps": 4, "log_every": 2, "eval_every": 2, "valid_share": 0.1}
SMOKE_SIZES: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {"hidden_size": 16, "num_layers": 2},
    RESIDUAL: {"hidden_size": 16, "num_blocks": 1},
    DENSE: {"growth_rate": 4, "num_first": 2, "block_config": "2,1"},
    "lstm": {"hidden_size": 16},
    "lstm_rbn": {"hidden_size": 16},
}

# What must hold for an option to change anything, as a message says it.
CONDITIONS: dict[str, Callable[[Any], Any]] = {
    "--anneal 0": lambda o: not o.anneal,
    "--patience above 0": lambda o: o.patience,
    "--weight_decay above 0": lambda o: o.weight_decay,
    "--U_bound 0 or --init_last_u": lambda o: not o.U_bound or o.init_last_u,
}
NEEDS = {
    "patience": "--anneal 0",
    "lr_factor": "--patience above 0",
    "min_lr": "--patience above 0",
    "bn_decay": "--weight_decay above 0",
    "MAG": "--U_bound 0 or --init_last_u",
}

O = TypeVar("O", bound="ClassificationOptions")


@dataclass(frozen=True)
class ClassificationOptions(ModelOptions):
    """IndRNN networks, their recipe, and files; an experiment adds its own.

    Raises:
        OptionError: as ModelOptions, or options that contradict each other.
    """

    conditions = CONDITIONS
    needs = NEEDS
    rho: ClassVar[float] = 0.5  # of the zoneout authors' program for MNIST pixel by pixel
    momentum: ClassVar[float] = 0.0

    data: str | None = data_option()
    epochs: int | None = epochs_option(
        None, "passes over the training set (default: as --patience and --anneal end; else 100)"
    )
    valid_share: float = option(
        0.05,
        "part of the training set held back for validation",
        above=0,
        high=0.9,
        trains_only=True,
    )
    eval_batch_size: int = option(50, "sequences at a time in evaluation", low=1)

    # ---- recipe --------------------------------------------------------------------------------
    lr: float = by_model("learning rate", of(INDRNN, 2e-4), others=1e-4, above=0, trains_only=True)
    u_lr: float | None = by_model(
        "factor on u's learning rate: u acts T times on a sequence",
        of(INDRNN, 1.0),
        above=0,
        trains_only=True,
    )
    optimizer: str = by_model(
        "the optimiser",
        of(INDRNN, "adam"),
        others="rmsprop",
        choices=("adam", "rmsprop"),
        trains_only=True,
    )
    weight_decay: float = by_model(
        "of weights; never of u and biases", of(INDRNN, 1e-4), others=0.0, low=0, trains_only=True
    )
    bn_decay: bool | None = by_model(
        "decay batch norm's gamma too", of(INDRNN, False), negatable=True, trains_only=True
    )
    clip_norm: float = by_model(
        "bound on the norm of all gradients together; 0: none",
        of(INDRNN, 0.0),
        others=1.0,
        low=0,
        trains_only=True,
    )
    clip_value: float = by_model(
        "bound on every entry of the gradients; 0: none",
        of(INDRNN, 10.0),
        others=0.0,
        low=0,
        trains_only=True,
    )
    anneal: int = option(
        0,
        "steps in which lr falls linearly to 0, which ends the run; 0: lr stays",
        low=0,
        trains_only=True,
    )
    patience: int | None = by_model(
        "validations without improvement until lr is cut; 0: never",
        of(INDRNN, 100),
        others=0,
        low=0,
        trains_only=True,
    )
    lr_factor: float | None = default("of a cut", 0.1, above=0, high=BELOW_1, trains_only=True)
    min_lr: float | None = default("a cut below it ends the run", 1e-6, above=0, trains_only=True)
    eval_every: int = option(
        0, "steps between validations besides the end of an epoch; 0: none", low=0, trains_only=True
    )

    # ---- IndRNN --------------------------------------------------------------------------------
    hidden_size: int | None = by_model("units of a layer", {PLAIN: 128, RESIDUAL: 128}, low=1)
    num_layers: int | None = by_model("recurrent layers", {PLAIN: 6}, low=1)
    num_blocks: int | None = by_model("residual blocks of two layers", {RESIDUAL: 5}, low=1)
    growth_rate: int | None = by_model("features a dense layer adds", {DENSE: 16}, low=1)
    num_first: int | None = by_model(
        "features before the first dense block, by --growth_rate", {DENSE: 6}, low=1
    )
    block_config: str | None = by_model(
        "layers of each dense block", {DENSE: "8,6,4"}, parse=parse_sizes
    )
    p_drop: float | None = by_model(
        "P(an entry after a layer is dropped, at all steps)",
        {PLAIN: 0.1, RESIDUAL: 0.1, DENSE: 0.2},
        low=0,
        high=BELOW_1,
        trains_only=True,
    )
    p_drop_first: float | None = dense_drop("before the first dense block", 0.2)
    p_drop_inner: float | None = dense_drop("after a dense layer's first part", 0.1)
    p_drop_transition: float | None = dense_drop("after a dense transition", 0.1)
    p_drop_last: float | None = dense_drop("after the last dense block", 0.1)
    bn: str | None = by_model(
        "batch norm before or after the recurrence",
        of(INDRNN, "after"),
        choices=("before", "after"),
        same_eval=True,
    )
    bn_eval: str | None = by_model(
        "statistics of batch norm in evaluation",
        of(INDRNN, "running"),
        choices=("running", "batch"),
    )
    act: str | None = by_model(
        "activation", of(INDRNN, "relu"), choices=ACTIVATIONS, same_eval=True
    )
    MAG: float | None = by_model("U_bound = MAG^(1/T)", of(INDRNN, 5.0), above=0, trains_only=True)
    U_bound: float | None = by_model(
        "bound on |u|; 0: by --MAG", of(INDRNN, 0.0), low=0, trains_only=True
    )
    constrain_u: bool | None = by_model(
        "hold the bound in training, not just at the start",
        of(INDRNN, True),
        negatable=True,
        trains_only=True,
    )
    init_last_u: bool | None = by_model(
        "u of the last layer starts close to 1", of(INDRNN, True), negatable=True, trains_only=True
    )
    small_norm_init: bool | None = by_model(
        "He's uniform input weights, gamma 0.1", of(INDRNN, False), negatable=True, trains_only=True
    )

    def derived(self) -> Mapping[str, Any]:
        values = dict(super().derived())
        patience = values["patience"] if self.patience is None else self.patience
        return values if patience or self.anneal else values | {"epochs": EPOCHS}

    def check(self) -> None:
        super().check()
        check_min_lr(self)


def parse_options(
    experiment: str,
    kind: type[O],
    argv: Sequence[str] | None,
    description: str,
    *,
    presets: Mapping[str, Mapping[str, Any]],
    published: Mapping[str, str],
) -> O:
    """Turns a command line into options, as nnseq.options.parse; `--smoke` makes any model small.

    Raises:
        SystemExit: 0 after `--help`, 2 after a usage error.
    """

    def smoke(given: Mapping[str, Any]) -> dict[str, Any]:
        return {**SMOKE, **SMOKE_SIZES[given.get("model", kind.model)]}

    return parse(
        experiment, kind, argv, description, presets=presets, published=published, smoke=smoke
    )
