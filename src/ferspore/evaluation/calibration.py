"""Probabilities and labels -> how far confidence and accuracy agree, in numpy only.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2 and equation 3:
faces are sorted into bins of equal width by their confidence (the probability of the predicted
emotion); the expected calibration error is the mean distance between a bin's accuracy and its
mean confidence, weighted by its faces.
"""

from dataclasses import dataclass

import numpy as np

BINS = 15  # as in the paper's tables


@dataclass(frozen=True, eq=False)
class Reliability:
    """The bins of a reliability diagram. Bin m of M holds confidences in (m/M, (m+1)/M]."""

    count: np.ndarray  # int64 (M,), faces
    confidence: np.ndarray  # float64 (M,), mean; NaN in an empty bin
    accuracy: np.ndarray  # float64 (M,), fraction; NaN in an empty bin

    @property
    def expected_calibration_error(self) -> float:
        """A fraction in 0..1; 0.0 where confidence and accuracy agree in every bin."""
        filled = self.count > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float((self.count[filled] * gaps).sum() / self.count.sum())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort faces into bins by their confidence.

    probabilities: float (N, classes), each row sums to 1. labels: integers (N,).
    Raises ValueError for no faces, or probabilities that are not in 0..1.
    """
    if len(labels) == 0:
        raise ValueError("there are no faces to judge, expected at least one")
    confidence = np.asarray(probabilities, np.float64).max(axis=1)
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():
        raise ValueError("the probabilities are not all in 0..1")
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, and that is the answer
        return Reliability(
            count=count,
            confidence=np.bincount(place, confidence, bins) / count,
            accuracy=np.bincount(place, right, bins) / count,
        )
