"""A split of faces together with what a network predicts for it."""

from dataclasses import dataclass

import numpy as np

from ferspore.data.faces import Faces
from ferspore.data.views import with_views
from ferspore.evaluation.scores import Scores, score, softmax


@dataclass(frozen=True, eq=False)
class Judged:
    """split: its name, with the views of each face where there are several.
    probabilities: float64 (N, 7), in the order of EMOTIONS."""

    split: str
    faces: Faces
    probabilities: np.ndarray
    scores: Scores


def judged(usage: str, faces: Faces, logits: np.ndarray, tta: str | None = None) -> Judged:
    """``faces`` with the network's logits of them, float (N, 7), by the views of ``tta``."""
    split = with_views(usage, tta)
    return Judged(split, faces, softmax(logits), score(logits, faces.labels))
