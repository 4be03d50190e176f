"""The record of an epoch, a line of metrics.jsonl: what a reader may rely on."""

import math
from typing import Any

NUMBERS = (
    *("loss", "val_loss", "val_accuracy", "train_accuracy", "lr"),
    *("seconds", "faces_per_second"),
)


def record_fault(record: Any, previous: int) -> str | None:
    """What is wrong with an epoch's record that follows the one of epoch ``previous``."""
    epoch = record.get("epoch") if isinstance(record, dict) else None
    if type(epoch) is not int:
        return "expected a JSON object with a whole number as its epoch"
    if epoch <= previous:
        return f"received epoch {epoch}, expected one after epoch {previous}"
    for key in NUMBERS:
        value = record.get(key)
        if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
            return f"{key}: received {value!r}, expected a finite number or null"
    return None
