"""Which parameters weight decay leaves alone."""

from __future__ import annotations

from collections.abc import Callable

STATES = ("u", "h0", "c0")
BIASES = ("b", "bias", "beta")  # b, b_hn, bias_x, beta_c, ...
GAINS = ("gamma", "gain")


def no_decay(*, bn_decay: bool = False) -> Callable[[str], bool]:
    """Return a choice of parameters for an optimiser's no_decay, by the last part of their names.

        optimizer = Adam(model.named_parameters(), lr, weight_decay=1e-4, no_decay=[no_decay()])

    Left alone are recurrent weights u, which a decay would make forget; initial states; all biases,
    β of batch norm among them; and the γ of normalisations, unless bn_decay. Weight matrices
    decay, embeddings among them. The IndRNN authors' programs do so for language (γ alone by a
    flag) and actions; the one for pixels decays γ.
    """

    def is_left_alone(name: str) -> bool:
        own = name.rpartition(".")[2]
        stem = own.partition("_")[0]
        return own in STATES or stem in BIASES or (stem in GAINS and not bn_decay)

    return is_left_alone
