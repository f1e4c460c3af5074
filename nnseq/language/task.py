"""Training a language model on the files of a text: what char_ptb, word_ptb and text8 share.

    loss = mean of -ln p(next token) over the window, in nats, + the norm stabiliser        (1)

Validation is at the end of every epoch, and every --eval_every steps. The best weights so far are
kept with their optimiser (nnseq.best) in best.h5, and are tested at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnseq.backend import to_device
from nnseq.best import Best
from nnseq.data.batches import Batches
from nnseq.data.chunks import Chunks
from nnseq.data.corpus import EOS, Corpus, text_of
from nnseq.data.fingerprint import fingerprint
from nnseq.data.prefetch import Prefetch
from nnseq.data.streams import Streams, Variable
from nnseq.language.evaluation import Evaluation, check_lengths
from nnseq.language.networks import build_model
from nnseq.language.options import LanguageOptions
from nnseq.language.sampling import sample
from nnseq.models import detach
from nnseq.nn import norm_stabilizer, weight_noise
from nnseq.ops.losses import cross_entropy
from nnseq.options import OptionError
from nnseq.plots import Panel
from nnseq.recipe import build_optimizer, build_plateau
from nnseq.runs.data_files import read_files
from nnseq.task import DataNote, Task, streams
from nnseq.tensor import Tensor


class Text(NamedTuple):
    """What an experiment reads.

    Attributes:
        name: for messages.
        source: of `python -m nnseq.data fetch` and of the made-up files.
        files: that `--data` must hold.
        V: kinds of tokens in it, for a model that is built without it.
        read: its reader.
        is_of_words: what is reported is perplexity, else bits per character.
    """

    name: str
    source: str
    files: str
    V: int
    read: Callable[[Path], Corpus]
    is_of_words: bool = False


class LanguageTask(Task):
    """A language model, its text and its recipe.

    Raises:
        OptionError: no `--data`, or a text too short for the sizes asked for.
        DataError: files that are missing or wrong.
    """

    best: Best
    leaves = ("sample.txt",)

    def __init__(self, options: LanguageOptions, text: Text) -> None:
        self.options: Any = options  # what its model has is not None
        o = self.options
        init, data, masks = streams(o.seed)
        self.rngs = {"masks": masks}  # the batches own the generator of data, and its state
        self.corpus, self.data_note = read(o, text)
        V = text.V if self.corpus is None else len(self.corpus.vocabulary)
        self.baseline = ("every token equally likely:", math.log(V))
        self.model = build_model(o, V, init).to(o.device)
        self.optimizer = build_optimizer(o, self.model)
        self.best = Best(self.model, self.optimizer, build_plateau(o))
        self.validations: list[list[float]] = []  # [step, nats]
        self.epoch = 0
        self.forget()
        self.batches: Prefetch | None = None
        if self.corpus is not None:
            self.vocabulary = fingerprint(self.corpus.vocabulary)
            check_lengths(o, self.corpus)
        if self.corpus is not None and not o.eval:
            try:
                self.batches = Prefetch(build_batches(o, self.corpus.train, data))
            except ValueError as error:
                raise OptionError(f"--seq_len or --batch_size: {error}") from None
            self.steps_per_epoch = self.batches.steps_per_epoch
        self.evaluation = Evaluation(o, self.model, is_of_words=text.is_of_words)

    def forget(self) -> None:
        """Sets the carried state to zero."""
        self.states: Any = None
        self.start = 0  # steps since it was

    # ---- training --------------------------------------------------------------------------------

    def loss(self) -> Tensor:
        o, rng, batches = self.options, self.rngs["masks"], self._batches()
        batch = batches.draw()
        self.waited = batches.waited
        if batch.is_first:
            self.forget()
        x, y = (to_device(ids, o.device) for ids in (batch.x, batch.y))
        with weight_noise(self.model, o.weight_noise or 0.0, rng):  # what backward reads is saved
            a, states, *hidden = self.model(
                x, self.states, rng=rng, start=self.start, return_hidden=bool(o.norm_coef)
            )
            loss: Tensor = cross_entropy(a, y)
            if o.norm_coef:
                chosen = getattr(hidden[0], o.norm_of)
                loss = loss + norm_stabilizer(chosen, o.norm_coef, divisor=o.norm_divisor)  # (1)
        self.states, self.start = detach(states), self.start + len(x)
        return loss

    def observe(self, step: int, loss: float) -> dict[str, float]:
        o, epoch = self.options, self._batches().epoch
        ended = epoch > self.epoch
        self.epoch = epoch
        if ended and o.lr_decay is not None and epoch > (o.decay_after or 0):
            self.optimizer.lr /= o.lr_decay
        columns = {"epoch": epoch, "lr": float(self.optimizer.lr)}
        if ended or (o.eval_every and step % o.eval_every == 0):
            nats = self.evaluation.nats(self._corpus().valid, o.eval_batch_size)
            self.validations.append([step, nats])
            if self.best.observe(nats, step):
                self.forget()  # it belongs to weights that are gone
            self.is_finished = self.best.plateau.is_finished
        if self.validations:  # the last one, at whatever step
            nats = self.validations[-1][1]
            columns[f"valid_{self.evaluation.measure}"] = self.evaluation.measured(nats)
        return columns

    def epochs_done(self, step: int) -> int | None:
        return None if self.batches is None else self.batches.epoch

    def close(self) -> None:
        if self.batches is not None:
            self.batches.close()

    # ---- evaluation ------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        return self.evaluation.metrics(self._corpus())

    def leave(self, folder: Path) -> None:
        """Writes sample.txt."""
        corpus, o = self._corpus(), self.options
        if o.sample:
            begin = corpus.vocabulary.index.get(EOS, 0)  # text8 has no ends of lines: a space
            rng = np.random.default_rng(o.seed)
            ids = sample(self.model, o.sample, prompt=[begin], temperature=o.temperature, rng=rng)
            text = text_of(corpus, ids)
            (folder / "sample.txt").write_text(text + "\n", encoding="utf-8")
            print(f"sample of temperature {o.temperature:g}:\n{text}")

    def panels(self, loss: Panel) -> list[Panel]:
        """The training loss, and the validations beside it."""
        if not self.validations:
            return [loss]
        steps, nats = zip(*self.validations, strict=True)
        valid = (steps, [self.evaluation.measured(x) for x in nats])
        measure = self.evaluation.measure
        name = f"validation {measure}"
        beside = Panel(name, "step", {name: valid}, is_log=measure == "ppl")
        return [loss._replace(is_log=False), beside]

    def describe(self) -> list[str]:
        if self.corpus is None:
            return ["no text was read: --max_steps 0 came without --data"]
        o = self.options
        sizes = ", ".join(f"{len(getattr(self.corpus, x)):,} {x}" for x in Corpus._fields[:3])
        kind = "begun anew in every chunk, in evaluation too"
        if o.batching == "streams":
            kind = "carried through every stream, in evaluation too"
        elif o.dynamic_eval:
            kind += ", but carried through the whole text in dynamic evaluation"
        return [f"{self.corpus.unit}s: {sizes}; the state is {kind}"]

    # ---- checkpoints -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        states = self.states or ()
        return {
            "batches": {} if self.batches is None else self.batches.state_dict(),
            "states": {str(k): state for k, state in enumerate(states)},
            "start": self.start,
            "epoch": self.epoch,
            "validations": self.validations,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.batches is not None:
            self.batches.load_state_dict(state["batches"])
        carried = state["states"]
        device = self.options.device
        arrays = tuple(to_device(carried[str(k)], device) for k in range(len(carried)))
        self.states, self.start = arrays or None, int(state["start"])
        self.epoch = int(state["epoch"])
        self.validations = [[int(step), float(nats)] for step, nats in state["validations"]]

    def _corpus(self) -> Corpus:
        assert self.corpus is not None, "without text nothing is trained or evaluated"
        return self.corpus

    def _batches(self) -> Prefetch:
        assert self.batches is not None, "without text nothing is trained"
        return self.batches


# ---- made from options ---------------------------------------------------------------------------


def read(o: Any, text: Text) -> tuple[Corpus | None, DataNote]:
    """The corpus, or None for `--max_steps 0` without `--data`; and which files it is of.

    Raises:
        OptionError: no `--data` although one is needed.
        DataError: files that are missing or wrong.
    """
    corpus, note = read_files(o, text.source, text.read, name=text.name, files=text.files)
    if corpus is None or note.text:
        return corpus, note
    return corpus, note._replace(text=", ".join(corpus.files))


def build_batches(o: Any, ids: np.ndarray, rng: np.random.Generator) -> Batches:
    """The training text as --batching says."""
    B, T = o.batch_size, o.seq_len
    if o.batching == "chunks":
        return Chunks(ids, B, T, rng=rng, augment=o.augment)
    return Streams(
        ids,
        B,
        T,
        rng=rng,
        random_start=o.random_start * B * T,
        variable=Variable() if o.variable_len else None,
        reset_every=o.reset_every,
    )
