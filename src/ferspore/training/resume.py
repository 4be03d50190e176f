"""Which snapshot a run goes on from, under which configuration, and putting it back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from ferspore.config.loading import LoadedConfig, config_from_dict
from ferspore.config.schema import Config, ConfigError
from ferspore.evaluation.evaluator import shape_differences, weights_in
from ferspore.network.step import EMA_PREFIX, TrainStep
from ferspore.run import plain as foreign
from ferspore.run.ckpt import UnsoundError, read_ckpt, refuse_not_finite
from ferspore.run.folder import Snapshot, newest_sound, read_snapshot
from ferspore.run.names import BEST, FINAL
from ferspore.run.plain import PlainCheckpoint
from ferspore.run.sidecar import SnapshotSidecar

AUTO = "auto"
FREE_KEYS = {
    "name",
    "device",
    "data.csv",  # the content is compared instead, so a moved file is no change
    "data.cache",
    "training.epochs",
    "training.patience",
    "sidecar.keep_checkpoint_max",
    "sidecar.save_checkpoint_steps",
    "logging.tensorboard",
    "logging.progress",
}
WARNED_KEYS = {
    "training.lr": "the optimizer's moments stay as they are: they were built at the old rate",
    "training.weight_decay": "the optimizer's moments stay as they are",
}


class ResumeError(ValueError):
    """The user asked for a resume that cannot be."""


def resume_folder(resume: str) -> Path | None:
    """The run's folder that ``--resume`` names, or None for ``auto``.

    Raises:
        ResumeError: nothing is there.
    """
    if resume == AUTO:
        return None
    path = Path(resume)
    if not path.exists():
        raise ResumeError(f"--resume {resume}: no such file or folder")
    return path if path.is_dir() else path.parent


def find_snapshot(resume: str, folder: Path) -> tuple[Snapshot | PlainCheckpoint | None, list[str]]:
    """What to go on from, None where the run starts from scratch; and lines for the user.

    Raises:
        ResumeError: the file that was named, or every snapshot of the folder, is not sound.
    """
    try:
        if resume != AUTO and Path(resume).is_file():
            return _named_snapshot(Path(resume)), []
        if folder.is_dir() and foreign.is_plain(folder):
            return foreign.newest(folder)
    except UnsoundError as error:
        raise ResumeError(f"--resume {resume}: {error}") from error
    snapshot, passed_over = newest_sound(folder) if folder.is_dir() else (None, [])
    if snapshot is not None:
        return snapshot, passed_over
    if passed_over:
        raise ResumeError("\n".join([*passed_over, f"{folder}: no sound snapshot is left"]))
    if resume != AUTO:
        raise ResumeError(f"--resume {resume}: there is no snapshot in this folder")
    return None, [f"{folder}: no snapshot to resume, the run starts from scratch"]


def _named_snapshot(path: Path) -> Snapshot | PlainCheckpoint:
    if path.name in (BEST, FINAL):
        raise ResumeError(
            f"--resume {path}: only weights are in it; --init_from {path} starts a new run from "
            "them, and --resume with the folder goes on from its newest snapshot"
        )
    if foreign.is_plain(path.parent):
        return foreign.read(path)
    return read_snapshot(path)


def resumed_config(sidecar: SnapshotSidecar, given: LoadedConfig) -> tuple[Config, list[str]]:
    """The snapshot's configuration with what was given anew; and lines that name each winner.

    Raises:
        ConfigError: a value was given that would change the model, the data or the order of
            batches, or ``epochs`` is below what is done. All of them are named.
    """
    old = config_from_dict(sidecar.config, "the snapshot's configuration")
    before, after = _leaves(old.to_dict()), _leaves(given.config.to_dict())
    faults, lines, changed = [], [], {}
    for key, origin in given.origins.items():
        if origin == "default" or key not in after or after[key] == before.get(key):
            continue
        told = f"{key}: the run has {before.get(key)!r}, received {after[key]!r} [{origin}]"
        if key not in FREE_KEYS and key not in WARNED_KEYS:
            faults.append(f"{told}; it defines the run and cannot change on a resume")
            continue
        changed[key] = after[key]
        if key in WARNED_KEYS:
            lines.append(f"warning: {told}; the new value is used, {WARNED_KEYS[key]}")
        elif key == "training.epochs":
            lines.append(
                f"{key}: {before[key]} -> {after[key]}; the learning rate now follows the "
                f"schedule of {after[key]} epochs from step {sidecar.global_step + 1} on"
            )
        elif key not in ("name", "data.csv"):
            lines.append(f"{key}: {before.get(key)!r} -> {after[key]!r}")
    epochs = changed.get("training.epochs", before["training.epochs"])
    if epochs < sidecar.epoch:
        faults.append(f"training.epochs: received {epochs}, but epoch {sidecar.epoch} has begun")
    if faults:
        raise ConfigError("\n".join(faults))
    return config_from_dict(_tree({**before, **changed}), "the resumed configuration"), lines


def restore(step: TrainStep, snapshot: Snapshot) -> None:
    """Put a snapshot's tensors into the step, each by its exact name and shape.

    Raises:
        ResumeError: a name or a shape is not that of the run; nothing is changed then.
    """
    put(step, snapshot.tensors, str(snapshot.path))


def initialise_from(step: TrainStep, path: Path) -> None:
    """Start from the weights of another run; everything else is new.

    Raises:
        ResumeError: the file is not sound, or its net is another one (all differences named).
    """
    try:
        _, weights = weights_in(read_ckpt(path))
        refuse_not_finite(weights)
    except UnsoundError as error:
        raise ResumeError(f"--init_from {path}: {error}") from error
    except OSError as error:
        raise ResumeError(f"--init_from {path}: {error.strerror}") from error
    put(step.network, weights, f"--init_from {path}")
    start_averages(step)


def start_averages(step: TrainStep) -> None:
    """Let the moving averages start at the present weights."""
    values = {p.name: p.asnumpy() for p in step.network.get_parameters()}
    for average in step.averages:
        average.set_data(Tensor(values[average.name.removeprefix(EMA_PREFIX)].copy()))


def put(cell: nn.Cell, tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Set every parameter of ``cell`` from ``tensors``; ``source`` names them in an error.

    Raises:
        ResumeError: names or shapes differ (all differences named); nothing is changed then.
    """
    parameters = {parameter.name: parameter for parameter in cell.get_parameters()}
    faults = shape_differences(
        {name: parameter.shape for name, parameter in parameters.items()},
        {name: value.shape for name, value in tensors.items()},
    )
    if faults:
        raise ResumeError(f"{source}: another net or optimizer:\n  " + "\n  ".join(faults))
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(tensors[name].copy()))


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``; lists are leaves."""
    leaves = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves.update(_leaves(value, f"{prefix}{key}."))
        else:
            leaves[prefix + key] = value
    return leaves


def _tree(leaves: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        *sections, key = path.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = value
    return tree
