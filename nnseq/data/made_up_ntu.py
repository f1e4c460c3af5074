"""Small made-up NTU RGB+D, for `--smoke` and tests: stick figures that wave, kick, bow and meet.

The formats are the real ones, the actions are not: nothing measured on them says anything about the
real data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnseq.data.ntu import ENDINGS, stem_of
from nnseq.data.ntu_files import BENCHMARKS, JOINTS, SPLITS, Name, split_of

# fmt: off
STANDING = np.array([  # x to the side, y up, z away, of the 25 joints, in metres
    [0, 0, 0], [0, .3, 0], [0, .6, 0], [0, .75, 0],  # spine, neck, head
    [-.2, .5, 0], [-.25, .25, 0], [-.27, 0, 0], [-.28, -.08, 0],  # left arm
    [.2, .5, 0], [.25, .25, 0], [.27, 0, 0], [.28, -.08, 0],  # right arm
    [-.1, -.02, 0], [-.12, -.4, 0], [-.12, -.8, 0], [-.12, -.85, -.1],  # left leg
    [.1, -.02, 0], [.12, -.4, 0], [.12, -.8, 0], [.12, -.85, -.1],  # right leg
    [0, .5, 0], [-.29, -.15, 0], [-.25, -.1, -.03], [.29, -.15, 0], [.25, -.1, -.03],
])
# fmt: on
LEFT_ARM, RIGHT_ARM = [5, 6, 7, 21, 22], [9, 10, 11, 23, 24]
LEFT_LEG, RIGHT_LEG, TRUNK = [13, 14, 15], [17, 18, 19], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20]
SIDEWAYS, FORWARD = (0, 1), (1, 2)  # the plane of a turn
MOVES = {  # action → what turns, about which joint (from 0), how far in radians, in which plane
    23: (LEFT_ARM, 4, -2.0, SIDEWAYS),
    24: (RIGHT_LEG, 16, 1.2, FORWARD),
    31: (RIGHT_ARM, 8, 1.5, SIDEWAYS),
    35: (TRUNK, 1, 1.0, FORWARD),
    51: (LEFT_LEG, 12, 1.2, FORWARD),  # with a second person, who walks up
}
FIRST_WITH_TWO = 50  # actions 50 to 60 have two persons
PERFORMERS = (1, 2, 3, 6)  # two to train on and two to test on
SHORTEST, LONGEST = 8, 44  # frames: below 20, below 40 and above, the three kinds of a crop


def made_up_ntu(folder: Path, rng: np.random.Generator) -> None:
    """Writes 60 clips as the .npy files of both benchmarks: five actions, four persons.

    Args:
        folder: must exist.
        rng: where lengths, places, sizes and speeds come from.
    """
    names = [Name(1, c, p, 1, a) for c in (1, 2, 3) for p in PERFORMERS for a in MOVES]
    clips = np.zeros((len(names), LONGEST, 2, JOINTS, 3), np.float16)
    lengths = rng.permutation(np.linspace(SHORTEST, LONGEST, len(names)).astype(int))
    for clip, name, n in zip(clips, names, lengths, strict=True):
        bodies = figures(rng, name.action, int(n))
        clip[:n, : bodies.shape[1]] = bodies
    labels = np.array([name.action - 1 for name in names])
    for benchmark in BENCHMARKS:
        for split in SPLITS:
            chosen = np.array([split_of(name, benchmark) == split for name in names])
            x = clips[chosen].reshape(chosen.sum(), LONGEST, 2 * JOINTS, 3)
            arrays = (x, labels[chosen], lengths[chosen])
            for ending, array in zip(ENDINGS, arrays, strict=True):
                path = folder / f"{stem_of(split, benchmark)}{ending}.npy"
                np.save(path, array, allow_pickle=False)


def figures(rng: np.random.Generator, action: int, T: int) -> np.ndarray:
    """Draws one performance of an action.

    Args:
        rng: where size, place, speed and noise come from.
        action: one of MOVES.
        T: frames.

    Returns:
        (T, 1 or 2, 25, 3) metres, as a camera sees it.
    """
    part, about, angle, plane = MOVES[action]
    turn = angle * np.sin(np.linspace(0, rng.uniform(2, 4), T)) ** 2  # there and back
    x = np.broadcast_to(STANDING, (T, JOINTS, 3)).copy()
    x[:, part] = turned(x[:, part], STANDING[about], turn, plane)
    bodies = [x]
    if action >= FIRST_WITH_TWO:
        walk = np.linspace(1.2, 0.6, T)[:, None, None] * np.array([1, 0, 0])
        bodies.append(STANDING * 0.95 + walk)
    seen: np.ndarray = np.stack(bodies, axis=1) * rng.uniform(0.9, 1.1)
    seen += rng.normal(0, 0.01, seen.shape)
    seen += np.array([rng.uniform(-0.5, 0.5), 0.2, rng.uniform(2.5, 3.5)])
    return seen


def turned(
    x: np.ndarray, about: np.ndarray, angle: np.ndarray, axes: tuple[int, int]
) -> np.ndarray:
    """Turns joints (T, J, 3) about a point by an angle (T,) in the plane of two axes."""
    y: np.ndarray = x - about
    i, j = axes
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    first, second = y[..., i].copy(), y[..., j].copy()
    y[..., i], y[..., j] = c * first - s * second, s * first + c * second
    y += about
    return y


def write_skeleton(path: Path, bodies: dict[str, tuple[int, np.ndarray]], T: int) -> None:
    """Writes a .skeleton file.

    Args:
        path: where to.
        bodies: the identity of each → the frame it is first seen in, and its (frames, 25, 3) places
            from there on.
        T: frames of the clip; a frame may see no body.
    """
    lines = [str(T)]
    for t in range(T):
        seen = {
            identity: x[t - start]
            for identity, (start, x) in bodies.items()
            if start <= t < start + len(x)
        }
        lines.append(str(len(seen)))
        for identity, joints in seen.items():
            lines += [f"{identity} 0 1 1 1 1 0 0.02764709 0.05745083 2", str(JOINTS)]
            lines += [
                f"{x:.7g} {y:.7g} {z:.7g} 277.3 190.9 1036.2 519.2 0.21 -0.03 0.98 -0.02 2"
                for x, y, z in joints
            ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
