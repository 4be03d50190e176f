"""An audit of the data -> a picture with examples."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ferspore.data.audit import Audit, NearPair, Place
from ferspore.data.faces import Faces
from ferspore.labels import EMOTIONS
from ferspore.pictures.faces import Tile, grid
from ferspore.pictures.style import INK, RIGHT, WRONG
from ferspore.tables import LONGEST_CELL, counted, one_line

PAIRS = 4  # of each kind: two lines of the grid
CONSTANT = 4


def audit_figure(found: Audit, splits: Mapping[str, Faces], name: str) -> Figure:
    """Near twins, identical faces with different labels and constant images of the file ``name``.

    The near twins of a row range from the most alike to the least.
    """
    rows = [
        (f"Near twins, {where}", [tile for pair in _spread(pairs) for tile in _near(pair, splits)])
        for where, pairs in _kinds(found.near).items()
    ]
    conflicts = [found.conflicts[i] for i in _evenly(len(found.conflicts), PAIRS)]
    identical = [tile for group in conflicts for tile in _conflict(group, splits)]
    blank = [_tile(place, splits, INK) for place in found.constant[:CONSTANT]]
    rows += [
        (
            f"{counted(len(found.conflicts), 'group')} of identical faces with different labels",
            identical,
        ),
        (counted(len(found.constant), "constant image"), blank),
    ]
    name = one_line(name, LONGEST_CELL)  # as characters that can be drawn
    return grid(rows, f"Twins in {name} (blue: same label, orange: different labels)")


def _kinds(pairs: Iterable[NearPair]) -> dict[str, list[NearPair]]:
    two, one, mirrored = "in two splits", "in one split", "one of them mirrored"
    kinds: dict[str, list[NearPair]] = {two: [], one: [], mirrored: []}
    for pair in pairs:
        apart = two if pair.first.split != pair.second.split else one
        kinds[mirrored if pair.mirrored else apart].append(pair)
    return kinds


def _spread(pairs: Sequence[NearPair]) -> list[NearPair]:
    """Up to PAIRS of them, the most alike first, no face twice."""
    chosen, seen = [], set[Place]()
    for pair in sorted(pairs, key=lambda pair: -pair.cosine):
        if not seen & {pair.first, pair.second}:
            chosen.append(pair)
            seen |= {pair.first, pair.second}
    return [chosen[i] for i in _evenly(len(chosen), PAIRS)]


def _evenly(size: int, count: int) -> list[int]:
    """Up to ``count`` of the indices below ``size``, from the first to the last."""
    return np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist()


def _near(pair: NearPair, splits: Mapping[str, Faces]) -> list[Tile]:
    colour = RIGHT if pair.first.label == pair.second.label else WRONG
    return [
        _tile(pair.first, splits, colour),
        _tile(pair.second, splits, colour, f", cosine {pair.cosine:.3f}"),
    ]


def _conflict(group: Sequence[Place], splits: Mapping[str, Faces]) -> list[Tile]:
    """The first face, and the first that disagrees with it."""
    other = next(place for place in group if place.label != group[0].label)
    return [_tile(place, splits, WRONG) for place in (group[0], other)]


def _tile(place: Place, splits: Mapping[str, Faces], colour: str, more: str = "") -> Tile:
    caption = f"{EMOTIONS[place.label]}{more}\n{place.split}, face {place.number + 1:,}"
    return Tile(splits[place.split].images[place.number], caption, colour)
