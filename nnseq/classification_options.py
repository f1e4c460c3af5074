"""What the experiments that classify sequences can be told, and the IndRNN networks made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnseq.model_options import ModelOptions, by_model
from nnseq.models import DenseIndRNNBody, PlainIndRNNBody, ResidualIndRNNBody
from nnseq.models.body import SequenceBody
from nnseq.options import OptionError, data_option, epochs_option, option

PLAIN, RESIDUAL, DENSE = "indrnn_plain", "indrnn_residual", "indrnn_dense"
RULES = ("adam", "rmsprop")
INDRNN = (PLAIN, RESIDUAL, DENSE)


def of_indrnn(value: Any) -> Mapping[str, Any]:
    """The same default for every IndRNN network."""
    return dict.fromkeys(INDRNN, value)


@dataclass(frozen=True)
class ClassificationOptions(ModelOptions):
    """IndRNN networks, their schedule, and files; an experiment adds its own.

    Defaults are those of the IndRNN authors' scripts for both of their classification tasks.
    """

    data: str | None = data_option()
    epochs: int | None = epochs_option(None)
    lr: float | None = by_model("learning rate", of_indrnn(2e-4), others=1e-4, above=0)
    optimizer: str | None = by_model("update", of_indrnn("adam"), others="rmsprop", choices=RULES)
    weight_decay: float | None = by_model("λ of λ/2 ‖W‖²", of_indrnn(1e-4), others=0.0, low=0)
    clip_norm: float | None = by_model("bound on ‖gradients‖", of_indrnn(0.0), others=1.0, low=0)
    clip_value: float | None = by_model("bound on each entry", of_indrnn(10.0), others=0.0, low=0)
    anneal: int = option(0, "steps in which lr falls linearly to 0; 0: --patience", low=0)
    patience: int = option(100, "validations without progress before lr is cut", low=1)
    lr_factor: float = option(0.1, "what lr is cut by", above=0, high=0.999)
    end_lr: float = option(1e-6, "the run ends instead of a cut below this", above=0)
    eval_every: int = option(0, "steps between validations; 0: each epoch", low=0)
    hidden_size: int | None = by_model("units of a layer", {PLAIN: 128, RESIDUAL: 128}, low=1)
    bn_decay: bool | None = by_model("weight decay of γ too", of_indrnn(False))
    bn: str | None = by_model("side of the recurrence", of_indrnn("after"), choices=("before", "after"))
    num_layers: int | None = by_model("IndRNN layers", {PLAIN: 6}, low=1)
    num_blocks: int | None = by_model("residual blocks of two", {RESIDUAL: 5}, low=1)
    growth: int | None = by_model("g, features a dense layer adds", {DENSE: 16}, low=1)
    num_first: int | None = by_model("features before block 1, by g", {DENSE: 6}, low=1)
    blocks: str | None = by_model("dense layers in each block", {DENSE: "8,6,4"})
    dropout: float | None = by_model("after a layer", of_indrnn(0.1), low=0, high=0.99)
    dropout_first: float | None = by_model("before block 1", {DENSE: 0.0}, low=0, high=0.99)
    dropout_inner: float | None = by_model("inside a layer", {DENSE: 0.0}, low=0, high=0.99)
    dropout_between: float | None = by_model("between blocks", {DENSE: 0.0}, low=0, high=0.99)
    dropout_last: float | None = by_model("after the last block", {DENSE: 0.0}, low=0, high=0.99)
    MAG: float | None = by_model("bound on |u|^T", of_indrnn(5.0), above=0)
    u_bound: float | None = by_model("bound on |u| in place of MAG; 0: MAG", of_indrnn(0.0), low=0)
    constrain_u: bool | None = by_model("hold the bound in training", of_indrnn(True), negatable=True)
    init_last_u: bool | None = by_model("last u near 1", of_indrnn(True), negatable=True)
    small_init: bool | None = by_model("start as one Gaussian layer: γ 0.1", of_indrnn(False))

    def check(self) -> None:
        super().check()
        if self.anneal:
            for name, default in (("patience", 100), ("lr_factor", 0.1), ("end_lr", 1e-6)):
                if getattr(self, name) != default:
                    raise OptionError(f"--{name} came with --anneal, which has no use for it; drop it")
        if self.model == DENSE:
            block_sizes(self.blocks)


def indrnn_body(
    o: ClassificationOptions, input_size: int, seq_len: int, rng: np.random.Generator, **own: Any
) -> SequenceBody:
    """The IndRNN network of the options, without its readout.

    Args:
        o: with a model of INDRNN.
        input_size, seq_len, rng: as the bodies.
        own: further arguments of the body.
    """
    shared = {"seq_len": seq_len, "rng": rng, "bn": o.bn, "MAG": o.MAG, "p_drop": o.dropout}
    shared |= {"u_bound": o.u_bound or None, "constrain_u": o.constrain_u}
    shared |= {"init_last_u": o.init_last_u, "small_norm_init": o.small_init}
    shared |= {"dtype": np.dtype(o.dtype), **own}
    if o.model == PLAIN:
        return PlainIndRNNBody(input_size, o.hidden_size, o.num_layers, **shared)
    if o.model == RESIDUAL:
        return ResidualIndRNNBody(input_size, o.hidden_size, o.num_blocks, **shared)
    shared |= {"p_drop_first": o.dropout_first, "p_drop_inner": o.dropout_inner}
    shared |= {"p_drop_transition": o.dropout_between, "p_drop_last": o.dropout_last}
    return DenseIndRNNBody(
        input_size, o.growth, block_sizes(o.blocks), first=o.num_first, **shared
    )


def no_decay(o: ClassificationOptions) -> tuple[str, ...]:
    """The parameters without weight decay: u, biases and β; γ too, unless --bn_decay."""
    return ("u", "b", "beta") if o.bn_decay else ("u", "b", "beta", "gamma")


def block_sizes(text: str | None) -> tuple[int, ...]:
    """Reads "8,6,4".

    Raises:
        OptionError: something else.
    """
    parts = str(text).split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise OptionError(f"--blocks: {text!r} came, expected numbers of layers such as 8,6,4")
    return tuple(int(part) for part in parts)
