"""Twins: faces that occur more than once, pixel for pixel or nearly so. numpy only.

Near twins are faces whose maps have a cosine of at least NEAR, one of them mirrored or not. The map
of a face is its means over 3x3 pixels, 16x16 of them, less their own mean, so brightness and
contrast do not matter. A constant image has no cosine: only identical images are its twins.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

NEAR = 0.95
BLOCK = 1024  # faces a side of a block: its products take 4 MB
DIRECTIONS = 32  # of 256; more of them screen better and take longer
ROUNDING = 1e-3  # more than float32 arithmetic can take off the bound of `_screens`


@dataclass(frozen=True, eq=False)
class Twins:
    """Which faces have a twin: bool (N,) each. Identical faces are near as well."""

    identical: np.ndarray
    near: np.ndarray


@dataclass(frozen=True, eq=False)
class Pairs:
    """Near twins, n of them: int64 (n,) indices, float32 (n,) cosine, bool (n,) mirrored."""

    first: np.ndarray
    second: np.ndarray
    cosine: np.ndarray
    mirrored: np.ndarray


def twins_in(images: np.ndarray, others: np.ndarray) -> Twins:
    """Which of ``images`` have a twin among ``others``: uint8 (N,48,48) and (M,48,48)."""
    known = {image.tobytes() for image in others}
    identical = np.array([image.tobytes() in known for image in images], bool)
    near = identical.copy()
    for pairs in near_pairs(images, others):
        near[pairs.first] = True
    return Twins(identical, near)


def constant(images: np.ndarray) -> np.ndarray:
    """Which images hold a single grey value: bool (N,)."""
    return np.ptp(images, axis=(1, 2)) == 0


def near_pairs(images: np.ndarray, others: np.ndarray | None = None) -> Iterator[Pairs]:
    """The near twins among ``images`` uint8 (N,48,48) and ``others`` (M,48,48), block by block.

    ``Pairs.first`` counts in ``images``, ``Pairs.second`` in ``others``. Without ``others`` both
    count in ``images``, and each pair comes once, ``first`` being the smaller.
    """
    maps = _maps(images)
    within, other_maps = others is None, maps if others is None else _maps(others)
    mirrored = _mirrored(other_maps)
    basis = np.linalg.eigh(maps.T @ maps)[1][:, -DIRECTIONS:]  # (256, DIRECTIONS)
    screen, other_screen, mirrored_screen = (
        _screens(m, basis) for m in (maps, other_maps, mirrored)
    )
    for i in range(0, len(maps), BLOCK):
        for j in range(i if within else 0, len(other_maps), BLOCK):
            down, across = slice(i, i + BLOCK), slice(j, j + BLOCK)
            bound = screen[down] @ other_screen[across].T
            np.maximum(bound, screen[down] @ mirrored_screen[across].T, out=bound)
            if within and i == j:
                np.fill_diagonal(bound, 0)  # a face is no twin of its own
            likely = bound >= NEAR - ROUNDING
            rows, columns = i + np.flatnonzero(likely.any(1)), j + np.flatnonzero(likely.any(0))
            if len(rows):
                pairs = _exact(maps, other_maps, mirrored, rows, columns)
                yield _ordered(pairs) if within else pairs


def _maps(images: np.ndarray) -> np.ndarray:
    """float32 (N,256), each row of length 1, or 0 for a constant image."""
    rows = images[:, 0::3].astype(np.uint16) + images[:, 1::3] + images[:, 2::3]
    sums = rows[:, :, 0::3] + rows[:, :, 1::3] + rows[:, :, 2::3]  # (N,16,16), exact
    sums[constant(images)] = 0  # their mean may not come out as their value
    return unit_rows(sums.reshape(len(images), sums.shape[1] * sums.shape[2]))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Numbers (N,n) -> float32, each row with mean 0 and length 1; 0 where it is all 0."""
    rows = rows.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=rows, where=lengths > 0)


def _mirrored(maps: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(maps.reshape(-1, 16, 16)[:, :, ::-1]).reshape(maps.shape)


def _screens(maps: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """float32 (N, DIRECTIONS + 1): coordinates along the basis, then the length of what is left.

    By the Cauchy-Schwarz inequality the product of two such rows is at least that of their maps. It
    costs an eighth and rules out nearly all pairs.
    """
    inside = maps @ basis
    rest = (maps**2).sum(axis=1) - (inside**2).sum(axis=1)
    return np.column_stack([inside, np.sqrt(rest.clip(0))])


def _exact(
    maps: np.ndarray,
    other_maps: np.ndarray,
    mirrored: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
) -> Pairs:
    """The near twins among these rows and columns."""
    straight = maps[rows] @ other_maps[columns].T
    turned = maps[rows] @ mirrored[columns].T
    cosine = np.maximum(straight, turned)
    first, second = np.nonzero(cosine >= NEAR)
    by_mirror = (turned > straight)[first, second]
    return Pairs(rows[first], columns[second], cosine[first, second], by_mirror)


def _ordered(pairs: Pairs) -> Pairs:
    kept = pairs.first < pairs.second
    return Pairs(*(values[kept] for values in vars(pairs).values()))
