"""Checks of what a checkpoint's net says of faces, and of what was recorded about it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.run.names import METRICS
from ferspore.run.progress import is_better
from ferspore.verification.findings import Finding, Kind
from ferspore.verification.subject import Subject, number

FEW = 3  # emotions: a net that predicts fewer has learned next to nothing
UNIFORM = 1 / len(EMOTIONS) + 0.02  # a net as initialised gives its likeliest class up to 0.155


def check_predictions(logits: np.ndarray, kind: Kind) -> Finding:
    """Whether the logits (N,7) of the probes tell the classes, and the inputs, apart."""
    if not np.isfinite(logits).all():
        return Finding("FAIL", "predictions", "NaN or infinite: the weights are out of range")
    classes = np.bincount(logits.argmax(axis=1), minlength=len(EMOTIONS))
    likeliest = softmax(logits).max(axis=1)
    seen = f"on {len(logits)} fixed inputs"
    if likeliest.max() < UNIFORM:
        text = f"uniform {seen}, no class above {likeliest.max():.3f}: practically untrained"
        return Finding("FAIL", "predictions", text)
    if (classes > 0).sum() == 1:
        text = f"{EMOTIONS[classes.argmax()]!r} {seen}, whatever the face: collapsed"
        if kind == "snapshot":
            return Finding("WARN", "predictions", f"{text}, or early in its training")
        return Finding("FAIL", "predictions", text)
    said = ", ".join(f"{name} {n}" for name, n in zip(EMOTIONS, classes, strict=True) if n)
    return Finding("PASS", "predictions", f"{seen}: {said}")


def check_accuracy(
    usage: str,
    measured: float,
    labels: np.ndarray,
    recorded: float | None,
    *,
    same_data: bool | None,
    assumed: bool,
) -> Finding:
    """The accuracy on a split with ``labels`` (N,) against the recorded one, within one face.

    ``same_data``: whether the CSV is that of the run, None where that is not known.
    ``assumed``: the file does not tell the size of the faces that the net was trained on.
    """
    count = len(labels)
    text = f"{usage}: {measured:.4f} on {count:,} faces"
    most = np.bincount(labels, minlength=len(EMOTIONS))
    if recorded is not None:
        apart = abs(measured - recorded) * count
        if apart >= 1.5:
            faces = f"recorded is {recorded:.4f}, {apart:,.0f} faces apart"
            if same_data is False:
                meaning = "the CSV is not the one of the run"
                return Finding("WARN", "accuracy", f"{text}, {faces}: {meaning}")
            meaning = "not the weights recorded"
            if same_data is None:
                meaning += ", or not the CSV"
            if assumed:
                meaning += f", or {FACE_SIZE}x{FACE_SIZE} faces were wrongly assumed"
            return Finding("FAIL", "accuracy", f"{text}, {faces}: {meaning}")
        text += ", as recorded"
    else:
        text += ", nothing recorded to compare it with"
    if round(measured * count) <= most.max():
        always = EMOTIONS[most.argmax()]
        return Finding("WARN", "accuracy", f"{text}; no better than always saying {always!r}")
    return Finding("PASS", "accuracy", text)


def check_variety(usage: str, confusion: np.ndarray) -> Finding:
    """How many emotions are ever predicted, by the confusion matrix (7,7) of a split."""
    predicted = [name for name, n in zip(EMOTIONS, confusion.sum(axis=0), strict=True) if n]
    text = f"{usage}: {len(predicted)} of {len(EMOTIONS)} emotions are predicted"
    if len(predicted) < FEW:
        text = f"{usage}: nothing but {' and '.join(predicted)} is ever predicted"
        return Finding("WARN", "variety", f"{text}: barely trained, or collapsed")
    return Finding("PASS", "variety", text)


def check_record(subject: Subject) -> Finding | None:
    """Best accuracy and epoch inside the file, in its sidecar and in metrics.jsonl."""
    info, sidecar = subject.contents.info, subject.sidecar
    told: dict[str, tuple[float, float]] = {}
    if "best_accuracy" in info and "best_epoch" in info:
        told["the file"] = (info["best_accuracy"], info["best_epoch"])
    if sidecar is not None and sidecar.best_accuracy is not None and sidecar.best_epoch is not None:
        told["its sidecar"] = (sidecar.best_accuracy, sidecar.best_epoch)
    if not told:
        return None
    accuracy, epoch = next(iter(told.values()))
    text = f"best accuracy {accuracy:.4f} at epoch {epoch}"
    if not (0 <= accuracy <= 1 and epoch >= 0):
        return Finding("FAIL", "record", f"{text}: expected a fraction in 0..1, and an epoch")
    if any(not _same(pair, (accuracy, epoch)) for pair in told.values()):
        other, at = told["its sidecar"]
        text = f"{text} in the file, {other:.4f} at {at} in its sidecar: not written together"
        return Finding("FAIL", "record", text)
    if subject.history:
        line = next((line for at, line in subject.history.items() if at == epoch), {})
        known = number(line.get("val_accuracy"))
        if known is None or not _same((known, epoch), (accuracy, epoch)):
            said = "has no such epoch" if known is None else f"says {known:.4f}"
            text += f", but {METRICS} {said}: another run, or one resumed from further back"
            return Finding("WARN", "record", text)
        if subject.kind == "best" and (better := _better(subject, line)):
            text += f", but epoch {better} is better in {METRICS}: not the run's best"
            return Finding("FAIL", "record", text)
        told[METRICS] = (accuracy, epoch)
    return Finding("PASS", "record", f"{text}, in {' and '.join(told)}")


def _same(pair: tuple[float, float], other: tuple[float, float]) -> bool:
    return pair[1] == other[1] and math.isclose(pair[0], other[0], abs_tol=1e-6)


def _better(subject: Subject, line: Mapping[str, Any]) -> int | None:
    """The first epoch of metrics.jsonl that improves on ``line`` by what the run monitors."""
    monitor = subject.config.training.monitor if subject.config else "val_accuracy"
    best = number(line.get(monitor))
    for epoch, other in subject.history.items():
        value = number(other.get(monitor))
        if value is not None and best is not None and is_better(monitor, value, best):
            return epoch
    return None
