"""Which values of a run may be given anew on a resume, and who wins."""

import json
from typing import Any

from ferspore.config.loading import DEFAULT, LoadedConfig, config_from_dict, over
from ferspore.config.paths import dotted, flat
from ferspore.config.schema import Config, ConfigError
from ferspore.run.folder import Holdings, SnapshotFile

FREE_KEYS = {
    "name",
    "device",
    "data.csv",  # the content is compared instead, so a moved file is no change
    "data.cache",
    "training.epochs",
    "training.patience",
    "checkpoint.keep_checkpoint_max",
    "checkpoint.save_checkpoint_steps",
    "logging.tensorboard",
    "logging.progress",
}
WARNED_KEYS = {
    "training.lr": "the optimizer's moments stay as they are: they were built at the old rate",
    "training.weight_decay": "the optimizer's moments stay as they are",
}


def run_config(snapshot: SnapshotFile, holdings: Holdings) -> Config:
    """The configuration that the run goes on with from ``snapshot``.

    It is the one in the folder, which tells what the run was last given, where it belongs to the
    newest snapshot: a stop before the first snapshot under new values forgets none of them. An
    older snapshot, or one in whose run a defining value differs, has its own.

    Raises:
        ConfigError: it is none.
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
    snapshot: SnapshotFile, holdings: Holdings, given: LoadedConfig
) -> tuple[LoadedConfig, list[str]]:
    """The run's configuration with what was given anew; and lines that name each winner.

    Raises:
        ConfigError: a value was given that would change the model, the data or the order of
            batches, or ``epochs`` is below what is done. All of them are named.
    """
    old, sidecar = run_config(snapshot, holdings), snapshot.sidecar
    before, after = values_of(old), values_of(given.config)
    faults, lines = [], []
    epochs = before["training.epochs"]
    for key, origin in given.origins.items():
        if origin == DEFAULT or key not in before or after[key] == before[key]:
            continue
        if key == "init_from" and (after[key] is None or sidecar.run == ""):
            continue  # format 1 did not keep it
        told = f"{key}: the run has {_said(before[key])}, received {_said(after[key])} [{origin}]"
        if key not in FREE_KEYS and key not in WARNED_KEYS:
            faults.append(f"{told}; it defines the run and cannot change on a resume")
        elif key in WARNED_KEYS:
            lines.append(f"warning: {told}; the new value is used, {WARNED_KEYS[key]}")
        elif key == "training.epochs":
            epochs = after[key]
            lines.append(
                f"{key}: {before[key]} -> {epochs}; the learning rate now follows the schedule of "
                f"{epochs} epochs from step {sidecar.global_step + 1} on"
            )
        elif key not in ("name", "data.csv"):
            lines.append(f"{key}: {_said(before[key])} -> {_said(after[key])}")
    if epochs < sidecar.epoch:
        faults.append(f"training.epochs: received {epochs}, but epoch {sidecar.epoch} has begun")
    if faults:
        raise ConfigError("\n".join(faults))
    return over(old, _without_stages(given)), lines


def _without_stages(given: LoadedConfig) -> LoadedConfig:
    origins = {key: o for key, o in given.origins.items() if not key.startswith("stages")}
    if given.config.init_from is None:
        origins.pop("init_from", None)
    return LoadedConfig(given.config.model_copy(update={"stages": ()}), origins)


def values_of(config: Config) -> dict[str, Any]:
    """Every value by its dotted key."""
    return {dotted(path): value for path, value in flat(config.to_dict()).items()}


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
