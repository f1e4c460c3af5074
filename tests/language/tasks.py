"""Language tasks on made-up texts, small, and driven without a run around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nnseq.data.penn_treebank import ptb_chars, ptb_words
from nnseq.language.options import LanguageOptions
from nnseq.language.task import LanguageTask, Text

CHARACTERS = Text("made-up characters", "ptb", "ptb.char.train.txt", 50, ptb_chars)
WORDS = Text("made-up words", "ptb", "ptb.train.txt", 10_000, ptb_words, is_of_words=True)
SMALL: dict[str, Any] = {"seq_len": 7, "batch_size": 3, "eval_batch_size": 4, "device": "cpu"}
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"hidden_size": 8},
    "gru": {"hidden_size": 8},
    "srnn": {"hidden_size": 8},
    "indrnn_plain": {"hidden_size": 8, "num_layers": 2, "embed_size": 6},
    "indrnn_residual": {"hidden_size": 8, "num_blocks": 1, "embed_size": 6},
    "indrnn_dense": {"growth_rate": 3, "block_config": "2,1", "embed_size": 6},
}


def build(folder: Path, text: Text = CHARACTERS, **values: Any) -> LanguageTask:
    model = values.setdefault("model", "lstm")
    return LanguageTask(
        LanguageOptions(data=str(folder), **{**SMALL, **MODELS[model], **values}), text
    )


def steps(task: LanguageTask, number: int, first: int = 1) -> list[float]:
    """So many steps as nnseq.train does them; returns the losses."""
    losses = []
    for step in range(first, first + number):
        task.optimizer.zero_grad()
        loss = task.loss()
        loss.backward()
        task.optimizer.step()
        task.model.constrain()
        losses.append(loss.item())
        task.observe(step, losses[-1])
    return losses


def log_p(a: Any) -> np.ndarray:
    a = a.data.astype(np.float64)
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))
