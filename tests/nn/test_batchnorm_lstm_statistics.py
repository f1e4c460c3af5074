"""BatchNormLSTM's running statistics: what moves them, and which of them evaluation uses."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq.cells.lstm_batchnorm import lstm_batchnorm
from nnseq.tensor import no_grad

from .batchnorm_lstm_layers import W, X, make, statistics, trained
from .layers import LENGTHS, B, D, H, T, close, draw, outputs


def test_every_step_and_both_products_have_statistics_of_their_own():
    layer = trained(make())
    for running in statistics(layer)[:2]:
        assert running.shape == (T, 9 * H)
        assert (np.abs(np.diff(running, axis=0)) > 1e-6).all()
        assert (np.abs(running[:, X] - running[:, W]) > 1e-6).all()


@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_the_first_batch_sets_the_statistics_and_later_ones_move_them(momentum):
    layer = make() if momentum == 0.1 else make(momentum=momentum)  # the default, and another
    found = []
    for k in range(3):
        one = make(momentum=1.0)
        x = draw(20 + k, T, 6, D)
        one(x)
        layer(x)
        found.append(statistics(one)[:2])
    expected = found[0]
    for batch in found[1:]:
        expected = [(1 - momentum) * s + momentum * b for s, b in zip(expected, batch, strict=True)]
    for s, right in zip(statistics(layer)[:2], expected, strict=True):
        close(s, right)


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"num_layers": 2}])
def test_evaluation_gives_what_training_gave_once_the_averages_have_converged(options):
    layer, x = make(momentum=1.0, **options), draw(1, T, 6, D)
    expected = outputs(layer(x))
    for a, b in zip(outputs(layer.eval()(x)), expected, strict=True):
        close(a.data, b.data)
    slow = make(momentum=0.3, **options)
    slow(draw(2, T, 6, D))  # the averages begin with another batch's
    for _ in range(80):
        slow(x)
    # 0.7^80 = 4e-13 of that batch's statistics is left; rows of small variance enlarge it.
    for a, b in zip(outputs(slow.eval()(x)), expected, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=1e-9)


def test_evaluation_is_not_yet_what_training_gave_before_the_averages_have_converged():
    layer, x = make(momentum=0.3), draw(1, T, 6, D)
    layer(draw(2, T, 6, D))
    for _ in range(5):
        expected = layer(x)[0].data
    assert np.abs(layer.eval()(x)[0].data - expected).max() > 1e-3


def test_evaluation_beyond_the_trained_length_uses_the_last_trained_step():
    layer = trained(make(num_steps=6), steps=3)
    mean, var, steps = statistics(layer)
    assert steps == 3
    assert not mean[3:].any()  # never reached: as they began
    assert (var[3:] == 1).all()
    x, rows = draw(9, 8, B, D), [0, 1, 2, 2, 2, 2, 2, 2]
    d = layer.directions[0]
    parameters = [getattr(d, n).data for n in ("W_hh", "b", "gamma_x", "gamma_h", "gamma_c")]
    zeros = np.zeros((B, H))
    expected = lstm_batchnorm(
        x @ d.W_ih.data, *parameters, d.beta_c.data, zeros, zeros, None, None, None,
        mean[rows], var[rows],
    )  # fmt: skip
    close(layer(x)[0].data, expected[0])
    assert (statistics(layer)[0] == mean).all()  # evaluation moves nothing


def test_training_beyond_num_steps_uses_the_batch_and_moves_no_row():
    long, short = make(num_steps=6, momentum=0.25), make(num_steps=2, momentum=0.25)
    for k in range(3):
        x = draw(1 + k, 4, 6, D)
        np.testing.assert_array_equal(short(x)[0].data, long(x)[0].data)
    (mean, var, _), (few, few_var, steps) = statistics(long), statistics(short)
    assert steps == 2
    np.testing.assert_array_equal(few, mean[:2])
    np.testing.assert_array_equal(few_var, var[:2])


def test_training_between_the_trained_length_and_num_steps_starts_new_rows():
    layer, first, second = make(num_steps=6), make(num_steps=6), make(num_steps=6)
    x, longer = draw(1, 2, 6, D), draw(2, 4, 6, D)
    layer(x)
    layer(longer)
    first(x)
    second(longer)
    assert statistics(layer)[2] == 4
    for s, old, new in zip(*(statistics(k)[:2] for k in (layer, first, second)), strict=True):
        close(s[:2], 0.9 * old[:2] + 0.1 * new[:2])
        close(s[2:4], new[2:4])  # their first statistics, whatever the momentum
        np.testing.assert_array_equal(s[4:], old[4:])  # never reached


def test_a_short_batch_after_a_long_one_leaves_the_later_rows_and_their_number():
    layer, short = make(), make()
    layer(draw(1, T, 6, D))
    before, x = statistics(layer), draw(2, 2, 6, D)
    layer(x)
    short(x)
    after = statistics(layer)
    assert (before[2], after[2], statistics(short)[2]) == (T, T, 2)
    for s, old, new in zip(after[:2], before[:2], statistics(short)[:2], strict=True):
        close(s[:2], 0.9 * old[:2] + 0.1 * new[:2])
        np.testing.assert_array_equal(s[2:], old[2:])
    assert (layer.eval()(draw(3, T, B, D))[0].data[2:] != 0).any()


def test_padded_steps_have_no_part_and_a_step_of_one_sequence_moves_nothing():
    layer, x = make(), draw(1, T, B, D)
    layer(x, lengths=LENGTHS)  # 3, 2, 1 and 1 sequences
    mean, var, steps = statistics(layer)
    W_ih = layer.directions[0].W_ih.data
    assert steps == 2
    close(mean[0, X], (x[0] @ W_ih).mean(axis=0))
    close(mean[1, X], (x[1, :2] @ W_ih).mean(axis=0))
    close(var[1, X], (x[1, :2] @ W_ih).var(axis=0))
    assert not mean[2:].any()
    layer(draw(2, T, B, D))  # now the others have their first statistics
    only = make()
    only(draw(2, T, B, D))
    after = statistics(layer)
    assert after[2] == T
    for s, first in zip(after[:2], statistics(only)[:2], strict=True):
        close(s[2:], first[2:])
    close(after[0][:2], 0.9 * mean[:2] + 0.1 * statistics(only)[0][:2])


def test_a_never_trained_layer_evaluates_with_mean_0_and_variance_1():
    layer, x = make().eval(), draw(1, T, B, D)
    told = make(num_steps=1).eval()
    np.testing.assert_array_equal(layer(x)[0].data, told(x)[0].data)
    assert np.isfinite(layer(x)[0].data).all()


def test_the_reverse_direction_counts_steps_from_each_sequences_end():
    lengths = [2, 4, 3, 4]
    x = draw(1, T, 4, D)
    back, ahead = make(reverse=True), make()
    y, _, c = back(x, lengths=lengths, return_cells=True)
    turned = np.zeros_like(x)  # each sequence the other way round, from step 0 on
    for b, n in enumerate(lengths):
        turned[:n, b] = x[:n, b][::-1]
    right, _, right_c = ahead(turned, lengths=lengths, return_cells=True)
    for found, expected in ((y, right), (c, right_c)):
        for b, n in enumerate(lengths):
            close(found.data[:n, b], expected.data[:n, b][::-1])
    for a, b in zip(statistics(back), statistics(ahead), strict=True):
        close(a, b)
    assert statistics(back)[2] == 4  # 4, 4, 3 and 2 sequences


def test_a_mask_with_gaps_counts_the_steps_that_count():
    mask = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 1]], bool)
    x, short = draw(1, T, 3, D), np.zeros((T, 3, D))
    for b in range(3):
        short[: mask[:, b].sum(), b] = x[mask[:, b], b]
    gaps, packed = make(), make()
    y = gaps(x, mask=mask)[0].data
    expected = packed(short, lengths=mask.sum(axis=0))[0].data
    for b in range(3):
        close(y[mask[:, b], b], expected[: mask[:, b].sum(), b])
    assert (y[~mask] == 0).all()
    for a, b in zip(statistics(gaps), statistics(packed), strict=True):
        close(a, b)


def test_statistics_are_learned_without_a_tape_too_and_have_no_gradient():
    layer, other, x = make(), make(), draw(1, T, B, D)
    with no_grad():
        layer(x)
    y, _ = other(x)
    y.backward(draw(2, *y.shape))
    for a, b in zip(statistics(layer), statistics(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [name for name, _ in layer.named_buffers()] == [
        f"directions.0.{name}" for name in ("running_mean", "running_var", "trained_steps")
    ]


def test_noise_on_the_initial_state_gives_it_a_variance_in_training_alone():
    x = np.repeat(draw(1, T, 1, D), 500, axis=1)  # the same for the whole batch
    quiet, noisy = make(), make(initial_noise=0.3)
    rng = np.random.default_rng(3)
    noisy(x, rng=rng)
    quiet(x)
    assert (statistics(quiet)[1] < 1e-25).all()
    W_hh = noisy.directions[0].W_hh.data
    expected = 0.09 * (W_hh**2).sum(axis=0)
    # A variance from 500 draws has a relative deviation of √(2 / 500) = 0.06; this is five of them.
    np.testing.assert_allclose(statistics(noisy)[1][0, W], expected, rtol=0.3)
    noise = 0.3 * np.random.default_rng(3).standard_normal((500, H))
    close(statistics(noisy)[0][0, W], (noise @ W_hh).mean(axis=0))
    noisy.eval()
    np.testing.assert_array_equal(noisy(x)[0].data, noisy(x)[0].data)
    with pytest.raises(TypeError, match="BatchNormLSTM with initial_noise in training: rng is"):
        noisy.train()(x)
