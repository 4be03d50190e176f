"""A run's folder -> its configuration and the records of its epochs, checked.

A folder that was passed on may hold no more than the best model: its sidecar carries the
configuration, and the history up to the best epoch.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferspore.config.loading import config_from_dict, load_config
from ferspore.config.schema import Config, ConfigError
from ferspore.files import LARGEST_TEXT, read_file
from ferspore.run.ckpt import UnsoundError
from ferspore.run.names import BEST, CONFIG, METRICS
from ferspore.run.progress import MONITORS
from ferspore.run.records import record_fault
from ferspore.run.sidecar import read_sidecar
from ferspore.tables import LONGEST_CELL, one_line

# What a run can be selected by -> its name for people.
MONITORED = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}


class HistoryError(ValueError):
    """There is no sound record of a run's epochs; the message says where and why."""


@dataclass(frozen=True)
class History:
    """A run's epochs, in ascending order; epochs may be missing, and so may values.

    Each record has "epoch" (1-based) and, as far as known, "loss", "val_loss" (nats),
    "val_accuracy", "train_accuracy" (fractions), "lr" and "best". ``resumed`` are the epochs that
    were the first to end after a resume: the records do not show it (they are the same with and
    without a stop), the snapshots beside them do. ``monitor`` is what the best epoch was selected
    by.
    ``label_smoothing`` is that of "loss", None where it is not known; "val_loss" has none.
    """

    name: str
    records: tuple[dict[str, Any], ...]
    resumed: tuple[int, ...] = ()
    monitor: str = "val_accuracy"
    label_smoothing: float | None = None

    def values(self, key: str) -> list[float]:
        """One float an epoch from 1 to the last; NaN where there is none."""
        known = {record["epoch"]: record.get(key) for record in self.records}
        last = self.records[-1]["epoch"]
        found = (known.get(epoch) for epoch in range(1, last + 1))
        return [math.nan if value is None else float(value) for value in found]

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the best epoch: the last one marked as the best when it ended, else the
        best by what was monitored; None if no epoch was evaluated."""
        if marked := [record for record in self.records if record.get("best")]:
            return marked[-1]
        judged = [record for record in self.records if record.get(self.monitor) is not None]
        choose = max if MONITORS[self.monitor] == "higher" else min
        return choose(judged, key=lambda record: record[self.monitor], default=None)


def config_of(folder: Path) -> Config:
    """The configuration in a run's folder, else the one that its best model was trained with.

    Raises:
        ConfigError: there is none, or it is not valid.
    """
    if (folder / CONFIG).exists():
        return load_config(folder / CONFIG).config
    try:
        return config_from_dict(read_sidecar(folder / BEST).config, str(folder / BEST))
    except UnsoundError as error:
        raise ConfigError(f"{folder}: no {CONFIG}; {BEST}: {error}") from error


def history_of(run: Path) -> History:
    """The history of a run's folder, else that of its best model; or that in a metrics.jsonl.

    It is named after the folder, in characters that can be drawn.

    Raises:
        HistoryError: there is none, or it is damaged.
    """
    if not run.is_dir():
        return read_history(run, one_line(run.resolve().parent.name, LONGEST_CELL))
    name = one_line(run.resolve().name, LONGEST_CELL)
    if (run / METRICS).is_file():
        return read_history(run / METRICS, name)
    try:
        records = read_sidecar(run / BEST).history
    except UnsoundError as error:
        raise HistoryError(f"{run}: no {METRICS}; {BEST}: {error}") from error
    return _history(records, run / BEST, name, "record")


def read_history(path: Path, name: str) -> History:
    """The history in a file of JSON lines.

    Raises:
        HistoryError: it cannot be read, is too large or empty, or a line is not an epoch's record.
    """
    try:  # a pipe is as long as the user who named it wants
        content = read_file(path, LARGEST_TEXT) if path.is_file() else path.read_bytes()
        lines = content.decode().splitlines()
    except FileNotFoundError:
        raise HistoryError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise HistoryError(f"{path}: it cannot be read ({why})") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            raise HistoryError(f"{path}: line {number}: it is not JSON") from None
    return _history(records, path, name, "line")


def _history(records: list[Any], path: Path, name: str, unit: str) -> History:
    """The records in ``path``, each checked; an error calls it ``unit`` and its number."""
    if not records:
        raise HistoryError(f"{path}: it has no records, no epoch has ended yet")
    previous = 0
    for number, record in enumerate(records, 1):
        if fault := record_fault(record, previous):
            raise HistoryError(f"{path}: {unit} {number}: {fault}")
        previous = record["epoch"]
    ended = {record["epoch"] for record in records}
    resumed = tuple(epoch for epoch in _resumed_epochs(path.parent) if epoch in ended)
    try:
        training = config_of(path.parent).training
    except ConfigError:  # records without their run, which mark the best epoch themselves
        return History(name, tuple(records), resumed)
    smoothing = training.label_smoothing
    return History(name, tuple(records), resumed, training.monitor, smoothing)


def _resumed_epochs(folder: Path) -> list[int]:
    """From the sidecar of the folder's newest snapshot; empty if there is none."""
    newest: tuple[int, int, list[int]] = (0, 0, [])
    for sidecar in folder.glob("fer-*.json"):
        try:
            values = json.loads(read_file(sidecar, LARGEST_TEXT))
            epochs = [step // values["steps_per_epoch"] + 1 for step in values["resumes"]]
            order = values.get("sequence", 0), values["global_step"]  # format 1 has no sequence
            newest = max(newest, (*order, epochs))
        except (OSError, ValueError, RecursionError, KeyError, TypeError, ArithmeticError):
            continue  # a damaged snapshot only loses its marks
    return sorted(set(newest[2]))
