"""metrics.jsonl -> the records of a run's epochs, checked."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class HistoryError(ValueError):
    """The file is no record of a run; the message says where and why."""


@dataclass(frozen=True)
class History:
    """A run's epochs, in ascending order; epochs may be missing, and so may values.

    Each record has "epoch" (1-based) and, as far as known, "loss", "val_loss" (nats),
    "val_accuracy" (fraction), "lr" and "best". ``resumed`` are the epochs that were the first to
    end after a resume: the metrics do not tell (they are equal with and without a stop), the
    snapshots beside them do.
    """

    name: str
    records: tuple[dict[str, Any], ...]
    resumed: tuple[int, ...] = ()

    def values(self, key: str) -> list[float]:
        """One float an epoch from 1 to the last; NaN where there is none."""
        known = {record["epoch"]: record.get(key) for record in self.records}
        last = self.records[-1]["epoch"]
        found = (known.get(epoch) for epoch in range(1, last + 1))
        return [math.nan if value is None else float(value) for value in found]

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the best epoch: the last that was called the best when it ended, else
        the one with the highest val_accuracy; None where no epoch was evaluated."""
        if called := [record for record in self.records if record.get("best")]:
            return called[-1]
        judged = [record for record in self.records if record.get("val_accuracy") is not None]
        return max(judged, key=lambda record: record["val_accuracy"], default=None)


NUMBERS = ("loss", "val_loss", "val_accuracy", "lr")


def read_history(path: Path, name: str) -> History:
    """The history in a file of JSON lines.

    Raises:
        HistoryError: it cannot be read, is empty, or a line is no epoch's record.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise HistoryError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"{path}: it cannot be read ({error})") from error
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_record(line, records[-1]["epoch"] if records else 0))
        except HistoryError as error:
            raise HistoryError(f"{path}: line {number}: {error}") from None
    if not records:
        raise HistoryError(f"{path}: it is empty, no epoch has ended yet")
    ended = {record["epoch"] for record in records}
    resumed = tuple(epoch for epoch in _resumed_epochs(path.parent) if epoch in ended)
    return History(name, tuple(records), resumed)


def _resumed_epochs(folder: Path) -> list[int]:
    """From the sidecar of the folder's furthest snapshot; none where there is no such sidecar."""
    furthest: tuple[int, list[int]] = (0, [])
    for sidecar in folder.glob("fer-*.json"):
        try:
            values = json.loads(sidecar.read_text(encoding="utf-8"))
            epochs = [step // values["steps_per_epoch"] + 1 for step in values["resumes"]]
            furthest = max(furthest, (values["global_step"], epochs))
        except (OSError, ValueError, RecursionError, KeyError, TypeError, ZeroDivisionError):
            continue  # a damaged snapshot costs no more than its marks
    return sorted(set(furthest[1]))


def _record(line: str, previous: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise HistoryError("it is not JSON") from None
    epoch = record.get("epoch") if isinstance(record, dict) else None
    if type(epoch) is not int:
        raise HistoryError("expected a JSON object with a whole number as its epoch")
    if epoch <= previous:
        raise HistoryError(f"received epoch {epoch}, expected one after epoch {previous}")
    for key in NUMBERS:
        value = record.get(key)
        if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
            raise HistoryError(f"{key}: received {value!r}, expected a finite number or null")
    return record
