"""Characters of the Penn Treebank: bits per character of a language model.

    python experiments/char_ptb.py --data DIR --preset zoneout_lstm
    python experiments/char_ptb.py --data DIR --preset indrnn_dense --sample 500 --temperature 0.8
    python experiments/char_ptb.py --smoke                        no data needed

The zoneout family is that of Krueger et al. 2017, arXiv:1606.01305v4, with the options of their
script: one layer of 1,000 units, characters as one-hot vectors, chunks of 100 characters that all
begin at one state, which is learned. These differ:

- They clip the norm of Adam's STEP at 1; here it is the norm of the gradient, as for every other
  optimiser there and here.
- W_ih and the decoder start as Glorot and Bengio have it; theirs, for 50 characters, from blocks
  of 50 rows and columns, each orthogonal, as nn.BlockOrthogonal.
- --epochs is 2,000 there, 100 here, about as many as their log has; --momentum 0.99 there, 0 here.
- Their chunks of valid begin at a random offset and are shuffled, as those of train; here every
  target of valid is read once.
- Their --drop_prob_... are chances to UPDATE; here they are to keep the old value, or to drop.
- --stoch_depth, --gaussian_drop, --input_drop and --label_dim, which change nothing there, are left
  out.

They publish nothing for the GRU and the simple RNN, which have the hidden units' zoneout of the
LSTM here.

The IndRNN family is that of Li et al. 2018, arXiv:1803.04831v3, and Li et al. 2019,
arXiv:1910.06251, with the options of their PyTorch scripts: streams of text in windows of about 50
characters with the state carried, and set to zero at one window in ten; batch norm before the
recurrence, for every step since then by itself. The residual network's windows of about 150 are the
paper's. Their scripts run the dense network on characters and the residual one on words; here the
three have the embedding and the head of the former.
"""

from __future__ import annotations

import sys
from functools import partial

from nnseq.data.penn_treebank import ptb_chars
from nnseq.language.options import parse_language
from nnseq.language.task import LanguageTask, Text
from nnseq.train import run

FILES = "ptb.char.train.txt, ptb.char.valid.txt and ptb.char.test.txt"
CHARACTERS = Text("the Penn Treebank's characters", "ptb", FILES, 50, ptb_chars)

INDRNN = {"U_bound": 0.99, "patience": 200, "seq_len": 50, "batch_size": 128, "embed_size": 600}
INDRNN |= {"p_head": 0.2, "p_embedding": 0.2, "tied": True}
DENSE = {"growth_rate": 256, "block_config": "8,6,4", "small_norm_init": True}
DENSE |= {"p_drop": 0.5, "p_drop_inner": 0.1, "p_drop_transition": 0.4}
RESIDUAL = {"hidden_size": 2000, "num_blocks": 5, "p_drop": 0.45, "p_drop_last": 0.5}
PLAIN = {"hidden_size": 2000, "num_layers": 6, "p_drop": 0.25}
PRESETS = {
    "indrnn_plain6": {"model": "indrnn_plain", **INDRNN, **PLAIN},
    "indrnn_residual": {"model": "indrnn_residual", **INDRNN, **RESIDUAL, "seq_len": 150},
    "indrnn_dense": {"model": "indrnn_dense", **INDRNN, **DENSE},
    "lstm": {"model": "lstm"},
    "zoneout_lstm": {"model": "lstm", "zoneout_c": 0.5, "zoneout_h": 0.05},
    "zoneout_gru": {"model": "gru", "zoneout_h": 0.05},
    "zoneout_srnn": {"model": "srnn", "zoneout_h": 0.05},
    "weight_noise": {"model": "lstm", "weight_noise": 0.075},
    "norm_stabilizer": {"model": "lstm", "norm_coef": 50.0, "norm_divisor": "states"},
    "igate_dropout": {"model": "lstm", "p_drop_igate": 0.3},  # --drop_prob_igates 0.7 keeps
}
BARE = "of a network without tying and head"
PUBLISHED = {
    "indrnn_plain6": f"test bpc 1.26 (Li et al. 2018, table 2: 6 layers, T = 50; {BARE})",
    "indrnn_residual": f"test bpc 1.19 (Li et al. 2018, table 2: 11 layers, T = 150; {BARE})",
    "indrnn_dense": "test bpc 1.19 (Li et al. 2019, table 3: T = 50)",
    "zoneout_lstm": "test bpc 1.27 (authors' repository); valid bpc 1.3644 (its log, 110 epochs)",
}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_language("char_ptb", argv, __doc__ or "", presets=PRESETS, published=PUBLISHED)
    return run("char_ptb", options, partial(LanguageTask, text=CHARACTERS))


if __name__ == "__main__":
    sys.exit(main())
