"""What a language model is worth on a text: the mean nats of its targets, static and dynamic.

    bpc         nats / ln 2, bits per character                                             (1)
    perplexity  exp(nats), of words                                                         (2)

(1) and (2) are of the mean nats over ALL targets of a text, never means of such numbers. A model
that is trained on streams is evaluated on streams: the text in B columns, each from the zero state,
which is then carried to its end. A model that is trained on chunks is evaluated on chunks of as
many steps, each from the state that chunks begin with. B is --eval_batch_size, of the test set
--test_batch_size: the script of IndRNN's authors reads valid in 10 columns and test in one.

Dynamic evaluation, of either model, reads the text in one column, its state carried to the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnseq.backend import to_device
from nnseq.data.batches import TextBatch
from nnseq.data.corpus import Corpus
from nnseq.data.streams import windows
from nnseq.language.dynamic_evaluation import dynamic_evaluation, gradient_rms, grid
from nnseq.nn import Module
from nnseq.nn.eval_mode import eval_mode
from nnseq.ops.losses import cross_entropy
from nnseq.options import OptionError
from nnseq.tensor import no_grad


class Evaluation:
    """Reads texts with a model, as its options say.

    Args:
        options: LanguageOptions; --dynamic_... for metrics, the others for every reading.
        model: afterwards as it was.
        is_of_words: what is reported is perplexity, else bits per character.

    Attributes:
        measure: "ppl" or "bpc", of which the metrics' names are made.
    """

    def __init__(self, options: Any, model: Module, *, is_of_words: bool) -> None:
        self.options, self.model = options, model
        self.measure = "ppl" if is_of_words else "bpc"

    def measured(self, nats: float) -> float:
        """(1), or of words (2), inf where it overflows."""
        if self.measure == "bpc":
            return nats / math.log(2)
        return math.exp(nats) if nats < 700 else math.inf

    def windows(self, ids: np.ndarray, B: int) -> Iterator[TextBatch]:
        """All targets of a text, in B columns."""
        o = self.options
        batches = windows(ids, B, o.seq_len - (o.batching == "chunks"))
        if o.batching == "streams":
            return batches
        return (batch._replace(is_first=True) for batch in batches)

    def nats(self, ids: np.ndarray, B: int) -> float:
        """The mean nats of all targets of a text, no mask drawn, nothing recorded."""
        total, count, states, start = 0.0, 0, None, 0
        with eval_mode(self.model), no_grad():
            for batch in self.windows(ids, B):
                if batch.is_first:
                    states, start = None, 0
                x, y = (to_device(ids, self.options.device) for ids in (batch.x, batch.y))
                a, states = self.model(x, states, start=start)
                start += len(x)
                total += float(cross_entropy(a, y, reduction="sum").item())
                count += y.size
        return total / count

    def metrics(self, corpus: Corpus) -> dict[str, float]:
        """Valid and test, as they are and, with --dynamic_eval, under a model that goes on."""
        o = self.options
        nats = {
            "valid": self.nats(corpus.valid, o.eval_batch_size),
            "test": self.nats(corpus.test, o.test_batch_size),
        }
        metrics = {f"{part}_{self.measure}": self.measured(x) for part, x in nats.items()}
        metrics["test_loss"] = nats["test"]
        if o.dynamic_eval:
            dynamic = self._dynamic_nats(corpus)
            metrics |= {
                f"{part}_{self.measure}_dynamic": self.measured(x) for part, x in dynamic.items()
            }
        return metrics

    def _dynamic_nats(self, corpus: Corpus) -> dict[str, float]:
        """Valid and test under a model that adapts on the way, text in one stream."""
        o = self.options
        T, clip = o.dynamic_len, o.clip_value
        rms = gradient_rms(self.model, windows(corpus.train, o.batch_size, T), clip_value=clip)
        lr, decay = o.dynamic_lr, o.dynamic_decay
        if o.dynamic_grid:
            try:
                point = grid(
                    self.model, lambda: windows(corpus.valid, 1, T), rms, T=T, clip_value=clip
                ).best
            except ValueError as error:
                raise OptionError(f"--dynamic_grid: {error}") from None
            lr, decay = point.lr, point.decay
            print(f"dynamic evaluation: --dynamic_lr {lr:g} --dynamic_decay {decay:g} are best")
        found = {}
        for part in ("valid", "test"):
            text = windows(getattr(corpus, part), 1, T)
            found[part] = dynamic_evaluation(
                self.model, text, rms, lr=lr, decay=decay, clip_value=clip
            )
            if not math.isfinite(found[part]):
                raise OptionError(
                    f"--dynamic_lr {lr:g}: the parameters diverged on {part}; lower it"
                )
        return found


def check_lengths(o: Any, corpus: Corpus) -> None:
    """Refuses, before anything is trained, sizes for which a text is too short.

    Raises:
        OptionError: --seq_len, --dynamic_len or a number of columns is too large.
    """
    T = o.seq_len - (o.batching == "chunks")
    read = [
        (corpus.valid, o.eval_batch_size, T, "--seq_len or --eval_batch_size"),
        (corpus.test, o.test_batch_size, T, "--seq_len or --test_batch_size"),
    ]
    if o.dynamic_eval:
        flags = f"--dynamic_len {o.dynamic_len}"
        read.append((corpus.train, o.batch_size, o.dynamic_len, f"{flags} or --batch_size"))
        read += [(ids, 1, o.dynamic_len, flags) for ids in (corpus.valid, corpus.test)]
    for ids, B, steps, flags in read:
        try:
            windows(ids, B, steps)
        except ValueError as error:
            raise OptionError(f"{flags}: {error}") from None
