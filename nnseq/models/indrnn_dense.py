"""Dense IndRNN: each layer reads the outputs of all layers before it in its block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnseq.models.body import refuse_unused
from nnseq.models.indrnn_body import IndRNNBody, Walk
from nnseq.models.indrnn_dense_layer import DenseIndRNNLayer
from nnseq.models.indrnn_options import IndRNNOptions
from nnseq.nn.arguments import check_flag, check_size
from nnseq.nn.module import ModuleList


class DenseIndRNNBody(IndRNNBody):
    """Dense blocks, with halving layers between them.

        x ← IndRNN(x), D to first · g                    unless first is None   (1)
        x ← [x ; layer(x)], C to C + g                   blocks[k] times        (2)
        x ← IndRNN(x), C to C // 2                       after each block       (3)

    each IndRNN with its input product, batch norm and dropout (IndRNNBlock). After the last block,
    (3) is the last layer, which last_layer=False leaves out. Under time_diff, x and the output of
    every IndRNN have the change since the step before beside them (nnseq.models.time_difference),
    which doubles what the next product reads.

    Li, Li, Cook, Gao 2019, "Deep independently recurrent neural network (IndRNN)",
    arXiv:1910.06251; Huang et al. 2017, "Densely connected convolutional networks",
    arXiv:1608.06993v5.

    Args:
        input_size: D.
        growth: g, how many features a layer adds.
        blocks: how many layers each block has; published: 8, 6, 4.
        options: of the recurrences.
        rng: draws the initial values.
        first: width of (1) in units of g; None: blocks[0] reads the input, as in language models.
        last_layer: is there a (3) after the last block? A language model's head stands in its
            place.
        time_diff: see above.
        p_drop, p_drop_inner: of what a layer adds, and of its inner recurrence.
        p_drop_first: of (1).
        p_drop_transition, p_drop_last: of (3) between blocks, and after the last one.

    Raises:
        ValueError, TypeError: out of range, or an option of a part that is left out.
    """

    def __init__(
        self,
        input_size: int,
        growth: int,
        blocks: Sequence[int],
        options: IndRNNOptions,
        *,
        rng: np.random.Generator,
        first: int | None = 6,
        last_layer: bool = True,
        time_diff: bool = False,
        p_drop: float = 0.0,
        p_drop_inner: float = 0.0,
        p_drop_first: float = 0.0,
        p_drop_transition: float = 0.0,
        p_drop_last: float = 0.0,
    ) -> None:
        super().__init__(options)
        self.input_size = check_size("DenseIndRNNBody", "input_size", input_size)
        self.growth = check_size("DenseIndRNNBody", "growth", growth)
        self.factor = 2 if check_flag("DenseIndRNNBody", "time_diff", time_diff) else 1
        drops = _Drops(p_drop, p_drop_inner, p_drop_first, p_drop_transition, p_drop_last)
        if first is None:
            refuse_unused("DenseIndRNNBody", "first is None", p_drop_first=p_drop_first)
        if not check_flag("DenseIndRNNBody", "last_layer", last_layer):
            given = {"p_drop_last": p_drop_last, "init_last_u": options.init_last_u}
            refuse_unused("DenseIndRNNBody", "last_layer is False", **given)
        C = self.input_size  # the width without differences; with them, factor · C
        self.first = None
        if first is not None:
            width = self.growth * check_size("DenseIndRNNBody", "first", first)
            self.first = options.block(self.factor * C, width, rng, p_drop=drops.first)
            C = width
        self.blocks, self.transitions = ModuleList(), ModuleList()
        C = self._add_blocks(C, blocks, options, last_layer, drops, rng)
        self.output_size = self.factor * C
        self.num_states = self.factor * len(self.recurrences()) + (self.factor - 1)

    def _add_blocks(
        self,
        C: int,
        blocks: Sequence[int],
        options: IndRNNOptions,
        last_layer: bool,
        drops: _Drops,
        rng: np.random.Generator,
    ) -> int:
        """Make (2) and (3); return the width C that they end with."""
        if not blocks:
            raise ValueError(f"DenseIndRNNBody: blocks is {blocks}, expected at least one size")
        for k, size in enumerate(blocks):
            num_layers = check_size("DenseIndRNNBody", f"blocks[{k}]", size)
            self.blocks.append(ModuleList())
            for _ in range(num_layers):
                self.blocks[k].append(
                    DenseIndRNNLayer(
                        self.factor * C,
                        self.growth,
                        options,
                        factor=self.factor,
                        p_drop=drops.added,
                        p_drop_inner=drops.inner,
                        rng=rng,
                    )
                )
                C += self.growth
            is_last = k == len(blocks) - 1
            if not is_last or last_layer:
                p = drops.last if is_last else drops.transition
                half = options.block(self.factor * C, C // 2, rng, p_drop=p, is_last=is_last)
                self.transitions.append(half)
                C //= 2
        return C

    def run(self, x: Any, walk: Walk, only_last: bool) -> Any:
        through: Callable[[Any, Any], Any] = walk.through
        if self.factor == 2:
            x, through = walk.with_difference(x), walk.through_with_difference
        if self.first is not None:
            x = through(self.first, x)  # (1)
        for k, block in enumerate(self.blocks):
            for layer in block:
                x = layer(x, through)  # (2)
            if k < len(self.transitions):
                x = through(self.transitions[k], x)  # (3)
        return walk.last(x) if only_last else x


class _Drops(NamedTuple):
    """The chances to drop of the parts of a DenseIndRNNBody."""

    added: float
    inner: float
    first: float
    transition: float
    last: float
