"""Small texts in the forms of the real ones, and runs of the language models on them."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnseq import checkpoint
from nnseq.data.made_up import write_made_up
from tests.child import ROOT

SMALL: list[object] = ["--seq_len", 7, "--batch_size", 3, "--eval_batch_size", 16]
SMALL += ["--kernels", "reference", "--threads", 1]
SIZES: dict[str, list[object]] = {
    "indrnn_plain": ["--hidden_size", 8, "--num_layers", 2, "--embed_size", 6],
    "indrnn_residual": ["--hidden_size", 8, "--num_blocks", 1, "--embed_size", 6],
    "indrnn_dense": ["--growth_rate", 3, "--block_config", "2,1", "--embed_size", 6],
    "lstm": ["--hidden_size", 8],
    "gru": ["--hidden_size", 8],
    "srnn": ["--hidden_size", 8],
}
LINES = {"train": 60, "valid": 8, "test": 8}


def write_texts(folder: Path) -> Path:
    """Writes the Penn Treebank's six files and text8, made up, and much shorter."""
    for name in ("ptb", "text8"):
        write_made_up(name, folder, np.random.default_rng(3))
    for split, lines in LINES.items():
        for kind, end in (("ptb", ""), ("ptb.char", " ")):
            path = folder / f"{kind}.{split}.txt"
            kept = path.read_text().split("\n")[:lines]
            path.write_text("\n".join(kept) + "\n" + end)
    path = folder / "text8"
    path.write_text(path.read_text()[:6000])
    return folder


def script(name: str) -> dict[str, Any]:
    """What experiments/name.py defines."""
    return runpy.run_path(str(ROOT / "experiments" / f"{name}.py"))


def run_main(main: Callable[[list[str]], int], out: Path, *argv: object) -> dict[str, Any]:
    """Runs a command line that ends well; returns its summary."""
    assert main([str(x) for x in (*argv, "--out", out)]) == 0
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def remains(out: Path) -> tuple[Any, ...]:
    """All that a run leaves, without times and without its own command."""
    tree, attributes = checkpoint.read(out / "checkpoint.h5")
    for name in ("seconds", "waited"):
        tree["state"]["position"].pop(name)
    summary = json.loads((out / "summary.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for record in (*lines, summary, attributes):
        for name in ("seconds", "options", "data_wait", "commit", "command"):
            record.pop(name, None)
    return bits(tree), attributes, lines, summary


def bits(tree: Any) -> Any:
    """The same tree, with arrays as what can be compared."""
    if isinstance(tree, dict):
        return {name: bits(leaf) for name, leaf in tree.items()}
    return (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree
