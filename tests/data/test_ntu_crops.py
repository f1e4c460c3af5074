"""nnseq.data.ntu_crops: increasing frames, each reachable, none of the padding; true rotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.files import DataError
from nnseq.data.ntu import NTU
from nnseq.data.ntu_crops import (
    BLANK,
    crop_indices,
    crops,
    random_length,
    rotate,
    rotations,
)
from tests.strategies import seeds


def padded(lengths: list[int]) -> NTU:
    """Clips whose coordinates say (clip, frame + 1), with nan behind each length."""
    N, T_max = len(lengths), max(lengths) + 2
    clips = np.full((N, T_max, 150), np.nan)
    for i, n in enumerate(lengths):
        clips[i, :n, ::2] = i
        clips[i, :n, 1::2] = np.arange(1, n + 1)[:, None]
    return NTU(clips, np.arange(N), np.array(lengths), ("train_ntus.npy",), (), Path("there"))


# ---- which frames -----------------------------------------------------------------------------


@given(seeds, st.integers(1, 9), st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_frames_increase_and_are_the_clips_own(seed: int, T: int, lengths: list[int]) -> None:
    n = np.array(lengths)
    frames = crop_indices(np.random.default_rng(seed), n, T)
    assert frames.shape == (T, len(n))
    for b, length in enumerate(lengths):
        shown = frames[frames[:, b] != BLANK, b]
        assert len(shown) > 0
        assert (np.diff(shown) >= 1).all()
        assert shown.min() >= 0
        assert shown.max() < length
        if length > T:
            assert len(shown) == T


@given(seeds, st.integers(1, 7), st.integers(2, 5), st.integers(0, 6))
def test_each_frame_of_a_long_clip_is_of_its_own_segment(
    seed: int, T: int, width: int, over: int
) -> None:
    n = width * T + over % T
    frames = crop_indices(np.random.default_rng(seed), np.array([n]), T)[:, 0]
    for t, frame in enumerate(frames):
        end = (t + 1) * width if t < T - 1 else n
        assert t * width <= frame < end


@given(seeds, st.integers(2, 9), st.data())
def test_a_clip_of_less_than_two_a_step_is_cut_in_one_piece(
    seed: int, T: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(T + 1, 2 * T - 1))
    frames = crop_indices(np.random.default_rng(seed), np.array([n]), T)[:, 0]
    np.testing.assert_array_equal(np.diff(frames), 1)


@given(seeds, st.integers(1, 9), st.data())
def test_a_short_clip_is_shown_in_one_piece_between_blanks(
    seed: int, T: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, T))
    frames = crop_indices(np.random.default_rng(seed), np.array([n]), T)[:, 0]
    at = np.flatnonzero(frames != BLANK)
    np.testing.assert_array_equal(np.diff(at), 1)
    np.testing.assert_array_equal(np.diff(frames[at]), 1)
    assert at[0] <= max(T - n, T // 4)
    if at[0] <= T - n:
        np.testing.assert_array_equal(frames[at], np.arange(n))  # all of it fits
    else:
        assert at[-1] == T - 1  # what does not fit is cut, not shifted


@pytest.mark.parametrize("n", [1, 3, 7, 8, 9, 12, 15, 16, 17, 31, 40])
def test_every_frame_is_reached_about_as_often_as_it_should_be(n: int) -> None:
    T, draws = 8, 4000
    frames = crop_indices(np.random.default_rng(0), np.full(draws, n), T)
    count = np.array([(frames == frame).sum() for frame in range(n)]) / draws
    expected = np.zeros(n)
    if n >= 2 * T:
        w = n // T
        for t in range(T):
            end = (t + 1) * w if t < T - 1 else n
            expected[t * w : end] += 1 / (end - t * w)
    elif n > T:
        for start in range(n - T + 1):
            expected[start : start + T] += 1 / (n - T + 1)
    else:
        starts = range(max(T - n, T // 4) + 1)
        for s in starts:
            skips = range(max(0, s + n - T) + 1)
            for d in skips:
                expected[d : d + min(n, T - s)] += 1 / len(starts) / len(skips)
    np.testing.assert_allclose(count, expected, atol=0.05)
    assert (count > 0).all()


def test_clips_of_one_batch_are_drawn_apart() -> None:
    frames = crop_indices(np.random.default_rng(0), np.full(5, 100), 10)
    assert len({tuple(column) for column in frames.T}) == 5


@pytest.mark.parametrize(("lengths", "T"), [([3, 0], 5), ([3, 4], 0), ([-1], 2)])
def test_impossible_sizes_are_refused(lengths: list[int], T: int) -> None:
    with pytest.raises(ValueError, match=f"crop_indices: T = {T} and lengths from .* came"):
        crop_indices(np.random.default_rng(0), np.array(lengths), T)


# ---- what is cut ------------------------------------------------------------------------------


@given(seeds, st.integers(1, 9))
def test_crops_show_the_frames_that_were_drawn_and_never_the_padding(seed: int, T: int) -> None:
    data = padded([1, 30, 9, 12, 4])
    indices = np.array([3, 0, 1, 3])
    x = crops(np.random.default_rng(seed), data, indices, T)
    frames = crop_indices(np.random.default_rng(seed), data.lengths[indices], T)
    assert x.shape == (T, 4, 150)
    assert x.dtype == np.float32
    shown = frames != BLANK
    np.testing.assert_array_equal(x[..., 0], np.where(shown, indices, 0))
    np.testing.assert_array_equal(x[..., 149], frames + 1)  # BLANK + 1 is 0
    np.testing.assert_array_equal(x[..., 1::2], np.repeat(x[..., 1:2], 75, axis=-1))


def test_crops_of_a_mapped_file_of_half_floats_are_single_ones(tmp_path: Path) -> None:
    data = padded([5, 7])
    np.save(tmp_path / "x.npy", np.nan_to_num(data.clips).astype(">f2"))
    mapped = data._replace(clips=np.load(tmp_path / "x.npy", mmap_mode="r"))
    x, y = (crops(np.random.default_rng(1), d, np.array([1, 0]), 3) for d in (mapped, data))
    np.testing.assert_array_equal(x, y)
    assert x.dtype == np.float32
    assert type(x) is np.ndarray
    x[0] = 1  # its own memory


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_named(bad: float) -> None:
    data = padded([5, 6])
    data.clips[1, 4, 77] = bad
    with pytest.raises(DataError, match=r"^there/train_ntus\.npy, clip 1, frame 4: a coord"):
        crops(np.random.default_rng(0), data, np.array([0, 1]), 6)


def test_an_overflow_in_float32_is_named_too() -> None:
    data = padded([5])
    data.clips[0, 2, 3] = 1e300
    with np.errstate(over="ignore"), pytest.raises(DataError, match="clip 0, frame 2"):
        crops(np.random.default_rng(0), data, np.array([0]), 5)


# ---- rotation ---------------------------------------------------------------------------------


def test_the_matrices_turn_first_about_x_then_about_y() -> None:
    R = rotations(np.array([np.pi / 2, 0, np.pi / 2]), np.array([0, np.pi / 2, np.pi / 2]))
    x, y, z = np.eye(3)
    np.testing.assert_allclose(R[0] @ y, z, atol=1e-15)
    np.testing.assert_allclose(R[0] @ x, x, atol=1e-15)
    np.testing.assert_allclose(R[1] @ z, x, atol=1e-15)
    np.testing.assert_allclose(R[1] @ y, y, atol=1e-15)
    np.testing.assert_allclose(R[2] @ y, x, atol=1e-15)  # y → z → x


@given(seeds)
def test_a_rotation_keeps_distances_angles_and_hands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 3, 150))
    before = x.copy()
    y = rotate(rng, x).reshape(4, 3, 50, 3)
    np.testing.assert_array_equal(x, before)
    x = x.reshape(y.shape)
    np.testing.assert_allclose(y @ y.swapaxes(2, 3), x @ x.swapaxes(2, 3), atol=1e-12)
    np.testing.assert_allclose(
        np.linalg.det(y[..., :3, :]), np.linalg.det(x[..., :3, :]), atol=1e-12
    )


def test_clips_turn_whole_half_of_them_and_by_each_pair_of_angles() -> None:
    clips = 4000
    x = np.zeros((2, clips, 150), np.float32)
    x[..., :9] = np.eye(3).ravel()
    y = rotate(np.random.default_rng(0), x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y[0], y[1])
    assert not y[..., 9:].any()  # what is not seen stays zeros
    angle = np.pi / 4
    R = rotations(np.array([0, angle, 0, angle]), np.array([0, 0, angle, angle]))
    turned = np.moveaxis(R, 1, 2).reshape(4, 9)  # where the three axes go, one behind the other
    share = [np.isclose(y[0, :, :9], row, atol=1e-6).all(axis=1).mean() for row in turned]
    np.testing.assert_allclose(share, [5 / 8, 1 / 8, 1 / 8, 1 / 8], atol=0.03)
    assert abs(sum(share) - 1) < 1e-9


def test_one_clip_turns_as_a_batch_of_one() -> None:
    x = np.random.default_rng(0).normal(size=(5, 150))
    for seed in range(8):
        one = rotate(np.random.default_rng(seed), x)
        batch = rotate(np.random.default_rng(seed), x[:, None])
        np.testing.assert_array_equal(one, batch[:, 0])


# ---- lengths ----------------------------------------------------------------------------------


@given(seeds, st.integers(5, 40))
def test_random_lengths_stay_in_their_range(seed: int, T: int) -> None:
    rng = np.random.default_rng(seed)
    assert all(5 <= random_length(rng, T) <= 40 for _ in range(20))


def test_random_lengths_are_about_the_usual_one_and_spread_by_std() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_length(rng, 20) for _ in range(4000)])
    assert abs(drawn.mean() - 19.5) < 0.3  # decimals are dropped
    assert abs(drawn.std() - 5) < 0.3
    assert {random_length(rng, 20, std=0.0) for _ in range(5)} == {20}


def test_a_length_outside_is_drawn_once_more() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_length(rng, 10, low=12) for _ in range(4000)]
    outside = 0.6554  # P(10 + 5 z < 12)
    assert abs(drawn.count(10) / 4000 - outside**2) < 0.03


def test_a_length_outside_twice_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    drawn = {random_length(rng, 3, std=1.0, low=50, high=60) for _ in range(20)}
    assert drawn == {3}
