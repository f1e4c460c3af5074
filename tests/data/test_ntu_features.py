"""nnseq.data.ntu_features: true distances, 39 lines, nothing changed by walking and turning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.ntu_crops import rotations
from nnseq.data.ntu_features import BLOCK, LI_LINES, LINES, line_distances
from tests.strategies import seeds

# Left and right of the body, joints counted from 1 as in the data set's description.
MIRROR = {5: 9, 6: 10, 7: 11, 8: 12, 22: 24, 23: 25, 13: 17, 14: 18, 15: 19, 16: 20}
MIRROR |= {right: left for left, right in MIRROR.items()}


def skeleton(places: dict[int, tuple[float, ...]]) -> np.ndarray:
    """(75,) one skeleton with a few joints (from 0) away from the origin."""
    x = np.zeros((25, 3))
    for joint, place in places.items():
        x[joint] = place
    return x.ravel()


def straight(x: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """The distances by a cross product, line after line."""
    p = x.reshape(-1, 25, 3)
    features = []
    for P, Q in lines:
        along = p[:, Q] - p[:, P]
        area = np.linalg.norm(np.cross(p - p[:, [P]], along[:, None]), axis=2)  # (M, 25)
        height = area / np.linalg.norm(along, axis=1, keepdims=True)
        features += [height[:, J] for J in range(25) if J not in (P, Q)]
    return np.stack(features, axis=1)


# ---- distances --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("P", "Q", "J", "distance"),
    [
        ((0, 0, 0), (3, 0, 0), (0, 4, 0), 4),  # 3, 4, 5 with its right angle on the line
        ((0, 0, 0), (0, 5, 0), (0, 1.8, 2.4), 2.4),  # 3, 4, 5 seen from its longest side
        ((1, 1, 1), (1, 1, 3), (1, 1, 2), 0),  # between the two
        ((1, 1, 1), (1, 1, 3), (1, 1, 9), 0),  # beyond them
        ((0, 0, 1), (2, 0, 1), (7, 0, 4), 3),  # beyond them and beside
        ((0, 0, 0), (2, 0, 0), (1, 3**0.5, 0), 3**0.5),  # three equal sides
        ((1, 2, 3), (1, 2, 3), (4, 5, 6), 0),  # no line
    ],
)
def test_distances_of_triangles_made_by_hand(
    P: tuple[float, ...], Q: tuple[float, ...], J: tuple[float, ...], distance: float
) -> None:
    x = skeleton({3: P, 8: Q, 5: J})
    y = line_distances(x, lines=np.array([[3, 8]]))
    assert y.shape == (23,)
    beside = [j for j in range(25) if j not in (3, 8)]
    assert abs(y[beside.index(5)] - distance) < 1e-7


@given(seeds, st.sampled_from([(), (3,), (4, 3)]), st.integers(1, 2))
def test_distances_are_those_of_a_cross_product(
    seed: int, shape: tuple[int, ...], bodies: int
) -> None:
    x = np.random.default_rng(seed).normal(size=(*shape, bodies * 75))
    y = line_distances(x)
    assert y.shape == (*shape, bodies * 897)
    expected = straight(x, LINES).reshape(*shape, bodies * 897)
    np.testing.assert_allclose(y, expected, atol=1e-6)  # the root of 1e-12 where all but on it


@pytest.mark.parametrize("count", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_blocks_leave_no_trace(count: int) -> None:
    x = np.random.default_rng(1).normal(size=(count, 75)).astype(np.float32)
    y = line_distances(x)
    assert y.dtype == np.float32
    assert y.shape == (count, 897)
    for i in (0, BLOCK - 2, count - 1):
        np.testing.assert_array_equal(y[i], line_distances(x[i]))
    np.testing.assert_allclose(y, straight(x.astype(float), LINES), atol=2e-3)  # √eps of float32


@given(seeds)
def test_walking_and_turning_change_no_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 150))
    R = rotations(*rng.uniform(-np.pi, np.pi, (2, 1)))[0]
    moved = (x.reshape(3, 50, 3) @ R.T + rng.uniform(-4, 4, 3)).reshape(3, 150)
    np.testing.assert_allclose(line_distances(moved), line_distances(x), atol=1e-6)


def test_a_body_that_is_not_seen_has_distances_of_zero_and_stretching_stretches() -> None:
    x = np.random.default_rng(2).normal(size=(4, 150))
    x[:, 75:] = 0
    with np.errstate(all="raise"):
        y = line_distances(x)
    assert not y[:, 897:].any()
    assert (y[:, :897] > 0).all()
    np.testing.assert_allclose(line_distances(3 * x), 3 * y, atol=1e-6)


def test_a_joint_on_a_line_is_at_no_distance_whatever_the_rounding() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 25, 3)).astype(np.float32)
    x[:, 5] = x[:, 3] + rng.uniform(-1, 2, (500, 1)).astype(np.float32) * (x[:, 8] - x[:, 3])
    with np.errstate(all="raise"):
        y = line_distances(x.reshape(500, 75), lines=np.array([[3, 8]]))
    assert (y >= 0).all()
    assert (y[:, 4] < 5e-3).all()  # the roots of eps of float32


# ---- lines ------------------------------------------------------------------------------------


def as_sets(lines: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(int(joint) + 1 for joint in line) for line in lines}


def test_there_are_39_lines_whose_bones_join_all_joints() -> None:
    for lines in (LINES, LI_LINES):
        assert lines.shape == (39, 2)
        assert len(as_sets(lines)) == 39
        reached = {0}
        for _ in range(25):
            reached |= {int(j) for line in lines[:24] if reached & set(line) for j in line}
        assert reached == set(range(25))  # 24 lines that join 25 joints: a tree


def test_our_lines_are_the_same_on_both_sides_and_the_authors_are_not() -> None:
    def mirrored(lines: np.ndarray) -> set[frozenset[int]]:
        return {frozenset(MIRROR.get(joint, joint) for joint in line) for line in as_sets(lines)}

    assert mirrored(LINES) == as_sets(LINES)
    assert mirrored(LI_LINES) != as_sets(LI_LINES)


def test_four_lines_of_the_authors_end_at_the_shoulder_instead_of_the_hand() -> None:
    ours, theirs = as_sets(LINES), as_sets(LI_LINES)
    assert ours - theirs == {frozenset({8, end}) for end in (4, 12, 15, 19)}
    assert theirs - ours == {frozenset({5, end}) for end in (4, 12, 15, 19)}
