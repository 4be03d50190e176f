"""A run's folder -> what a report says of it, in words."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferspore.config.loading import config_from_dict, load_config
from ferspore.config.schema import Config, ConfigError
from ferspore.config.views import differences, without_folders
from ferspore.config.yaml_text import config_yaml
from ferspore.run.ckpt import UnsoundError, parameter_count
from ferspore.run.folder import read_folder
from ferspore.run.history import MONITORED, History, config_of, history_of
from ferspore.run.names import BEST, CONFIG, METRICS
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sound
from ferspore.tables import counted, duration_text

Rows = list[tuple[str, str]]  # a name, and what it is


@dataclass(frozen=True)
class Account:
    """It names no path of this machine.

    configuration: YAML, of the best model's epoch.
    changed: a line for each of its values that is another in the run's folder by now.
    data_sha256, counts: of the CSV that the run was trained on, and the faces of its splits, as far
        as they are known.
    """

    name: str
    history: History
    lead: str
    val_usage: str
    training: Rows
    command: str
    configuration: str
    changed: list[str]
    csv: str
    data_sha256: str
    counts: dict[str, int]
    files: Rows


def account_of(folder: Path) -> Account:
    """Of the run in ``folder``.

    Raises:
        ConfigError, HistoryError: see ``config_of`` and ``history_of``.
        OSError: the folder cannot be read.
    """
    now, history, holdings = config_of(folder), history_of(folder), read_folder(folder)
    best = holdings.best.sidecar if holdings.best else None
    then = config_from_dict(best.config, str(folder / BEST)) if best else now
    then, now = without_folders(then), without_folders(now)
    snapshot = holdings.newest.sidecar if holdings.newest else None
    known = best or snapshot
    return Account(
        name=run_name(folder),
        history=history,
        lead=_lead(then, history),
        val_usage=then.data.val_usage,
        training=_training(folder, now, history, snapshot, known),
        command=known.command if known else "",
        configuration=config_yaml(then),
        changed=[
            f"{key}: {json.dumps(old)} here, {json.dumps(new)} since"
            for key, old, new in differences(then, now)
        ],
        csv=then.data.csv or "",
        data_sha256=_digest(known.data) if known else "",
        counts=_counts(snapshot.data) if snapshot else {},
        files=_best_model(folder),
    )


def _digest(data: dict[str, Any]) -> str:
    return data["sha256"] if isinstance(data.get("sha256"), str) else ""


def _counts(data: dict[str, Any]) -> dict[str, int]:
    counts = data.get("counts")
    known = counts.items() if isinstance(counts, dict) else ()
    return {split: count for split, count in known if type(count) is int}


def run_name(folder: Path) -> str:
    """The folder's name, as ``st1``; that of a stage follows its run's, as ``st1-full``."""
    folder = folder.resolve()
    with suppress(ConfigError, OSError):
        above = folder.parent / CONFIG
        stages = load_config(above).config.stages if above.exists() else ()
        if folder.name in [stage.name for stage in stages]:
            return f"{folder.parent.name}-{folder.name}"
    return folder.name


def _lead(config: Config, history: History) -> str:
    best, monitor = history.best, history.monitor
    if best is None or best.get(monitor) is None:
        return "No epoch has been evaluated yet."
    return (
        f"Best {MONITORED[monitor]} {best[monitor]:.4f} on {config.data.val_usage}, "
        f"at epoch {best['epoch']}."
    )


def _training(
    folder: Path,
    config: Config,
    history: History,
    snapshot: SnapshotSidecar | None,
    known: ModelSidecar | SnapshotSidecar | None,
) -> Rows:
    epochs = f"{history.records[-1]['epoch']} of {config.training.epochs}"
    source = "" if (folder / METRICS).exists() else " (known from the best model)"
    seconds = sum(
        (record.get(key) or 0.0)
        for record in history.records
        for key in ("seconds", "eval_seconds")
    )
    versions = known.versions if known else {}
    rows = [
        ("Epochs", epochs + source),
        ("Time", f"{duration_text(seconds)} (h:mm:ss)" if seconds else ""),
        ("Resumed", ", ".join(f"in epoch {epoch}" for epoch in history.resumed)),
        ("Device", _device(config, snapshot)),
        ("Processor", counted(snapshot.cores, "core") if snapshot else ""),
        ("Versions", ", ".join(f"{key} {value}" for key, value in versions.items())),
    ]
    return [(key, value) for key, value in rows if value]


def _device(config: Config, snapshot: SnapshotSidecar | None) -> str:
    """The one that was used, as far as the newest snapshot says it."""
    told = snapshot.hardware if snapshot else {}
    used = (told.get("device"), told.get("chip"), told.get("drivers"), told.get("precision"))
    return ", ".join(filter(None, used)) or config.device or "not known"


def _best_model(folder: Path) -> Rows:
    """What the best model's sidecar says, or why it cannot be trusted."""
    if not (folder / BEST).exists():
        return [("Best model", "none yet")]
    try:
        contents, sidecar = read_sound(folder / BEST)
    except UnsoundError as error:
        return [("Best model", f"not sound: {error}")]
    parameters = parameter_count({name: v.shape for name, v in contents.tensors.items()})
    return [
        ("Best model", f"{BEST}, {sidecar.bytes / 1e6:.2f} MB"),
        ("Parameters", f"{parameters:,} trainable"),
        ("Written", f"{sidecar.created[:19].replace('T', ' ')} UTC"),
        ("sha256", sidecar.sha256),
    ]
