"""The state in which a kill leaves a run's folder, read as it lies there."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ferspore.files import WRITING
from ferspore.run.ckpt import UnsoundError, read_ckpt, refuse_not_finite
from ferspore.run.folder import checked, read_folder, read_snapshot
from ferspore.run.names import BEST, FINAL, METRICS, SNAPSHOT_NAME, sidecar_path
from ferspore.run.progress import is_better
from ferspore.run.standing import standing

KINDS = (
    "snapshot",
    "snapshot's sidecar",
    "best model",
    "best model's sidecar",
    "metrics",
    "configuration",
    "final model",
    "final model's sidecar",
)
STEMS = {"best_model": KINDS[2], "metrics": KINDS[4], "config": KINDS[5], "final_model": KINDS[6]}

Result = TypeVar("Result")


class SoakError(Exception):
    """Something is not as it should be; the text says what, and where."""


def expect(true: bool, text: str) -> None:
    if not true:
        raise SoakError(text)


# --- names ----------------------------------------------------------------------------------------


def kind_of(leftover: str) -> str:
    """What was being written, from the name of an unfinished file (MindSpore's end in .tmp)."""
    stem, _, ending = leftover.removeprefix(WRITING).rpartition(".")
    kind = KINDS[0] if stem.startswith("fer-") else STEMS[stem]
    return f"{kind}'s sidecar" if ending == "json" else kind


def leftovers(folder: Path) -> dict[str, int]:
    """Unfinished files, and when each was last written (ns)."""
    found = {}
    for entry in os.scandir(folder):
        if entry.name.startswith(WRITING):
            try:
                found[entry.name] = entry.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # it has just been renamed
    return found


def snapshot_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if SNAPSHOT_NAME.fullmatch(path.name)}


# --- contents -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """How far a run is; none of it may ever go back."""

    position: tuple[int, bool] = (0, False)  # global step of the newest snapshot, evaluated
    best: float | None = None


def examine(folder: Path, monitor: str, before: State) -> State:
    """Check all files that count.

    Raises:
        SoakError: one is not whole, or the run went back.
    """
    holdings = checked(read_folder(folder))
    expect(holdings.config_fault is None, f"{folder}: {holdings.config_fault}")
    expect(len(holdings.runs) <= 1, f"{folder}: snapshots of the runs {holdings.runs}")
    for snapshot in holdings.snapshots:
        sound(read_snapshot, snapshot.path)
    for unsound in holdings.unsound:  # cut between the file's rename and its sidecar's
        expect(not sidecar_path(unsound.path).exists(), f"{unsound.path}: {unsound.fault}")
    if holdings.metrics:
        lines = (folder / METRICS).read_text().splitlines()
        epochs = [json.loads(line)["epoch"] for line in lines]
        expect(epochs == list(range(1, len(epochs) + 1)), f"{folder / METRICS}: epochs {epochs}")
    if holdings.final is not None:
        sound(read_ckpt, folder / FINAL)
    best = best_of(folder, monitor)
    if before.best is not None:
        lost = best is None or is_better(monitor, before.best, best)
        expect(not lost, f"{folder / BEST}: {monitor} was {before.best}, is {best}")
    steps = [snapshot.sidecar.global_step for snapshot in holdings.snapshots]
    expect(steps == sorted(set(steps)), f"{folder}: snapshots were written at the steps {steps}")
    if holdings.newest is None:
        expect(standing(holdings) in ("empty", "begun"), f"{folder}: no sound snapshot is left")
        position = (0, False)
    else:
        position = (holdings.newest.sidecar.global_step, holdings.newest.sidecar.evaluated)
    expect(position >= before.position, f"{folder}: went back, {before.position} -> {position}")
    return State(position, best)


def best_of(folder: Path, monitor: str) -> float | None:
    """The best model's monitored value, from inside the file, whose weights must be finite."""
    path = folder / BEST
    if not path.exists():
        return None
    contents = sound(read_ckpt, path)
    sound(refuse_not_finite, contents.tensors, path)
    return contents.info["best_accuracy" if monitor == "val_accuracy" else "val_loss"]


def sound(read: Callable[..., Result], what: object, path: Path | None = None) -> Result:
    """``read(what)``, which must not find ``path`` (or ``what``) unsound."""
    try:
        return read(what)
    except UnsoundError as error:
        raise SoakError(f"{path or what}: {error}") from error
