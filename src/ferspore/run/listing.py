"""Which runs lie below a folder, and how far each of them is. Reads only; locks nothing for long.

A table of runs is no verdict: snapshots are judged by their sidecars, only a final model, which
makes a run "finished", is read whole. ``verify`` and a resume check the rest.
"""

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ferspore.config.loading import config_from_dict, load_config
from ferspore.config.schema import Config, ConfigError
from ferspore.run.ckpt import UnsoundError
from ferspore.run.folder import holds_run, list_snapshots, progress_of
from ferspore.run.names import BEST, CONFIG, FINAL, LOCK
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sidecar, read_sound
from ferspore.tables import accuracy_text, aligned, size_text

ATTEMPTS = 5  # at a folder whose trainer deletes a file while it is being looked at


@dataclass(frozen=True)
class RunState:
    """One run. ``epochs`` is None where no configuration tells how many there are to be.

    finished: the final model is sound and of the last epoch, or the run stopped early.
    running: process ``pid`` holds the folder's lock.
    stopped: neither; ``--resume`` goes on with it where a snapshot is left.
    """

    folder: Path
    state: Literal["finished", "running", "stopped"]
    pid: int | None
    epochs_done: int
    epochs: int | None
    best_accuracy: float | None
    best_epoch: int | None
    bytes: int  # of the files in the folder itself, not of the stages below it


def list_runs(root: Path) -> list[RunState]:
    """Every run in ``root`` and below it, by path; a run's stages are runs of their own.

    Raises:
        FileNotFoundError, NotADirectoryError: ``root`` is no folder.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: received a file, expected a folder with runs")
    folders = sorted(Path(where) for where, _, _ in os.walk(root))
    return [run_state(folder) for folder in folders if holds_run(folder)]


def run_state(folder: Path) -> RunState:
    """The state of the run in ``folder``."""
    for _ in range(ATTEMPTS - 1):
        try:
            return _state(folder)
        except FileNotFoundError:
            continue
    return _state(folder)


def _state(folder: Path) -> RunState:
    snapshot = newest_snapshot(folder)
    final, best = (_model(folder / name) for name in (FINAL, BEST))
    known = [sidecar for sidecar in (snapshot, final, best) if sidecar is not None]
    config = config_of(folder, known)
    pid = lock_holder(folder)
    done = epochs_done(known[0]) if known else 0
    finished = config is not None and is_finished(folder, done, config)
    named = best or snapshot or final
    return RunState(
        folder=folder,
        state="running" if pid is not None else "finished" if finished else "stopped",
        pid=pid,
        epochs_done=done,
        epochs=None if config is None else config.training.epochs,
        best_accuracy=None if named is None else named.best_accuracy,
        best_epoch=None if named is None else named.best_epoch,
        bytes=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
    )


def newest_snapshot(folder: Path) -> SnapshotSidecar | None:
    """The sidecar of the snapshot written last, among those whose sidecar is sound."""
    for path in reversed(list_snapshots(folder)):
        try:
            sidecar = read_sidecar(path)
        except UnsoundError:
            continue
        if isinstance(sidecar, SnapshotSidecar):
            return sidecar
    return None


def _model(path: Path) -> ModelSidecar | None:
    try:
        sidecar = read_sidecar(path)
    except UnsoundError:
        return None
    return sidecar if isinstance(sidecar, ModelSidecar) else None


def config_of(folder: Path, sidecars: list[SnapshotSidecar | ModelSidecar]) -> Config | None:
    """The configuration in the folder, which a resume may have changed, else a sidecar's."""
    try:
        if (folder / CONFIG).exists():
            return load_config(folder / CONFIG).config
        return config_from_dict(sidecars[0].config, "the sidecar") if sidecars else None
    except ConfigError:
        return None


def epochs_done(sidecar: SnapshotSidecar | ModelSidecar) -> int:
    if isinstance(sidecar, SnapshotSidecar):
        return progress_of(sidecar, "val_accuracy").epochs_done
    return sidecar.epoch


def is_finished(folder: Path, done: int, config: Config) -> bool:
    """Whether the final model is sound, of epoch ``done``, and no epoch is left to train."""
    try:
        _, final = read_sound(folder / FINAL)
    except UnsoundError:
        return False
    return final.epoch == done and no_epoch_left(final, config)


def no_epoch_left(final: ModelSidecar, config: Config) -> bool:
    """Whether a run under ``config`` ends at ``final``: all epochs done, or stopped early."""
    patience = config.training.patience
    early = 0 < patience <= final.epoch - (final.best_epoch or 0)
    return final.epoch >= config.training.epochs or early


def lock_holder(folder: Path) -> int | None:
    """The process that trains in the folder. None where nobody holds the lock.

    A trainer empties the file when it ends, so the lock is tried only where a process is named:
    a trainer that starts at this instant is not kept from it.
    """
    try:
        with (folder / LOCK).open() as file:
            named = file.read().strip()
            if not named.isdecimal():
                return None
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(named)
    return None


def to_dict(run: RunState) -> dict[str, Any]:
    """The fields as JSON takes them."""
    return {**asdict(run), "folder": str(run.folder)}


def format_runs(runs: list[RunState]) -> str:
    """An aligned table, a run a line."""
    header = ["run", "state", "epochs", "best accuracy", "at epoch", "size"]
    return aligned([header, *map(_row, runs)], left=2)


def _row(run: RunState) -> list[str]:
    state = run.state if run.pid is None else f"{run.state} (process {run.pid})"
    return [
        str(run.folder),
        state,
        f"{run.epochs_done}/{'-' if run.epochs is None else run.epochs}",
        accuracy_text(run.best_accuracy),
        "-" if run.best_epoch is None else str(run.best_epoch),
        size_text(run.bytes),
    ]
