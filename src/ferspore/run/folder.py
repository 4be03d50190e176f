"""A run's folder: file names, snapshots and their rolling window, the best model, the lock.

The only module that knows the names of a run's files. Nothing is deleted before its successor
is safe, and the best model is never replaced by a lower one.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ferspore.files import WRITING, write_file
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import UnsoundError, not_finite, read_ckpt, write_ckpt
from ferspore.run.names import (
    BEST,
    CONFIG,
    LOCK,
    METRICS,
    SNAPSHOT_NAME,
    sidecar_path,
    snapshot_name,
)
from ferspore.run.progress import Progress, is_better
from ferspore.run.sidecar import (
    SnapshotSidecar,
    describe_file,
    publish,
    read_sidecar,
    read_sound,
    roll_forward,
    seal,
)


class RunLockedError(Exception):
    """Another process trains in the folder."""


# --- snapshots ------------------------------------------------------------------------------------


def snapshot_sidecar(
    described: Mapping[str, Any], progress: Progress, run: Mapping[str, Any]
) -> bytes:
    """The sealed sidecar that makes a snapshot count.

    ``described`` is of ``describe_file``; ``run`` holds config, data, stage, command and cores.
    """
    values = {
        **described,
        "kind": "snapshot",
        "run": "",
        "sequence": progress.global_step,
        "face_size": run["config"]["data"]["face_size"],
        "epoch": progress.epoch,
        "step": progress.step,
        "steps_per_epoch": progress.steps_per_epoch,
        "global_step": progress.global_step,
        "evaluated": progress.evaluated,
        "epoch_loss_sum": progress.epoch_loss_sum,
        "epoch_loss_steps": progress.epoch_loss_steps,
        "epoch_seconds": progress.epoch_seconds,
        "best_accuracy": progress.best_accuracy,
        "best_loss": progress.best_loss,
        "best_epoch": progress.best_epoch,
        "epochs_since_best": progress.epochs_since_best,
        "history": progress.history,
        "resumes": progress.resumes,
        **run,
    }
    return seal(values)


@dataclass(frozen=True)
class Snapshot:
    """A sound snapshot: one that a run can go on from."""

    path: Path
    tensors: dict[str, np.ndarray]
    sidecar: SnapshotSidecar


def read_snapshot(path: Path) -> Snapshot:
    """A sound snapshot; a copy set aside under its own name is as good as one in the window.

    Raises:
        UnsoundError: see ``read_sound``; or its sidecar contradicts its name or itself.
    """
    contents, sidecar = read_sound(path)
    if not isinstance(sidecar, SnapshotSidecar):
        raise UnsoundError("it is no snapshot: only weights are in it")
    if path.name != snapshot_name(sidecar.epoch, sidecar.step):
        raise UnsoundError(f"its sidecar says epoch {sidecar.epoch} step {sidecar.step}")
    expected = (sidecar.epoch - 1) * sidecar.steps_per_epoch + sidecar.step
    if sidecar.step > sidecar.steps_per_epoch or sidecar.global_step != expected:
        raise UnsoundError("its sidecar's epoch, step and global_step disagree")
    return Snapshot(path, contents.tensors, sidecar)


def progress_of(sidecar: SnapshotSidecar, monitor: str) -> Progress:
    """The state of the run at a snapshot."""
    return Progress(
        steps_per_epoch=sidecar.steps_per_epoch,
        monitor=monitor,
        epoch=sidecar.epoch,
        step=sidecar.step,
        evaluated=sidecar.evaluated,
        epoch_loss_sum=sidecar.epoch_loss_sum,
        epoch_loss_steps=sidecar.epoch_loss_steps,
        epoch_seconds=sidecar.epoch_seconds,
        best_accuracy=sidecar.best_accuracy,
        best_loss=sidecar.best_loss,
        best_epoch=sidecar.best_epoch,
        history=list(sidecar.history),
        resumes=list(sidecar.resumes),
    )


def list_snapshots(folder: Path) -> list[Path]:
    """The folder's snapshots by name, sound or not, in the order in which they were written.

    The time stands in the sidecar, since a copy changes the file's; without one the file's own
    time counts. (A run that went back to an older snapshot writes lower epochs later.)
    """
    found = []
    for path in folder.iterdir():
        if matched := SNAPSHOT_NAME.fullmatch(path.name):
            found.append((_written(path), int(matched[1]), int(matched[2]), path))
    return [entry[-1] for entry in sorted(found)]


def _written(path: Path) -> str:
    try:
        return read_sidecar(path).created
    except UnsoundError:
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return moment.isoformat(timespec="microseconds")


def newest_sound(folder: Path) -> tuple[Snapshot | None, list[str]]:
    """The newest snapshot that can be resumed, and a line for each newer one passed over."""
    passed_over = []
    for path in reversed(list_snapshots(folder)):
        try:
            return read_snapshot(path), passed_over
        except UnsoundError as error:
            passed_over.append(f"{path}: passed over: {error}")
    return None, passed_over


def surplus(names: list[str], keep: int) -> list[str]:
    """Those of ``names``, oldest first, that a rolling window of ``keep`` drops."""
    return names[: max(len(names) - keep, 0)]


def prune(folder: Path, keep: int, newest: Path) -> None:
    """Delete the oldest snapshots beyond ``keep``; ``newest`` stays whatever its clock says."""
    others = [path for path in list_snapshots(folder) if path != newest]
    for name in surplus([path.name for path in others], keep - 1):
        sidecar_path(folder / name).unlink(missing_ok=True)
        (folder / name).unlink(missing_ok=True)


def clean_leftovers(folder: Path) -> None:
    """Finish or delete what a killed writer left behind; the caller holds the folder's lock."""
    for path in sorted(folder.glob(WRITING + "*")):
        if path.suffix != ".json" or not roll_forward(path):
            path.unlink(missing_ok=True)
    for path in folder.glob("fer-*.json"):
        if not path.with_suffix(".ckpt").exists():
            path.unlink(missing_ok=True)


def holds_run(folder: Path) -> bool:
    """Whether the folder holds anything of a run, ours or plain MindSpore's."""
    return folder.is_dir() and any(
        path.suffix == ".ckpt" or path.name in (CONFIG, METRICS) for path in folder.iterdir()
    )


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
    write_file(path, text.encode())


# --- best and final model -------------------------------------------------------------------------


def save_model(
    path: Path,
    kind: Literal["best", "final"],
    weights: Mapping[str, np.ndarray],
    progress: Progress,
    run: Mapping[str, Any],
) -> None:
    """Write a weights-only checkpoint, then its sidecar.

    Best accuracy, epoch and validation loss stand inside the file too, so that the sidecar can
    be made anew. ``run`` holds config, data, usage and command.
    """
    latest = progress.history[-1] if progress.history else {}
    info = {
        "best_accuracy": progress.best_accuracy,
        "best_epoch": progress.best_epoch,
        "val_loss": latest.get("val_loss"),
        "epoch_num": progress.epoch,
    }
    known = {tag: value for tag, value in info.items() if value is not None}
    beside = write_ckpt(path, weights, known)
    described = describe_file(beside, path.name)
    sidecar = model_sidecar(described, kind, weights, info, progress.monitor, run, progress.history)
    publish(beside, path, sidecar)


def model_sidecar(
    described: Mapping[str, Any],
    kind: Literal["best", "final"],
    weights: Mapping[str, np.ndarray],
    info: Mapping[str, float | int | None],
    monitor: str,
    run: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """The sealed sidecar of a weights-only file; ``info`` is what stands inside the file."""
    values = {
        **described,
        "kind": kind,
        "run": "",
        "sequence": 0,
        "face_size": run["config"]["data"]["face_size"],
        "best_accuracy": info.get("best_accuracy"),
        "best_epoch": info.get("best_epoch"),
        "epoch": info.get("epoch_num") or 0,
        "monitor": monitor,
        "usage": run["usage"],
        "val_loss": info.get("val_loss"),
        "parameters": sum(int(value.size) for value in weights.values()),
        "classes": list(EMOTIONS),
        "config": run["config"],
        "data": run["data"],
        "command": run["command"],
        "history": list(history),
    }
    return seal(values)


def best_value(folder: Path, monitor: str) -> float | None:
    """The monitored value of the folder's best model, None without one.

    It stands inside the file; for a file that plain MindSpore wrote, in the sidecar.
    """
    path, key = folder / BEST, "best_accuracy" if monitor == "val_accuracy" else "val_loss"
    try:
        value = read_ckpt(path).info.get(key)
        return value if value is not None else getattr(read_sound(path)[1], key)
    except (OSError, UnsoundError):
        return None


def guards_best(folder: Path, progress: Progress) -> bool:
    """Whether the folder's best model is better than the one that ``progress`` calls its best."""
    mine = progress.best_accuracy if progress.monitor == "val_accuracy" else progress.best_loss
    theirs = best_value(folder, progress.monitor)
    return theirs is not None and mine is not None and is_better(progress.monitor, theirs, mine)


def repair_best(folder: Path, monitor: str, run: Mapping[str, Any]) -> str | None:
    """Make best_model.json agree with best_model.ckpt again, from what stands inside the file.

    Returns what was found and done, or None where nothing was wrong.
    """
    path = folder / BEST
    if not path.exists():
        return None
    try:
        read_sound(path)
        return None
    except UnsoundError as error:
        reason = str(error)
    try:
        contents = read_ckpt(path)
    except UnsoundError as error:
        return f"{path}: {error}; it is not used, and the next best model replaces it"
    if "best_accuracy" not in contents.info or not_finite(contents.tensors):
        return None
    described = describe_file(path, path.name)
    sidecar = model_sidecar(described, "best", contents.tensors, contents.info, monitor, run)
    write_file(sidecar_path(path), sidecar)
    return f"{path}: {reason}; the sidecar was made anew from the accuracy and epoch in the file"


# --- one trainer a folder -------------------------------------------------------------------------


class RunLock:
    """Held by the living trainer of a folder; the kernel drops it when the process dies."""

    def __init__(self, folder: Path):
        self.path = folder / LOCK

    def __enter__(self) -> "RunLock":
        """
        Raises:
            RunLockedError: another process holds it.
        """
        self._file = self.path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise RunLockedError(
                f"{self.path.parent}: another trainer (process {holder}) is at work in this folder"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(self, *_) -> None:
        self._file.truncate(0)
        if [path.name for path in self.path.parent.iterdir()] == [LOCK]:
            self.path.unlink()  # the run was refused before it wrote anything: leave no trace
            self.path.parent.rmdir()
        self._file.close()
