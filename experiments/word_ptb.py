"""Words of the Penn Treebank: perplexity of a language model, static and dynamic.

    python experiments/word_ptb.py --data DIR --preset indrnn_dense --epochs 10
    python experiments/word_ptb.py --data DIR --preset indrnn_dense --eval --load_weight best.h5 \\
        --dynamic_eval --dynamic_grid
    python experiments/word_ptb.py --smoke                        no data needed

The IndRNN family is that of Li et al. 2018, arXiv:1803.04831v3, and Li et al. 2019,
arXiv:1910.06251, with the options of their PyTorch scripts. --dynamic_lr and --dynamic_decay are by
default the best of the grid in their log; nnseq/language/dynamic_evaluation.py says what they do.

The LSTMs have the options of the script of Krueger et al. 2017, arXiv:1606.01305v4: one layer of
256 units, streams in windows of 35 words, the norm clipped at 10. Words are embedded in 256
dimensions, where the script has one-hot vectors of 10,000; W_hh starts orthogonal, where the script
has uniform weights of a width that it leaves open; a gradient is clipped, there Adam's step;
--epochs is 100, there 2,000, --momentum 0, there 0.99. Its --z_prob_... are chances to UPDATE;
--zoneout_c and --zoneout_h are chances to keep the old value. Its --stoch_depth and --gaussian_drop
need a class that it lacks, and are left out; --norm_coef divides as its norm stabiliser does with
--norm_divisor differences. At the start of an epoch each stream goes on from the last state of the
stream before it; here all begin from zero. And the state is set to zero at one window in fifty:
evaluation begins there, and a model that was nowhere near it since its first step does not know it
(`--preset lstm --hidden_size 128 --embed_size 128` after 400 steps, on the first 400 lines of
valid: perplexity 497, but 1,645 with --reset_every 0).
"""

from __future__ import annotations

import sys
from functools import partial

from nnseq.data.penn_treebank import ptb_words
from nnseq.language.options import parse_language
from nnseq.language.task import LanguageTask, Text
from nnseq.train import run

FILES = "ptb.train.txt, ptb.valid.txt and ptb.test.txt"
WORDS = Text("the Penn Treebank's words", "ptb", FILES, 10_000, ptb_words, is_of_words=True)

INDRNN = {"U_bound": 0.99, "patience": 200, "seq_len": 50, "batch_size": 128, "embed_size": 600}
INDRNN |= {"p_words": 0.65, "p_head": 0.65, "p_embedding": 0.2, "tied": True}
LSTM = {"model": "lstm", "hidden_size": 256, "embed_size": 256, "batching": "streams"}
LSTM |= {"seq_len": 35, "batch_size": 20, "eval_batch_size": 10, "clip_norm": 10.0}
DENSE = {"growth_rate": 256, "block_config": "8,6,4", "small_norm_init": True}
DENSE |= {"p_drop": 0.5, "p_drop_inner": 0.1, "p_drop_transition": 0.4}
RESIDUAL = {"hidden_size": 2000, "num_blocks": 5, "p_drop": 0.45, "p_drop_last": 0.5}
PRESETS = {
    "indrnn_residual": {"model": "indrnn_residual", **INDRNN, **RESIDUAL},
    "indrnn_dense": {"model": "indrnn_dense", **INDRNN, **DENSE},
    "zoneout_lstm": {**LSTM, "zoneout_c": 0.5, "zoneout_h": 0.05},
    "lstm": LSTM,
}
PUBLISHED = {
    "indrnn_residual": "test ppl 58.99 (Li et al. 2019, 12 layers); 58.02 (authors' log)",
    "indrnn_dense": "test ppl 56.37, with dynamic evaluation 50.97 (Li et al. 2019)",
    "zoneout_lstm": "test ppl 77.4 (Li et al. 2018, table 3)",
    "lstm": "test ppl 114.5 (Li et al. 2018, table 3)",
}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_language("word_ptb", argv, __doc__ or "", presets=PRESETS, published=PUBLISHED)
    return run("word_ptb", options, partial(LanguageTask, text=WORDS))


if __name__ == "__main__":
    sys.exit(main())
