"""The record of an epoch, a line of metrics.jsonl: what a reader may rely on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ferspore.tables import one_line

NUMBERS = (
    *("loss", "val_loss", "val_accuracy", "train_accuracy", "lr"),
    *("seconds", "eval_seconds", "faces_per_second"),
)
LARGEST = 3.5e38  # a value of float32's range; sums and charts of such values are finite, too
MAX_EPOCH = 1_000_000  # a curve has a point an epoch


def record_fault(record: Any, previous: int) -> str | None:
    """What is wrong with an epoch's record that follows the one of epoch ``previous``."""
    epoch = record.get("epoch") if isinstance(record, dict) else None
    if type(epoch) is not int:
        return "expected a JSON object with a whole number as its epoch"
    if not previous < epoch <= MAX_EPOCH:
        expected = f"one after epoch {previous}, up to {MAX_EPOCH:,}"
        return f"received epoch {one_line(str(epoch))}, expected {expected}"
    for key in NUMBERS:
        value = record.get(key)
        if value is not None and not _is_finite(value):
            expected = f"a finite number up to {LARGEST} or null"
            return f"{key}: received {one_line(repr(value))}, expected {expected}"
    return None


class RecordTexts:
    """The JSON of a growing history's records, each made once: every snapshot repeats them all.

    ``lines`` have their keys in the order of the records, ``canonical`` in that of the alphabet.
    """

    def __init__(self):
        self.lines: list[str] = []
        self.canonical: list[str] = []

    def of(self, history: Sequence[Mapping[str, Any]]) -> "RecordTexts":
        """The texts of ``history``, which has grown since."""
        new = history[len(self.lines) :]
        self.lines += map(json.JSONEncoder(allow_nan=False).encode, new)
        self.canonical += map(json.JSONEncoder(allow_nan=False, sort_keys=True).encode, new)
        return self


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST  # False for NaN
