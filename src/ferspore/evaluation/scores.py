"""Logits and labels -> accuracy, loss, per-class scores and confusion matrix, in numpy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ferspore.labels import EMOTIONS
from ferspore.tables import accuracy_text, aligned

Z95 = 1.959963984540054  # 97.5 % of a normal distribution lie below it


@dataclass(frozen=True, eq=False)  # two arrays have no single truth of being equal
class Scores:
    """How well ``count`` faces were classified; all ratios are fractions in 0..1."""

    accuracy: float
    loss: float  # mean cross-entropy in nats, without label smoothing
    count: int
    per_class: dict[str, dict[str, float]]  # emotion -> precision, recall, f1, support
    confusion: np.ndarray  # int64 (7, 7), rows true, columns predicted

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, see ``wilson_interval``."""
        return wilson_interval(int(np.trace(self.confusion)), self.count)


def score(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Score float logits (N, 7) against integer labels (N,) in 0..6.

    A ratio without cases (an emotion never shown, or never predicted) is 0.0. A row of logits
    with a NaN predicts nothing: it counts as wrong, in ``count`` and in its emotion's support, and
    has no cell in the confusion matrix. Logits that are not finite may make the loss NaN or inf.
    Raises ValueError for no faces, shapes that do not fit, or labels outside 0..6.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    _check(logits, labels)
    count, classes = logits.shape
    predicts = ~np.isnan(logits).any(axis=1)
    cells = labels[predicts].astype(np.int64) * classes + logits[predicts].argmax(axis=1)
    confusion = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    return Scores(
        accuracy=float(np.trace(confusion) / count),
        loss=float(-_log_softmax(logits)[np.arange(count), labels].sum() / count),
        count=count,
        per_class=_per_class(confusion, np.bincount(labels, minlength=classes)),
        confusion=confusion.astype(np.int64, copy=False),
    )


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a fraction: ``right`` of ``count``, one or more.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), 209-212.
    """
    centre = (right + Z95**2 / 2) / (count + Z95**2)
    half = Z95 / (count + Z95**2) * math.sqrt(right * (count - right) / count + Z95**2 / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits (N, 7) -> probabilities float64 (N, 7); each finite row sums to 1."""
    return np.exp(_log_softmax(logits))


def macro_average(scores: Scores) -> dict[str, float]:
    """Precision, recall and f1 as plain means over the seven emotions, and the count."""
    means = {
        name: sum(row[name] for row in scores.per_class.values()) / len(scores.per_class)
        for name in ("precision", "recall", "f1")
    }
    return {**means, "support": scores.count}


def defined_ratios(scores: Scores) -> dict[str, dict[str, float | None]]:
    """Precision, recall and f1 of each emotion; None for a ratio without cases.

    Precision has none where no face is predicted as the emotion, recall where no face shows it.
    """
    ratios = {}
    for (emotion, row), predicted in zip(
        scores.per_class.items(), scores.confusion.sum(axis=0), strict=True
    ):
        shown = row["support"]
        cases = {"precision": predicted, "recall": shown, "f1": predicted + shown}
        ratios[emotion] = {key: row[key] if count else None for key, count in cases.items()}
    return ratios


def to_dict(scores: Scores) -> dict:
    """The fields as JSON takes them: nested lists, and None for a loss that is not finite and for
    a ratio without cases."""
    loss = scores.loss if math.isfinite(scores.loss) else None
    rows = {name: {**scores.per_class[name], **row} for name, row in defined_ratios(scores).items()}
    changed = {"loss": loss, "per_class": rows, "confusion": scores.confusion.tolist()}
    return {**asdict(scores), **changed, "accuracy_interval": list(scores.accuracy_interval)}


def format_interval(scores: Scores) -> str:
    """The 95 % interval of the accuracy."""
    return "95% interval {:.4f} to {:.4f}".format(*scores.accuracy_interval)


def format_confusion(confusion: np.ndarray, labels: Sequence[str] = EMOTIONS) -> str:
    """A text table of counts: true emotions down, predicted ones across, row totals."""
    rows = [["true \\ predicted", *labels, "total"]]
    rows += [
        [label, *map(str, counts), str(sum(counts))]
        for label, counts in zip(labels, np.asarray(confusion).tolist(), strict=True)
    ]
    return aligned(rows)


def format_per_class(scores: Scores) -> str:
    """A text table of precision, recall, F1 and support, an emotion a line, then their means.

    A ratio without cases is "-"; the means count it as 0.
    """
    rows = [["emotion", "precision", "recall", "F1", "support"]]
    means = macro_average(scores)
    ratios: dict[str, Mapping[str, float | None]]
    ratios = {**defined_ratios(scores), "macro average": means}
    for name, row in ratios.items():
        support = scores.per_class.get(name, means)["support"]
        told = [accuracy_text(row[key]) for key in ("precision", "recall", "f1")]
        rows.append([name, *told, str(support)])
    return aligned(rows)


def _check(logits: np.ndarray, labels: np.ndarray) -> None:
    classes = len(EMOTIONS)
    if logits.ndim != 2 or logits.shape[1] != classes or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape} do not fit, "
            f"expected (N, {classes}) and (N,)"
        )
    if len(labels) == 0:
        raise ValueError("there are no faces to score, expected at least one")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels are in {labels.min()}..{labels.max()}, expected 0..{classes - 1}")


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and that is the answer
        shifted = logits - logits.max(axis=1, keepdims=True)  # so that exp cannot overflow
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _per_class(confusion: np.ndarray, support: np.ndarray) -> dict[str, dict[str, float]]:
    result = {}
    for i, emotion in enumerate(EMOTIONS):
        right, shown, predicted = int(confusion[i, i]), int(support[i]), int(confusion[:, i].sum())
        result[emotion] = {
            "precision": _ratio(right, predicted),
            "recall": _ratio(right, shown),
            "f1": _ratio(2 * right, shown + predicted),
            "support": shown,
        }
    return result


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
