"""Probabilities and labels -> which faces to show, in numpy only.

Probabilities are floats (N, 7) in the order of EMOTIONS, labels integers (N,); a face is known by
its index 0..N-1. A face with a NaN among its probabilities has no prediction: it is neither
correct nor a mistake, and is never chosen.
"""

from dataclasses import dataclass

import numpy as np

from ferspore.data.same_photo import first_of_each_photo
from ferspore.labels import EMOTIONS

SELECTIONS = ("confident", "random", "hardest")
NO_PREDICTION = -1


@dataclass(frozen=True, eq=False)
class Choice:
    """Faces of one emotion.

    chosen: int64 (n,), indices in the order in which they are shown.
    correct, shown: how many of the emotion's faces are classified correctly, and how many it has.
    """

    chosen: np.ndarray
    correct: int
    shown: int


def predictions(probabilities: np.ndarray) -> np.ndarray:
    """The most probable emotion of each face, int64 (N,); NO_PREDICTION where there is a NaN."""
    known = ~np.isnan(probabilities).any(axis=1)
    return np.where(known, probabilities.argmax(axis=1), NO_PREDICTION)


def choose_correct(
    probabilities: np.ndarray,
    labels: np.ndarray,
    images: np.ndarray | None = None,
    *,
    num_samples: int,
    select: str = "confident",
    min_confidence: float = 0.0,
    seed: int = 0,
) -> dict[str, Choice]:
    """For each emotion up to ``num_samples`` of the faces that are classified correctly.

    images: uint8 (N,48,48); with them no photo is chosen twice.
    select: "confident" takes those with the highest probability first, "hardest" those with the
        lowest, "random" draws them; equal probabilities stay in the order of the split.
    min_confidence: faces below this probability are left out; ``Choice.correct`` counts the rest.
    seed: of the random draw. An emotion's draw does not depend on the other emotions.
    """
    confidence = probabilities.max(axis=1)
    right = (predictions(probabilities) == labels) & (confidence >= min_confidence)
    choices = {}
    for code, emotion in enumerate(EMOTIONS):
        found = np.flatnonzero(right & (labels == code))
        ordered = _ordered(found, confidence[found], select, (seed, code))
        if images is not None:
            ordered = without_repeats(ordered, images, num_samples)
        choices[emotion] = Choice(ordered[:num_samples], len(found), int((labels == code).sum()))
    return choices


def _ordered(
    found: np.ndarray, confidence: np.ndarray, select: str, seed: tuple[int, int]
) -> np.ndarray:
    if select == "random":
        return np.random.default_rng(seed).permutation(found)
    if select not in SELECTIONS:
        raise ValueError(f"select: received {select!r}, expected one of {', '.join(SELECTIONS)}")
    return found[np.argsort(-confidence if select == "confident" else confidence, kind="stable")]


def without_repeats(indices: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` of ``indices`` into uint8 (N,48,48), without a photo's second face."""
    return indices[first_of_each_photo(images[indices], count)]


def confident_mistakes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """All misclassified faces, int64 (n,), the most confident first."""
    predicted = predictions(probabilities)
    found = np.flatnonzero((predicted != labels) & (predicted != NO_PREDICTION))
    return found[np.argsort(-probabilities[found].max(axis=1), kind="stable")]


def by_pair(
    indices: np.ndarray, labels: np.ndarray, predicted: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """``indices`` by (true, predicted) emotion code, int64 (n,) each, in their given order.

    Only pairs that occur, the most frequent first; ties are in the order of the codes.
    """
    pairs: dict[tuple[int, int], list[int]] = {}
    for index in indices:
        pairs.setdefault((int(labels[index]), int(predicted[index])), []).append(index)
    ordered = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))
    return {pair: np.array(found, np.int64) for pair, found in ordered}
