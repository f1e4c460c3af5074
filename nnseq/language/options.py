"""Options of the language models: which network, which batches, which recipe.

    options = parse_language("char_ptb", argv, __doc__, presets=PRESETS, published=PUBLISHED)

What an option is when nothing says so depends on --model, and some options mean something only
beside another one (NEEDS); elsewhere they are refused. The options of the network have a file of
their own, nnseq/language/network_options.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nnseq.indrnn_networks import DENSE, INDRNN, PLAIN, RESIDUAL
from nnseq.language.network_options import RECURRENT, NetworkOptions, without_dynamic_eval
from nnseq.model_options import BELOW_1, by_model, default, of
from nnseq.options import OptionError, data_option, epochs_option, option, parse
from nnseq.recipe import EPOCHS, check_min_lr

# --smoke: whatever the preset, a small model on a small text.
SMOKE: dict[str, Any] = {"max_steps": 40, "log_every": 10, "eval_every": 20, "lr": 1e-2}
SMOKE |= {"seq_len": 12, "batch_size": 8, "eval_batch_size": 32, "test_batch_size": 32}
SMOKE_SAMPLE = {"sample": 80, "temperature": 0.8}
SMOKE_SIZES: dict[str, dict[str, Any]] = {
    PLAIN: {"hidden_size": 24, "num_layers": 2},
    RESIDUAL: {"hidden_size": 24, "num_blocks": 1},
    DENSE: {"growth_rate": 4, "block_config": "2,1"},
    **{name: {"hidden_size": 24} for name in RECURRENT},
}

# What must hold for an option to change anything, as a message says it.
CONDITIONS: dict[str, Callable[[Any], Any]] = {
    "--sample above 0": lambda o: o.sample,
    "--dynamic_eval": lambda o: o.dynamic_eval,
    "--dynamic_eval and no --dynamic_grid": lambda o: o.dynamic_eval and not o.dynamic_grid,
    "--batching streams": lambda o: o.batching == "streams",
    "--batching chunks": lambda o: o.batching == "chunks",
    "--optimizer rmsprop or sgd": lambda o: o.optimizer != "adam",
    "--weight_decay above 0": lambda o: o.weight_decay,
    "--patience above 0": lambda o: o.patience,
    "--patience 0": lambda o: not o.patience,
    "--lr_decay other than 1": lambda o: o.lr_decay not in (None, 1.0),
}
NEEDS = {
    "temperature": "--sample above 0",
    "dynamic_grid": "--dynamic_eval",
    "dynamic_len": "--dynamic_eval",
    "dynamic_lr": "--dynamic_eval and no --dynamic_grid",
    "dynamic_decay": "--dynamic_eval and no --dynamic_grid",
    "variable_len": "--batching streams",
    "reset_every": "--batching streams",
    "random_start": "--batching streams",
    "augment": "--batching chunks",
    "learn_states": "--batching chunks",
    "momentum": "--optimizer rmsprop or sgd",
    "bn_decay": "--weight_decay above 0",
    "lr_factor": "--patience above 0",
    "min_lr": "--patience above 0",
    "lr_decay": "--patience 0",
    "decay_after": "--lr_decay other than 1",
}


@dataclass(frozen=True)
class LanguageOptions(NetworkOptions):
    """All options of the language models.

    Raises:
        OptionError: as NetworkOptions, or options that contradict each other.
    """

    conditions: ClassVar = {**NetworkOptions.conditions, **CONDITIONS}
    needs: ClassVar = {**NetworkOptions.needs, **NEEDS}
    rho: ClassVar[float] = 0.9  # of rmsprop

    data: str | None = data_option()

    # ---- batches -------------------------------------------------------------------------------
    batching: str = by_model(
        "streams carry the state, chunks begin anew",
        of(INDRNN, "streams"),
        others="chunks",
        choices=("streams", "chunks"),
        same_eval=True,
    )
    seq_len: int = by_model("tokens of a window", of(INDRNN, 50), others=100, low=2, same_eval=True)
    batch_size: int = by_model(
        "windows of a step", of(INDRNN, 128), others=32, low=1, trains_only=without_dynamic_eval
    )
    variable_len: bool | None = by_model(
        "windows of random length",
        of(INDRNN, True),
        others=False,
        negatable=True,
        same_eval=True,
        trains_only=lambda o: o.zoneout_masks != "static",
    )
    reset_every: int | None = by_model(
        "the state is zeroed at one window in so many; 0: never",
        of(INDRNN, 10),
        others=50,
        low=0,
        trains_only=True,
    )
    random_start: int | None = by_model(
        "an epoch leaves out up to so many windows at its start",
        of(INDRNN, 5),
        others=0,
        low=0,
        trains_only=True,
    )
    learn_states: bool | None = by_model(
        "the state that every chunk begins with is learned", of(RECURRENT, True), negatable=True
    )
    augment: bool | None = default(
        "chunks begin at a random offset, new each epoch", True, negatable=True, trains_only=True
    )
    eval_batch_size: int = by_model(
        "columns of the validation set", of(INDRNN, 10), others=32, low=1
    )
    test_batch_size: int = option(
        None,
        f"columns of the test set (default: 1 of {', '.join(INDRNN)}; else as --eval_batch_size)",
        low=1,
        same_run=False,
    )

    # ---- recipe --------------------------------------------------------------------------------
    epochs: int | None = epochs_option(
        None,
        "passes over the text (default: 100; until --patience ends the run if that is above 0)",
    )
    optimizer: str = option(
        "adam", "the optimiser", choices=("adam", "rmsprop", "sgd"), trains_only=True
    )
    momentum: float | None = default(
        "of rmsprop and sgd", 0.0, low=0, high=BELOW_1, trains_only=True
    )
    lr: float = by_model("learning rate", of(INDRNN, 2e-4), others=2e-3, above=0, trains_only=True)
    u_lr: float | None = by_model(
        "factor on u's learning rate", of(INDRNN, 1.0), above=0, trains_only=True
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
        trains_only=without_dynamic_eval,
    )
    weight_decay: float = by_model(
        "of weights; never of u and biases", of(INDRNN, 1e-4), others=0.0, low=0, trains_only=True
    )
    bn_decay: bool | None = by_model(
        "decay batch norm's gamma too", of(INDRNN, False), negatable=True, trains_only=True
    )
    patience: int = by_model(
        "evaluations without improvement until lr is cut; 0: never",
        of(INDRNN, 100),
        others=0,
        low=0,
        trains_only=True,
    )
    lr_factor: float | None = default("of a cut", 0.2, above=0, high=BELOW_1, trains_only=True)
    min_lr: float | None = default("a cut below it ends the run", 1e-6, above=0, trains_only=True)
    lr_decay: float | None = default(
        "divides lr at the end of every epoch", 1.0, low=1, trains_only=True
    )
    decay_after: int | None = default(
        "epochs before the first --lr_decay", 0, low=0, trains_only=True
    )
    eval_every: int = option(
        0, "steps between validations besides the end of an epoch; 0: none", low=0, trains_only=True
    )

    # ---- after training ------------------------------------------------------------------------
    dynamic_eval: bool = option(
        False, "also evaluate a model that goes on learning", same_run=False
    )
    dynamic_grid: bool | None = default(
        "search --dynamic_lr and --dynamic_decay on valid", False, same_run=False, negatable=True
    )
    dynamic_len: int | None = default("steps between two updates", 20, low=1, same_run=False)
    dynamic_lr: float | None = default("of dynamic evaluation", 2.4e-6, low=0, same_run=False)
    dynamic_decay: float | None = default(
        "pull back to the trained weights", 0.016, low=0, same_run=False
    )
    sample: int = option(0, "symbols of sample.txt; 0: none", low=0, same_run=False)
    temperature: float | None = default(
        "of the sample; 0: the likeliest symbol", 1.0, low=0, same_run=False
    )

    def derived(self) -> Mapping[str, Any]:
        values = dict(super().derived())
        columns = self.eval_batch_size or values["eval_batch_size"]
        values["test_batch_size"] = 1 if self.model in INDRNN else columns
        patience = values["patience"] if self.patience is None else self.patience
        return values if patience else values | {"epochs": EPOCHS}

    def check(self) -> None:
        super().check()
        check_min_lr(self)
        asked = "--sample" if self.sample else "--dynamic_eval" if self.dynamic_eval else ""
        ends = [f"--{name} 0" for name in ("max_steps", "epochs") if getattr(self, name) == 0]
        if asked and ends and not (self.resume or self.eval):
            raise OptionError(
                f"{asked} came with {ends[0]}, after which nothing is evaluated; drop one of them"
            )
        if self.model in INDRNN and self.batch_size == 1 and not self.eval:
            raise OptionError(
                f"--batch_size 1 came with --model {self.model}, whose batch norm averages every "
                "step over the batch, expected at least 2"
            )
        if self.zoneout_masks == "static" and self.dynamic_len and self.dynamic_len > self.seq_len:
            raise OptionError(
                f"--dynamic_len {self.dynamic_len} came with --zoneout_masks static of --seq_len "
                f"{self.seq_len} steps, expected at most that; lower it"
            )


def parse_language(
    experiment: str,
    argv: Sequence[str] | None,
    description: str,
    *,
    presets: Mapping[str, Mapping[str, Any]],
    published: Mapping[str, str],
) -> LanguageOptions:
    """Turns a command line into options, as nnseq.options.parse; `--smoke` makes any model small.

    Raises:
        SystemExit: 0 after `--help`, 2 after a usage error.
    """
    return parse(
        experiment,
        LanguageOptions,
        argv,
        description,
        presets=presets,
        published=published,
        smoke=smoke_values,
    )


def smoke_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `--smoke` for the model that preset and flags name."""
    model = given.get("model", LanguageOptions.model)
    values = SMOKE | SMOKE_SIZES[model]
    if given.get("embed_size", model in INDRNN):
        values["embed_size"] = 24
    # Without a step there is no end of training to sample at.
    if all(given.get(name) != 0 for name in ("max_steps", "epochs", "sample")):
        values |= SMOKE_SAMPLE
    return values
