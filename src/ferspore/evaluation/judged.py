"""A split of faces together with what a network says of it."""

from dataclasses import dataclass

import numpy as np

from ferspore.data.faces import Faces
from ferspore.evaluation.scores import Scores, score, softmax


@dataclass(frozen=True, eq=False)
class Judged:
    """usage: name of the split. probabilities: float64 (N, 7), in the order of EMOTIONS."""

    usage: str
    faces: Faces
    probabilities: np.ndarray
    scores: Scores


def judged(usage: str, faces: Faces, logits: np.ndarray) -> Judged:
    """``faces`` with the network's logits of them, float (N, 7)."""
    return Judged(usage, faces, softmax(logits), score(logits, faces.labels))
