"""Options of the language models that say which network, and what is put into it.

Probabilities say of what: `zoneout_h` is the chance that a unit KEEPS its old value, every `p_...`
the chance to DROP something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnseq.cells.indrnn import ACTIVATIONS
from nnseq.indrnn_networks import DENSE, INDRNN, PLAIN, RESIDUAL, dense_drop
from nnseq.model_options import BELOW_1, ModelOptions, by_model, default, of, parse_sizes
from nnseq.options import OptionError, option

RECURRENT = ("lstm", "gru", "srnn")

# What must hold for an option to change anything, as a message says it.
CONDITIONS: dict[str, Callable[[Any], Any]] = {
    "--embed_size above 0": lambda o: o.embed_size,
    "--U_bound 0": lambda o: not o.U_bound,
    "--zoneout_h or --zoneout_c above 0": lambda o: o.zoneout_h or o.zoneout_c,
    "--p_drop_igate above 0": lambda o: o.p_drop_igate,
    "--norm_coef above 0": lambda o: o.norm_coef,
    "--init uniform": lambda o: o.init == "uniform",
    "--num_layers above 1": lambda o: o.model in INDRNN or o.num_layers != 1,
}
NEEDS = {
    "tied": "--embed_size above 0",
    "p_embedding": "--embed_size above 0",
    "p_drop": "--num_layers above 1",
    "MAG": "--U_bound 0",
    "zoneout_masks": "--zoneout_h or --zoneout_c above 0",
    "ogate_zoneout": "--p_drop_igate above 0",
    "norm_divisor": "--norm_coef above 0",
    "norm_of": "--norm_coef above 0",
    "init_width": "--init uniform",
}


def without_dynamic_eval(o: Any) -> bool:
    """Whether no step is taken in evaluation: dynamic evaluation clips and constrains as well."""
    return not o.dynamic_eval


@dataclass(frozen=True)
class NetworkOptions(ModelOptions):
    """Which network reads the text.

    Raises:
        OptionError: as ModelOptions, or options of the network that contradict each other.
    """

    conditions = CONDITIONS
    needs = NEEDS

    model: str = option("lstm", "the network", choices=(*INDRNN, *RECURRENT))

    # ---- the network ---------------------------------------------------------------------------
    hidden_size: int | None = by_model(
        "units of a layer",
        {PLAIN: 2000, RESIDUAL: 2000} | of(RECURRENT, 1000),
        low=1,
    )
    num_layers: int | None = by_model("recurrent layers", {PLAIN: 6} | of(RECURRENT, 1), low=1)
    num_blocks: int | None = by_model("residual blocks", {RESIDUAL: 5}, low=1)
    growth_rate: int | None = by_model("features a dense layer adds", {DENSE: 256}, low=1)
    block_config: str | None = by_model(
        "layers of each dense block", {DENSE: "8,6,4"}, parse=parse_sizes
    )
    embed_size: int = by_model(
        "width of the embedding; 0: symbols are one-hot", of(INDRNN, 600), others=0, low=0
    )
    tied: bool | None = by_model(
        "embedding and decoder share their weights", of(INDRNN, True), others=False, negatable=True
    )
    p_embedding: float | None = default(
        "P(a symbol's row is dropped)", 0.0, low=0, high=BELOW_1, trains_only=True
    )
    p_words: float = default(
        "P(an entry of the embedded text is dropped, at all steps)",
        0.0,
        low=0,
        high=BELOW_1,
        trains_only=True,
    )
    p_head: float = default(
        "P(an entry before the decoder is dropped, at all steps)",
        0.0,
        low=0,
        high=BELOW_1,
        trains_only=True,
    )
    p_drop: float | None = by_model(
        "P(an entry between layers is dropped, at all steps)",
        {PLAIN: 0.25, RESIDUAL: 0.45, DENSE: 0.5},
        others=0.0,
        low=0,
        high=BELOW_1,
        trains_only=True,
    )

    # ---- IndRNN --------------------------------------------------------------------------------
    p_drop_last: float | None = by_model(
        "P(an entry after the last layer is dropped)",
        {PLAIN: 0.0, RESIDUAL: 0.0},
        low=0,
        high=BELOW_1,
        trains_only=True,
    )
    p_drop_inner: float | None = dense_drop("after a dense layer's first part", 0.1)
    p_drop_transition: float | None = dense_drop("after a dense transition", 0.4)
    bn: str | None = by_model(
        "batch norm before or after the recurrence",
        of(INDRNN, "before"),
        choices=("before", "after"),
        same_eval=True,
    )
    MAG: float | None = by_model(
        "U_bound = MAG^(1/seq_len)",
        of(INDRNN, 2.0),
        above=0,
        same_eval=True,
        trains_only=without_dynamic_eval,
    )
    act: str | None = by_model(
        "activation", of(INDRNN, "relu"), choices=ACTIVATIONS, same_eval=True
    )
    U_bound: float | None = by_model(
        "bound on |u|; 0: by --MAG",
        of(INDRNN, 0.0),
        low=0,
        same_eval=True,
        trains_only=without_dynamic_eval,
    )
    small_norm_init: bool | None = by_model(
        "He's uniform input weights, gamma 0.1", of(INDRNN, False), negatable=True, trains_only=True
    )

    # ---- LSTM, GRU, simple RNN -----------------------------------------------------------------
    zoneout_h: float | None = by_model(
        "P(h keeps its old value)", of(RECURRENT, 0.0), low=0, high=1, same_eval=True
    )
    zoneout_c: float | None = by_model(
        "P(c keeps its old value)", {"lstm": 0.0}, low=0, high=1, same_eval=True
    )
    zoneout_masks: str | None = by_model(
        "of zoneout", of(RECURRENT, "fresh"), choices=("fresh", "shared", "static")
    )
    p_drop_igate: float | None = by_model(
        "P(what a step writes is dropped)", of(("lstm", "gru"), 0.0), low=0, high=1, same_eval=True
    )
    ogate_zoneout: bool | None = by_model(
        "h is held too where the input gate is dropped",
        {"lstm": False},
        negatable=True,
        same_eval=True,
    )
    weight_noise: float | None = by_model(
        "std of noise on every weight matrix, in training",
        of(RECURRENT, 0.0),
        low=0,
        trains_only=True,
    )
    norm_coef: float | None = by_model(
        "of the norm stabiliser", of(RECURRENT, 0.0), low=0, trains_only=True
    )
    norm_divisor: str | None = by_model(
        "of its sum over steps",
        of(RECURRENT, "states"),
        choices=("states", "differences"),
        trains_only=True,
    )
    norm_of: str | None = by_model(
        "the states it acts on", of(RECURRENT, "h"), choices=("h", "c"), trains_only=True
    )
    init: str | None = by_model(
        "of weights; orthogonal: W_hh, and W_ih as glorot",
        of(RECURRENT, "orthogonal"),
        choices=("orthogonal", "glorot", "uniform"),
        trains_only=True,
    )
    init_width: float | None = by_model(
        "U(-width/2, width/2)", of(RECURRENT, 0.2), above=0, trains_only=True
    )
    forget_bias: float | None = by_model("added to the forget gate", {"lstm": 1.0}, same_eval=True)

    def check(self) -> None:
        super().check()
        if self.model in INDRNN and not self.embed_size:
            raise OptionError(
                f"--embed_size 0 came with --model {self.model}, whose head is as wide "
                "as the embedding; give one above 0"
            )
        if self.tied and self.model in RECURRENT and self.embed_size != self.hidden_size:
            raise OptionError(
                f"--tied came with --embed_size {self.embed_size} and --hidden_size "
                f"{self.hidden_size}, which then share a table; make them equal"
            )
        if self.zoneout_masks == "shared" and not (self.zoneout_h and self.zoneout_c):
            raise OptionError(
                "--zoneout_masks shared came, but not both --zoneout_h and --zoneout_c, which "
                "share them; give both"
            )
        if self.norm_of == "c" and self.model != "lstm":
            raise OptionError(
                f"--norm_of c came with --model {self.model}, which has no c; drop it, or choose "
                "--model lstm"
            )
