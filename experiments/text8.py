"""text8, 100 million characters of Wikipedia: bits per character of a language model.

    python experiments/text8.py --data DIR --preset zoneout_lstm
    python experiments/text8.py --smoke                        no data needed

--data is the folder that holds the file text8, or a file of that form. The first 90 % of it are
for training, the next 5 % for validation, the last 5 % are the test set.

The presets have the options of the script of Krueger et al. 2017, arXiv:1606.01305v4: one layer of
1,000 units, chunks of 180 characters that all begin at one learned state. What char_ptb.py lists
differs here too: the clipping, --epochs, 100 for 2,000, what a probability is of, and how W_ih and
the decoder start. The blocks of the authors' rule would be single entries for 27 characters and
1,000 units, which have no common divisor; nn.BlockOrthogonal refuses that. Nothing is published for
the GRU and the simple RNN.
"""

from __future__ import annotations

import sys
from functools import partial

from nnseq.data.text8 import text8
from nnseq.language.options import parse_language
from nnseq.language.task import LanguageTask, Text
from nnseq.train import run

TEXT8 = Text("text8", "text8", "the file text8", 27, text8)

LSTM = {"model": "lstm", "seq_len": 180}
PRESETS = {
    "lstm": LSTM,
    "zoneout_lstm": {**LSTM, "zoneout_c": 0.2, "zoneout_h": 0.2},
    "zoneout_gru": {**LSTM, "model": "gru", "zoneout_h": 0.2},
    "zoneout_srnn": {**LSTM, "model": "srnn", "zoneout_h": 0.2},
    "weight_noise": {**LSTM, "weight_noise": 0.075},
    "norm_stabilizer": {**LSTM, "norm_coef": 50.0, "norm_divisor": "states"},
    "igate_dropout": {**LSTM, "p_drop_igate": 0.5},
}
PUBLISHED = {"zoneout_lstm": "test bpc 1.36 (authors' repository)"}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parse_language("text8", argv, __doc__ or "", presets=PRESETS, published=PUBLISHED)
    return run("text8", options, partial(LanguageTask, text=TEXT8))


if __name__ == "__main__":
    sys.exit(main())
