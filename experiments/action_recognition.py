"""NTU RGB+D: which of 60 actions one or two persons do, from the places of their 25 joints.

    python -m nnseq.data convert_ntu SKELETON_FOLDER DIR --benchmark cross_subject
    python experiments/action_recognition.py --data DIR --preset indrnn_plain6
    python experiments/action_recognition.py --data DIR --preset indrnn_dense \\
        --geometric --lines authors --time_diff --random_len --test_crops 40 --patience 150

A clip of any length is shown as --seq_len of its frames, chosen at random (nnseq.data.ntu_crops):
others each time in training. A part of the training clips, drawn at random, chooses the best
weights by its accuracy over --valid_crops crops; in the test, the logits of --test_crops crops of a
clip are averaged.

Networks and recipes are those of the program of Li, Li, Cook, Gao 2019, "Deep independently
recurrent neural network (IndRNN)", arXiv:1910.06251, with the dropout and the patience of its
published logs; its second command line above is the paper's augmented dense network.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nnseq.classification.files import build_examples, read
from nnseq.classification.options import CONDITIONS, NEEDS, ClassificationOptions, parse_options
from nnseq.classification.task import ClassificationTask
from nnseq.data.examples import Labelled, Look
from nnseq.data.ntu import NTU, D, read_ntu
from nnseq.data.ntu_crops import crops, random_length, rotate
from nnseq.data.ntu_features import LI_LINES, LINES, line_distances
from nnseq.data.ntu_files import BENCHMARKS, BODIES, JOINTS, NUM_CLASSES
from nnseq.indrnn_networks import DENSE, INDRNN, PLAIN, RESIDUAL, dense_drop, indrnn_body
from nnseq.model_options import by_model, default
from nnseq.models import LastStepReadout
from nnseq.options import option
from nnseq.task import streams
from nnseq.train import run

GEOMETRIC = len(LINES) * (JOINTS - 2) * BODIES  # distances of joints from lines
LINES_OF = {"symmetric": LINES, "authors": LI_LINES}
PRESETS: dict[str, dict[str, Any]] = {
    "indrnn_plain6": {"model": PLAIN, "num_layers": 6, "hidden_size": 512},
    "indrnn_residual": {"model": RESIDUAL, "num_blocks": 5, "hidden_size": 512},
    "indrnn_dense": {"model": DENSE, "growth_rate": 48, "num_first": 6, "block_config": "8,6,4"},
}
PUBLISHED = {  # cross-subject / cross-view, the authors' log in brackets
    "indrnn_plain6": "accuracy 0.8180 / 0.8797 (0.8316 / 0.8813); Li et al. 2018, table 4",
    "indrnn_residual": "(0.8418 / 0.9023); the authors' log",
    "indrnn_dense": "0.8488 / 0.9043 (0.8485 / 0.9016); augmented, as the second command above, "
    "0.8670 / 0.9397 (0.8655 / 0.9405); Li et al. 2019, table 5",
}


@dataclass(frozen=True)
class ActionOptions(ClassificationOptions):
    """The options of this experiment alone."""

    conditions = CONDITIONS | {"--geometric": lambda o: o.geometric}
    needs = NEEDS | {"lines": "--geometric"}

    model: str = option(PLAIN, "the network", choices=INDRNN)
    benchmark: str = option(
        BENCHMARKS[0], "how clips are split", choices=BENCHMARKS, same_eval=True
    )
    seq_len: int = option(20, "frames that are shown of a clip", low=1, same_eval=True)
    random_len: bool = option(
        False, "another --seq_len each time, from a quarter to twice it", same_eval=True
    )
    rotate: bool = option(
        False, "training clips seen from the side, or from above, at times", trains_only=True
    )
    geometric: bool = option(False, "beside joints, their distances from lines through others")
    lines: str | None = default(
        "the lines: alike on both sides, or the authors' own",
        "symmetric",
        choices=tuple(LINES_OF),
        same_eval=True,
    )
    time_diff: bool | None = by_model(
        "beside the output of each layer, its change since the step before", {DENSE: False}
    )
    valid_crops: int = option(5, "crops of each clip in validation", low=1, trains_only=True)
    test_crops: int = option(20, "crops of each clip in the test", low=1, same_run=False)
    batch_size: int = option(128, "clips in a step", low=1, trains_only=True)
    eval_batch_size: int = option(128, "clips at a time in evaluation", low=1)
    patience: int | None = by_model(
        "validations without improvement until lr is cut; 0: never",
        {PLAIN: 100, RESIDUAL: 150, DENSE: 100},
        low=0,
        trains_only=True,
    )
    hidden_size: int | None = by_model("units of a layer", {PLAIN: 512, RESIDUAL: 512}, low=1)
    growth_rate: int | None = by_model("features a dense layer adds", {DENSE: 48}, low=1)
    p_drop: float | None = by_model(
        "P(an entry after a layer is dropped, at all steps)",
        {PLAIN: 0.4, RESIDUAL: 0.5, DENSE: 0.5},
        low=0,
        high=0.999,
        trains_only=True,
    )
    p_drop_first: float | None = dense_drop("before the first dense block", 0.5)
    p_drop_transition: float | None = dense_drop("after a dense transition", 0.3)
    p_drop_last: float | None = dense_drop("after the last dense block", 0.3)


class ActionTask(ClassificationTask):
    """NTU RGB+D, and the network of the options."""

    def __init__(self, options: ActionOptions) -> None:
        init, data, masks = streams(options.seed)
        o, width = options, D + GEOMETRIC * options.geometric
        body = indrnn_body(o, width, o.seq_len, init)
        network = LastStepReadout(body, NUM_CLASSES, rng=init)
        found, note = read(o, "ntu", partial(read_ntu, benchmark=o.benchmark))
        examples = None
        if found is not None:
            train, test = (Labelled(clips.labels, crops_of(clips, o)) for clips in found)
            looks = {"valid_looks": o.valid_crops, "test_looks": o.test_crops}
            looks |= {"augmented": crops_of(found[0], o, rotated=o.rotate)}
            examples = build_examples(o, train, test, data, **looks)
        super().__init__(options, network, examples, note, masks)


def crops_of(clips: NTU, o: ActionOptions, *, rotated: bool = False) -> Look:
    """Crops (T, B, 150) of clips at random, or with the geometric features (T, B, 1944)."""

    def look(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        T = o.seq_len
        if o.random_len:
            T = random_length(rng, T, std=T / 4, low=max(1, T // 4), high=2 * T)
        x = crops(rng, clips, indices, T)
        x = rotate(rng, x) if rotated else x
        if o.geometric:
            x = np.concatenate([x, line_distances(x, LINES_OF[o.lines])], axis=-1)
        return x.astype(o.dtype, copy=False)

    return look


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_options(
        "action_recognition", ActionOptions, argv, __doc__, presets=PRESETS, published=PUBLISHED
    )
    return run("action_recognition", options, ActionTask)


if __name__ == "__main__":
    sys.exit(main())
