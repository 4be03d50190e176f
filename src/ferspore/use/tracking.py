"""Faces of one frame after another -> one number per person: by overlap, nothing is recognised."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ferspore.use.faces import Square

LEAST_IOU = 0.3  # of a face and the last place of a person
FORGOTTEN = 1.0  # seconds unseen, after which a face at the same place is another person's


@dataclass
class Tracker:
    """Gives faces numbers from 1. Pairs of a face and a person seen lately are matched by their
    intersection over union, the largest first; a face that is left over gets a new number."""

    people: dict[int, tuple[Square, float]] = field(default_factory=dict)  # last place and time
    last: int = 0

    def update(self, time: float, faces: Sequence[Square]) -> list[int]:
        """The numbers of the faces of a frame at ``time``, in seconds; times never decrease."""
        self.people = {n: own for n, own in self.people.items() if time - own[1] <= FORGOTTEN}
        pairs = [
            (iou(face, place), -person, index)
            for index, face in enumerate(faces)
            for person, (place, _) in self.people.items()
        ]
        found: dict[int, int] = {}
        for overlap, person, index in sorted(pairs, reverse=True):
            if overlap >= LEAST_IOU and index not in found and -person not in found.values():
                found[index] = -person
        for index in range(len(faces)):
            if index not in found:
                self.last += 1
                found[index] = self.last
        self.people |= {found[index]: (face, time) for index, face in enumerate(faces)}
        return [found[index] for index in range(len(faces))]


def iou(one: Square, other: Square) -> float:
    """Intersection over union of two squares, taken as upright."""
    shared = 1
    for a, b in ((one.left, other.left), (one.top, other.top)):
        shared *= max(0, min(a + one.side, b + other.side) - max(a, b))
    return shared / (one.side**2 + other.side**2 - shared)
