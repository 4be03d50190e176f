"""An audit as text for the terminal, and as JSON."""

from dataclasses import asdict
from typing import Any

from ferspore.data.audit import Audit, Place
from ferspore.data.twins import NEAR
from ferspore.labels import EMOTIONS
from ferspore.tables import aligned, counted


def to_dict(found: Audit) -> dict[str, Any]:
    """The findings as JSON takes them; faces count from 1 in their split, as in all commands."""
    return {
        "near": NEAR,
        "balance": found.balance,
        "twins": [asdict(overlap) for overlap in found.overlaps],
        "identical_groups": len(found.groups),
        "conflicting_groups": [[_face(place) for place in group] for group in found.conflicts],
        "constant": [_face(place) for place in found.constant],
    }


def _face(place: Place) -> dict[str, Any]:
    return {
        "split": place.split,
        "face": place.number + 1,
        "emotion": EMOTIONS[place.label],
    }


def format_balance(found: Audit) -> str:
    """A table of the emotions: faces of each split, and their share of it."""
    totals = {split: sum(counts.values()) for split, counts in found.balance.items()}
    rows = [["emotion", *(word for split in totals for word in (split, "share"))]]
    for emotion in EMOTIONS:
        counts = {split: found.balance[split][emotion] for split in totals}
        shares = [(f"{n:,}", f"{n / totals[split]:.1%}") for split, n in counts.items()]
        rows.append([emotion, *(word for pair in shares for word in pair)])
    rows.append(["all", *(word for n in totals.values() for word in (f"{n:,}", ""))])
    return aligned(rows)


def format_twins(found: Audit) -> str:
    """A table with a line for each split and where its twins are."""
    header = ["faces of", "twin in", "identical", "share", "other label"]
    rows = [[*header, "near", "share", "other label"]]
    for one in found.overlaps:
        row = [one.split, one.other]
        for twins, conflicting in (
            (one.identical, one.identical_conflicting),
            (one.near, one.near_conflicting),
        ):
            row += [f"{twins:,}", f"{twins / one.faces:.1%}", f"{conflicting:,}"]
        rows.append(row)
    return aligned(rows, left=2)


def format_summary(found: Audit) -> str:
    """Lines about groups of identical faces and constant images."""
    faces, conflicting = (sum(map(len, groups)) for groups in (found.groups, found.conflicts))
    split_counts = [
        f"{sum(place.split == split for place in found.constant)} in {split}"
        for split in found.balance
    ]
    return (
        f"{counted(len(found.groups), 'group')} of identical faces ({faces:,} faces); "
        f"{len(found.conflicts):,} with more than one label ({conflicting:,} faces)\n"
        f"constant images: {', '.join(split_counts)}"
    )
