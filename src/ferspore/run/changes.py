"""Which values of a run may change on a resume, and who wins."""

import json
from collections.abc import Mapping
from typing import Any

from ferspore.config.loading import DEFAULT, LoadedConfig, config_from_dict, over
from ferspore.config.paths import dotted, flat
from ferspore.config.schema import Config, ConfigError
from ferspore.run.folder import Holdings, Snapshot
from ferspore.run.sidecar import SnapshotSidecar, versions
from ferspore.tables import counted

COMPARED_KEYS = {"data.csv", "training.teachers"}  # by content instead: a moved file is no change
FREE_KEYS = COMPARED_KEYS | {
    "name",
    "device",
    "device_id",
    "tf32",
    "jit_level",
    "data.cache",
    "data.workers",
    "training.epochs",
    "training.patience",
    "training.losses_every",
    "checkpoint.keep_checkpoint_max",
    "checkpoint.save_checkpoint_steps",
    "logging.tensorboard",
    "logging.progress",
}
LIBRARIES = ("mindspore", "numpy")  # that compute
WARNED_KEYS = {
    "training.lr": "the optimizer's moments stay as they are: they were built at the old rate",
    "training.weight_decay": "the optimizer's moments stay as they are",
}


def run_config(snapshot: Snapshot, holdings: Holdings) -> Config:
    """The configuration with which the run continues from ``snapshot``.

    For the newest snapshot it is the folder's config.yaml, which keeps what the run was last
    given, even where a stop came before the first snapshot under new values. An older snapshot
    uses its own, and so does one that differs from config.yaml in a value that defines the run.

    Raises:
        ConfigError: the snapshot's sidecar holds no valid configuration.
    """
    own = config_from_dict(snapshot.sidecar.config, f"{snapshot.path.name}'s configuration")
    kept, newest = holdings.config, holdings.newest
    if kept is None or newest is None or newest.path != snapshot.path:
        return own
    mine, theirs = values_of(own), values_of(kept)
    changed = {key for key in mine | theirs if mine.get(key) != theirs.get(key)}
    may_change = changed <= FREE_KEYS | WARNED_KEYS.keys()
    return kept if may_change and kept.training.epochs >= snapshot.sidecar.epoch else own


def resumed_config(
    snapshot: Snapshot, holdings: Holdings, given: LoadedConfig
) -> tuple[LoadedConfig, list[str]]:
    """The run's configuration with the new values, and a line for each that changes.

    Raises:
        ConfigError: a new value would change the model, the data or the order of batches, or
            ``epochs`` is below an epoch that has begun. All such values are named.
    """
    old, sidecar = run_config(snapshot, holdings), snapshot.sidecar
    before, after = values_of(old), values_of(given.config)
    faults, lines = [], []
    epochs = before["training.epochs"]
    for key, origin in given.origins.items():
        if origin == DEFAULT or key not in before or after[key] == before[key]:
            continue
        if key == "init_from" and (after[key] is None or sidecar.run == ""):
            if after[key] is not None:
                lines.append(f"{key}: {after[key]} is ignored, the run continues with its weights")
            continue  # format 1 did not record it
        told = f"{key}: the run has {_said(before[key])}, received {_said(after[key])} [{origin}]"
        if key not in FREE_KEYS and key not in WARNED_KEYS:
            faults.append(f"{told}; it defines the run and cannot change on a resume")
        elif key in WARNED_KEYS:
            lines.append(f"warning: {told}; the new value is used, {WARNED_KEYS[key]}")
        elif key == "training.epochs":
            epochs = after[key]
            lines.append(
                f"{key}: {before[key]} -> {epochs}; the learning rate now follows the schedule of "
                f"{counted(epochs, 'epoch')} from step {sidecar.global_step + 1} on"
                + _final_phase_said(before["final_phase.epochs"], epochs)
            )
        elif key not in COMPARED_KEYS | {"name"}:
            lines.append(f"{key}: {_said(before[key])} -> {_said(after[key])}")
    if epochs < sidecar.epoch:
        faults.append(f"training.epochs: received {epochs}, but epoch {sidecar.epoch} has begun")
    if faults:
        raise ConfigError("\n".join(faults))
    return over(old, _new_values(given)), lines


def other_bits(
    sidecar: SnapshotSidecar, *, cores: int, world_size: int, hardware: Mapping[str, str]
) -> list[str]:
    """A line for each circumstance that lets the run continue, but not bit for bit."""
    lines = []
    if sidecar.cores != cores:
        lines.append(
            f"warning: the snapshot was written with {counted(sidecar.cores, 'CPU core')}, this "
            f"process has {cores}: sums round differently, so the bits will differ"
        )
    if sidecar.world_size != world_size:
        lines.append(
            f"warning: the run was trained on {counted(sidecar.world_size, 'device')}, continuing "
            f"on {world_size}: faces are augmented and batch statistics taken in other shares, so "
            "the bits will differ"
        )
    libraries = {name: version for name, version in versions().items() if name in LIBRARIES}
    if line := hardware_line({**sidecar.versions, **sidecar.hardware}, {**libraries, **hardware}):
        lines.append(line)
    return lines


def hardware_line(then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """A warning where device, drivers, settings or libraries are not those that a snapshot was
    written with; older snapshots tell less."""
    changed = [key for key in now if then.get(key, now[key]) != now[key]]
    if not changed:
        return None
    before, after = (
        ", ".join(f"{key} {values[key] or 'unknown'}" for key in changed) for values in (then, now)
    )
    return (
        f"warning: the snapshot was written with {before}; this process has {after}: "
        "the bits may differ"
    )


def _new_values(given: LoadedConfig) -> LoadedConfig:
    """What was given, without stages and ``init_from``: a run that exists keeps its own."""
    origins = {
        key: origin
        for key, origin in given.origins.items()
        if key != "init_from" and not key.startswith("stages")
    }
    return LoadedConfig(given.config.model_copy(update={"stages": ()}), origins)


def values_of(config: Config) -> dict[str, Any]:
    """Every value by its dotted key."""
    return {dotted(path): value for path, value in flat(config.to_dict()).items()}


def _final_phase_said(length: int, epochs: int) -> str:
    return f"; the final phase begins with epoch {epochs - length + 1}" if length else ""


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
