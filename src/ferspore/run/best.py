"""Best and final model: their sidecars, what the best one in a folder is worth, and its repair."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ferspore import files
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import (
    Contents,
    UnreadableError,
    UnsoundError,
    not_finite,
    parameter_count,
    read_ckpt,
)
from ferspore.run.names import BEST, sidecar_path
from ferspore.run.records import RecordTexts
from ferspore.run.sidecar import (
    Facts,
    ModelSidecar,
    SnapshotSidecar,
    describe_file,
    read_sidecar,
    read_sound,
    seal,
)

Weights = Mapping[str, np.ndarray]


def model_sidecar(
    described: Mapping[str, Any],
    kind: Literal["best", "final"],
    weights: Weights,
    info: Mapping[str, float | int],
    monitor: str,
    facts: Facts,
    records: RecordTexts,
) -> bytes:
    """The sealed sidecar of a weights-only file; ``info`` is what stands inside the file,
    ``records`` the history."""
    return seal(
        {
            **described,
            "kind": kind,
            "run": facts.run,
            "face_size": facts.face_size,
            "best_accuracy": info.get("best_accuracy"),
            "best_epoch": info.get("best_epoch"),
            "epoch": info.get("epoch_num", 0),
            "monitor": monitor,
            "val_loss": info.get("val_loss"),
            "parameters": parameter_count({name: value.shape for name, value in weights.items()}),
            "classes": list(EMOTIONS),
            **facts.model,
        },
        records,
    )


def best_value(folder: Path, monitor: str) -> float | None:
    """The monitored value of the folder's best model, None without one or where it is damaged.

    It stands inside the file; for a file that plain MindSpore wrote, in the sidecar.

    Raises:
        OSError: the file is there and cannot be read: it may be better than any other.
    """
    path, key = folder / BEST, "best_accuracy" if monitor == "val_accuracy" else "val_loss"
    try:
        contents = read_ckpt(path)
        if _is_damaged(path, contents):
            return None
        value = contents.info.get(key)
        return value if value is not None else getattr(read_best(path)[1], key)
    except (FileNotFoundError, UnsoundError):
        return None


def read_best(path: Path) -> tuple[Contents, SnapshotSidecar | ModelSidecar]:
    """``read_sound``, but a best model that cannot be read now is not taken for a bad one.

    Raises:
        UnsoundError: it is missing or not sound.
        OSError: it cannot be read.
    """
    try:
        return read_sound(path)
    except UnreadableError as error:
        raise OSError(
            f"{path}: {error}; it may be better than the next best, so it is not replaced"
        ) from error


def _is_damaged(path: Path, contents: Contents) -> bool:
    """Whether a best model calls itself the one of its sidecar, but is not."""
    try:
        sidecar = read_sidecar(path)
    except UnsoundError:
        return False
    names = ("best_accuracy", "best_epoch")
    same = all(contents.info.get(name) == getattr(sidecar, name) for name in names)
    return same and files.file_sha256(path) != sidecar.sha256


def repair_best(folder: Path, monitor: str, facts: Facts) -> str | None:
    """Make best_model.json agree with best_model.ckpt again, from what stands inside the file.

    Returns what was found and done, or None where nothing was wrong.
    """
    path = folder / BEST
    if not path.exists():
        return None
    try:
        read_best(path)
        return None
    except UnsoundError as error:
        reason = str(error)
    try:
        contents = read_ckpt(path)
    except UnsoundError as error:
        return f"{path}: {error}; it is not used, and the next best model replaces it"
    if _is_damaged(path, contents):
        return f"{path}: {reason}; it is not used, and the next best model replaces it"
    finite = all(map(math.isfinite, contents.info.values())) and not not_finite(contents.tensors)
    if "best_accuracy" not in contents.info or not finite:
        return None
    described = {**describe_file(path, path.name), "sequence": 0}
    tensors, info = contents.tensors, contents.info
    sidecar = model_sidecar(described, "best", tensors, info, monitor, facts, RecordTexts())
    files.write_file(sidecar_path(path), sidecar)
    return f"{path}: {reason}; the sidecar was rebuilt from the accuracy and epoch in the file"
