"""Splits of faces -> balance of the emotions, twins, conflicting labels, constant images."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from ferspore.data.faces import Faces
from ferspore.data.twins import Pairs, constant, near_pairs
from ferspore.labels import EMOTIONS

KEPT = 10_000  # near twins kept for each pair of splits: a file of copies has millions


class Place(NamedTuple):
    """A face: its split, its number there, counted from 0, its label."""

    split: str
    number: int
    label: int


class NearPair(NamedTuple):
    first: Place
    second: Place
    cosine: float
    mirrored: bool


@dataclass(frozen=True)
class Overlap:
    """How many of the ``faces`` of ``split`` have a twin in ``other``, which may be the same split.

    near: includes ``identical``. ..._conflicting: at least one such twin has another label.
    """

    split: str
    other: str
    faces: int
    identical: int
    identical_conflicting: int
    near: int
    near_conflicting: int


@dataclass(frozen=True)
class Audit:
    """What was found.

    balance: split -> emotion -> faces.
    overlaps: every split with every split.
    groups: two or more identical faces each.
    conflicts: the groups with more than one label.
    constant: images of a single grey value.
    near: near twins that are not identical, the first KEPT of each two splits.
    """

    balance: dict[str, dict[str, int]]
    overlaps: list[Overlap]
    groups: list[list[Place]]
    conflicts: list[list[Place]]
    constant: list[Place]
    near: list[NearPair]


def audit(splits: Mapping[str, Faces]) -> Audit:
    """Compare every face, uint8 (48,48), with every other one: 5 to 8 CPU seconds for 32,000."""
    groups = _groups(splits)
    twins = _Marks(splits)
    for group in groups:
        twins.mark_group(group)
    identical = twins.counts()
    near = []
    for first, second in combinations_with_replacement(splits, 2):
        one, other = splits[first].images, splits[second].images
        kept: list[NearPair] = []
        for pairs in near_pairs(one, None if first == second else other):
            twins.mark_pairs(first, second, pairs)
            kept += twins.different(first, second, pairs, KEPT - len(kept))
        near += kept
    return Audit(
        balance={
            split: dict(zip(EMOTIONS, _label_counts(faces.labels), strict=True))
            for split, faces in splits.items()
        },
        overlaps=[
            Overlap(*key, len(splits[key[0]]), *identical[key], *found)
            for key, found in twins.counts().items()
        ],
        groups=groups,
        conflicts=[group for group in groups if len({place.label for place in group}) > 1],
        constant=[
            Place(split, int(i), int(faces.labels[i]))
            for split, faces in splits.items()
            for i in np.flatnonzero(constant(faces.images))
        ],
        near=near,
    )


def _label_counts(labels: np.ndarray) -> list[int]:
    return np.bincount(labels, minlength=len(EMOTIONS)).tolist()


def _groups(splits: Mapping[str, Faces]) -> list[list[Place]]:
    """The faces that are identical to others, in the order of the splits."""
    places: dict[bytes, list[Place]] = defaultdict(list)
    for split, faces in splits.items():
        for i, (image, label) in enumerate(zip(faces.images, faces.labels.tolist(), strict=True)):
            places[image.tobytes()].append(Place(split, i, label))
    return [group for group in places.values() if len(group) > 1]


class _Marks:
    """For each split and each other one: which faces have a twin there, and one that conflicts."""

    def __init__(self, splits: Mapping[str, Faces]):
        self.splits = splits
        self.marks = {
            (split, other): np.zeros((2, len(splits[split])), bool)
            for split in splits
            for other in splits
        }
        # Faces with the same number other than -1 are identical.
        self.group = {split: np.full(len(faces), -1) for split, faces in splits.items()}
        self.groups = 0

    def mark_group(self, group: Sequence[Place]) -> None:
        """Identical faces, in time that grows with their number and not with its square."""
        labels = {
            split: Counter(p.label for p in group if p.split == split) for split in self.splits
        }
        for place in group:
            self.group[place.split][place.number] = self.groups
            for other, found in labels.items():
                twins = found.total() - (other == place.split)
                conflicting = found.total() - found[place.label]
                self.marks[place.split, other][:, place.number] |= (twins > 0, conflicting > 0)
        self.groups += 1

    def mark_pairs(self, first: str, second: str, pairs: Pairs) -> None:
        differ = self.splits[first].labels[pairs.first] != self.splits[second].labels[pairs.second]
        for key, own in (((first, second), pairs.first), ((second, first), pairs.second)):
            self.marks[key][0, own] = True
            self.marks[key][1, own[differ]] = True

    def different(self, first: str, second: str, pairs: Pairs, limit: int) -> list[NearPair]:
        """Up to ``limit`` of the pairs that are not identical."""
        one, other = self.group[first][pairs.first], self.group[second][pairs.second]
        chosen = np.flatnonzero((one != other) | (one == -1))[:limit]
        return [
            NearPair(
                self._place(first, pairs.first[k]),
                self._place(second, pairs.second[k]),
                float(pairs.cosine[k]),
                bool(pairs.mirrored[k]),
            )
            for k in chosen
        ]

    def _place(self, split: str, number: int) -> Place:
        return Place(split, int(number), int(self.splits[split].labels[number]))

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(split, other) -> faces that have a twin, faces that have a conflicting one, so far."""
        return {
            key: (int(twin.sum()), int(conflicting.sum()))
            for key, (twin, conflicting) in self.marks.items()
        }
