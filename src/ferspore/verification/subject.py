"""One checkpoint as far as it could be read, and what its sidecar and its folder say of it."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferspore.config.loading import config_from_dict
from ferspore.config.schema import Config, ConfigError
from ferspore.files import LARGEST_TEXT, read_file
from ferspore.run.ckpt import Contents
from ferspore.run.names import BEST, FINAL, SNAPSHOT_NAME
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar
from ferspore.verification.findings import Kind

Sidecar = ModelSidecar | SnapshotSidecar
Epochs = Mapping[int, Mapping[str, Any]]  # an epoch -> its line of metrics.jsonl
Shapes = Mapping[str, tuple[int, ...]]  # of the net's parameters, by name and in their order


@dataclass(frozen=True)
class Subject:
    """The file that is verified."""

    path: Path
    size: int  # bytes
    contents: Contents
    whole: bool  # whether the file could be parsed to its end
    sidecar: Sidecar | None
    config: Config | None
    history: Epochs

    @property
    def kind(self) -> Kind:
        if self.sidecar is not None:
            return self.sidecar.kind
        if self.path.name in (BEST, FINAL):
            return "best" if self.path.name == BEST else "final"
        return "snapshot" if SNAPSHOT_NAME.fullmatch(self.path.name) else "weights"

    @property
    def epoch(self) -> int | None:
        if self.sidecar is not None:
            return self.sidecar.epoch
        inside = self.contents.info.get("epoch_num", self.contents.info.get("best_epoch"))
        return inside if isinstance(inside, int) else None

    @property
    def recorded_accuracy(self) -> float | None:
        """The validation accuracy of these very weights, as noted when they were saved."""
        if self.kind == "best":
            if "best_accuracy" in self.contents.info:
                return number(self.contents.info["best_accuracy"])
            return self.sidecar.best_accuracy if self.sidecar else None
        history = self.history
        if isinstance(self.sidecar, SnapshotSidecar):
            history = _by_epoch(self.sidecar.history) if self.sidecar.evaluated else {}
        line = {} if self.epoch is None else history.get(self.epoch, {})
        return number(line.get("val_accuracy"))


def config_in(sidecar: Sidecar | None) -> Config | None:
    """The sidecar's configuration, None where it is not a valid one."""
    if sidecar is not None:
        with suppress(ConfigError, RecursionError):
            return config_from_dict(sidecar.config, "the sidecar's configuration")
    return None


def epochs_in(metrics: Path) -> Epochs:
    """The lines of a metrics.jsonl, without those that cannot be read: a damaged history is no
    fault of the checkpoint, so it is not refused as ``read_history`` does."""
    try:
        lines = read_file(metrics, LARGEST_TEXT).splitlines()
    except OSError:
        return {}
    records = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return _by_epoch(records)


def _by_epoch(records: Iterable[Any]) -> Epochs:
    return {
        record["epoch"]: record
        for record in records
        if isinstance(record, dict) and isinstance(record.get("epoch"), int)
    }


def number(value: Any) -> float | None:
    """``value`` as a finite float, None where it is not one: a NaN, or an integer too large."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None
