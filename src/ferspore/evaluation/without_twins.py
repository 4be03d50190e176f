"""Scores of the faces that training has not seen: those without a twin in Training."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferspore.data.faces import Faces
from ferspore.data.twins import twins_in
from ferspore.evaluation.scores import Scores, format_interval, score, to_dict


@dataclass(frozen=True, eq=False)
class WithoutTwins:
    """identical, near: faces left out; ``near`` is all of them, and includes ``identical``.

    scores: of the other faces, None if there are none.
    """

    identical: int
    near: int
    scores: Scores | None


def score_without_twins(logits: np.ndarray, faces: Faces, training: Faces) -> WithoutTwins:
    """Score float logits (N, 7) of ``faces`` without those that have a twin in ``training``."""
    twins = twins_in(faces.images, training.images)
    alone = ~twins.near
    scores = score(logits[alone], faces.labels[alone]) if alone.any() else None
    return WithoutTwins(int(twins.identical.sum()), int(twins.near.sum()), scores)


def without_twins_dict(found: WithoutTwins) -> dict[str, Any]:
    """The fields as JSON takes them."""
    return {**vars(found), "scores": found.scores and to_dict(found.scores)}


def format_without_twins(found: WithoutTwins) -> str:
    """A line for the user."""
    left_out = f"{found.near:,} with a twin in Training, {found.identical:,} of them identical"
    if found.scores is None:
        return f"without twins: no faces are left ({left_out})"
    return (
        f"without twins: accuracy {found.scores.accuracy:.4f}, {format_interval(found.scores)}, "
        f"{found.scores.count:,} faces (left out: {left_out})"
    )
