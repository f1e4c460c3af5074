"""MNIST pixel by pixel: a digit, read one of its 784 pixels at a time, row by row.

    python experiments/pixel_mnist.py --data DIR --preset indrnn_plain6 --epochs 3
    python experiments/pixel_mnist.py --data DIR --preset indrnn_dense --permute

DIR holds the four idx files, as `python -m nnseq.data fetch mnist` leaves them. With --permute all
digits are shown in one random order of their pixels, which is saved with the parameters. A part of
the training images, drawn at random, chooses the best weights, which then classify the test images.

The IndRNN presets are networks and recipes of the program of Li, Li, Cook, Gao 2019, "Deep
independently recurrent neural network (IndRNN)", arXiv:1910.06251. The others follow the program of
Krueger et al. 2017, "Zoneout", arXiv:1606.01305v4, built on that of Cooijmans et al. 2017,
"Recurrent batch normalization", arXiv:1603.09025v5. Differences from it:

- W_hh is orthogonal gate by gate, W_ih and the readout start as Glorot; there each is orthogonal.
- The order of the pixels has each of them once; theirs is drawn with replacement, and shows 501.
- The sixth of the training images that chooses the best weights is random, there the last 10,000;
  recurrent batch norm chooses by its running statistics, there by each batch's own.
- Running statistics begin with those of the first batch, theirs with 0 and 1.
- h and c have zoneout masks of their own; there one mask serves both, and --igate_drop too.
- Their LSTM without batch norm adds a learned bias to c before its tanh.

--p_drop_igate, --init identity, --initial_gamma, --initial_noise and --summarize are its
--igate_drop (here without batch norm alone), --initialization id, --initial_gamma, --noise and
--summarize (here with batch norm alone). The last two are remedies of Cooijmans et al. against
pixels that are black in every digit: noise of 0.1 for digits in order, none under --permute, as
there. Its --initial_beta and --epsilon stay at their defaults; its --activation is left out,
because our cells have tanh alone; its --lstm and --unpermuted do nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnseq.classification.files import build_examples, read
from nnseq.classification.options import ClassificationOptions, parse_options
from nnseq.classification.task import ClassificationTask
from nnseq.data.examples import Labelled
from nnseq.data.images import NUM_CLASSES, Images
from nnseq.data.mnist import SIDE, mnist
from nnseq.data.pixels import pixel_sequences
from nnseq.indrnn_networks import INDRNN, indrnn_body
from nnseq.model_options import by_model, of
from nnseq.models import LastStepReadout, RecurrentBody
from nnseq.nn import LSTM, BatchNormLSTM, Module, Permutation
from nnseq.nn.initializers import GLOROT
from nnseq.ops.shape import broadcast_to
from nnseq.options import OptionError, option
from nnseq.task import streams
from nnseq.train import run

T = SIDE * SIDE
RECURRENT = ("lstm", "lstm_rbn")
UNITS = {"indrnn_plain": 128, "indrnn_residual": 128, "lstm": 100, "lstm_rbn": 100}
RBN_MOMENTUM = 0.01  # of the running statistics, in the program of the zoneout authors
RECIPE = {"permute": True, "batch_size": 100, "epochs": 100, "valid_share": 1 / 6}
ZONEOUT = {"zoneout_h": 0.15, "zoneout_c": 0.15, **RECIPE}
PRESETS: dict[str, dict[str, Any]] = {
    "indrnn_plain6": {"model": "indrnn_plain", "num_layers": 6},
    "indrnn_plain12": {"model": "indrnn_plain", "num_layers": 12},
    "indrnn_residual": {"model": "indrnn_residual", "num_blocks": 5},
    "indrnn_dense": {"model": "indrnn_dense", "growth_rate": 16, "num_first": 6},
    "lstm": {"model": "lstm", **RECIPE},
    "zoneout_lstm": {"model": "lstm", **ZONEOUT},
    "zoneout_lstm_rbn": {"model": "lstm_rbn", **ZONEOUT},
}
RANGES = ("signed", "unit")
PROBABILITY: dict[str, Any] = {"low": 0, "high": 1, "same_eval": True}
SEEN = "of 501 of the 784 pixels"  # drawn with replacement
LI = "Li et al. 2019, table 2 (their log)"
PUBLISHED = {
    "indrnn_plain6": f"accuracy 0.990 (0.9904), --permute 0.960 (0.9564): {LI}",
    "indrnn_plain12": f"0.9937 (0.9946), --permute 0.9684 (0.9653): {LI}",
    "indrnn_residual": f"0.9939 (0.9938), --permute 0.9702 (0.9686): {LI}",
    "indrnn_dense": f"0.9948 (0.9948), --permute 0.972 (0.9716, --patience 200): {LI}",
    "lstm": f"0.902 {SEEN}, --no_permute 0.989: Cooijmans et al. 2017",
    "zoneout_lstm": f"0.931 {SEEN}: Krueger et al. 2017, by Li et al. 2018, table 1",
    "zoneout_lstm_rbn": f"0.959 {SEEN}: Krueger et al. 2017, by Li et al. 2018, table 1",
}


@dataclass(frozen=True)
class PixelOptions(ClassificationOptions):
    """The options of this experiment alone."""

    model: str = option(INDRNN[0], "the network", choices=(*INDRNN, *RECURRENT))
    permute: bool = option(False, "one random order of the pixels for all digits", negatable=True)
    bn_decay: bool | None = by_model(
        "decay gamma of BN too", of(INDRNN, True), negatable=True, trains_only=True
    )
    hidden_size: int | None = by_model("units of a layer", UNITS, low=1)
    pixels: str = by_model(
        "[-1, 1) or [0, 1]", of(INDRNN, "signed"), others="unit", choices=RANGES, same_eval=True
    )
    zoneout_h: float | None = by_model(
        "P(h keeps its old value)", of(RECURRENT, 0.0), **PROBABILITY
    )
    zoneout_c: float | None = by_model(
        "P(c keeps its old value)", of(RECURRENT, 0.0), **PROBABILITY
    )
    p_drop_igate: float | None = by_model(
        "P(what a step writes is dropped)", {"lstm": 0.0}, **PROBABILITY
    )
    init: str | None = by_model(
        "of W_hh: all gates orthogonal, or the candidate's block the identity",
        of(RECURRENT, "orthogonal"),
        choices=("orthogonal", "identity"),
        trains_only=True,
    )
    initial_gamma: float | None = by_model(
        "where gamma of batch norm starts", {"lstm_rbn": 0.1}, low=0, trains_only=True
    )
    initial_noise: float | None = by_model(
        "std of noise on h_0; with --permute or --summarize 0",
        {"lstm_rbn": 0.1},
        low=0,
        trains_only=True,
    )
    summarize: bool | None = by_model(
        "add the mean of a digit's pixels to its h_0", {"lstm_rbn": False}, same_eval=True
    )

    def derived(self) -> Mapping[str, Any]:
        values = dict(super().derived())
        if (self.permute or self.summarize) and values["initial_noise"] is not None:
            values["initial_noise"] = 0.0
        return values

    def check(self) -> None:
        super().check()
        if self.summarize and self.initial_noise:
            raise OptionError(
                f"--summarize came with --initial_noise {self.initial_noise}, another remedy for "
                "the same; drop one of them"
            )


class SummarizedBody(RecurrentBody):
    """A layer that begins each sequence at its learned h_0 plus the mean of the sequence."""

    def forward(
        self, x: Any, states: Any = None, *, mask: Any = None, lengths: Any = None, **more: Any
    ) -> Any:
        """As RecurrentBody's, of x (T, B, D) whose steps all count."""
        if mask is not None or lengths is not None:
            raise ValueError("SummarizedBody: a mask came, but the mean is of every step")
        if states is None:
            (direction,) = self.rnn.directions
            h0, c0 = (
                broadcast_to(start, (1, x.shape[1], *start.shape))
                for start in (direction.h0, direction.c0)
            )
            states = (h0 + x.mean(axis=(0, 2)).reshape(1, -1, 1), c0)
        return super().forward(x, states, **more)


class PixelNetwork(Module):
    """A classifier of pixels (784, B, 1), which may see them in an order of its own."""

    def __init__(self, classifier: Module, permutation: Permutation | None) -> None:
        self.classifier, self.permutation = classifier, permutation

    def forward(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Map (784, B, 1) to logits (B, 10)."""
        return self.classifier(x if self.permutation is None else self.permutation(x), rng=rng)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As Module's, with a word on weights that differ in the order of the pixels alone."""
        if state.keys() ^ self.state_dict().keys() == {"permutation.order"}:
            came, flag = ("permuted", "") if self.permutation is None else ("in order", "no_")
            raise ValueError(f"it was trained on pixels that came {came}; give --{flag}permute")
        super().load_state_dict(state)


class PixelTask(ClassificationTask):
    """MNIST, and the network of the options."""

    def __init__(self, options: PixelOptions) -> None:
        init, data, masks = streams(options.seed)
        of_examples, of_order = data.spawn(2)
        permutation = Permutation(T, rng=of_order) if options.permute else None
        network = PixelNetwork(build_classifier(options, init), permutation)
        found, note = read(options, "mnist", mnist)
        examples = None
        if found is not None:
            train, test = (labelled(images, options) for images in found)
            examples = build_examples(options, train, test, of_examples)
        super().__init__(options, network, examples, note, masks)


def labelled(images: Images, o: PixelOptions) -> Labelled:
    """The images as sequences of their pixels."""

    def look(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return pixel_sequences(images.images[indices], o.dtype, signed=o.pixels == "signed")

    return Labelled(images.labels.astype(np.int64), look)


def build_classifier(options: PixelOptions, rng: np.random.Generator) -> LastStepReadout:
    """The network of the options, from sequences (784, B, 1) to the ten digits."""
    o: Any = options
    if o.model in INDRNN:
        return LastStepReadout(indrnn_body(o, 1, T, rng), NUM_CLASSES, rng=rng)
    own = {"rng": rng, "dtype": np.dtype(o.dtype), "output": "last", "learn_states": True}
    own |= {"zoneout_h": o.zoneout_h, "zoneout_c": o.zoneout_c}
    H = o.hidden_size
    if o.model == "lstm":
        rnn: Any = LSTM(1, H, p_drop_igate=o.p_drop_igate, **own)
    else:
        own |= {"momentum": RBN_MOMENTUM, "gamma_init": o.initial_gamma}
        rnn = BatchNormLSTM(1, H, T, initial_noise=o.initial_noise, **own)
    if o.init == "identity":
        rnn.directions[0].W_hh.data[:, 2 * H : 3 * H] = np.eye(H)  # g of i, f, g, o
    body = (SummarizedBody if o.summarize else RecurrentBody)(rnn)
    return LastStepReadout(body, NUM_CLASSES, rng=rng, readout_init=GLOROT)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    given: Any = {"presets": PRESETS, "published": PUBLISHED}
    options = parse_options("pixel_mnist", PixelOptions, argv, __doc__, **given)
    return run("pixel_mnist", options, PixelTask)


if __name__ == "__main__":
    sys.exit(main())
