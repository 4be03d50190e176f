"""Which runs lie below a folder, and where each of them stands. Reads only; locks nothing for long.

A table of runs is no verdict: ``verify`` and a resume look closer.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ferspore.config.loading import config_from_dict
from ferspore.config.schema import Config, ConfigError
from ferspore.run.changes import run_config
from ferspore.run.folder import Holdings, checked, read_folder
from ferspore.run.lock import lock_holder
from ferspore.run.progress import Progress
from ferspore.run.standing import Standing, standing
from ferspore.tables import accuracy_text, aligned, size_text

ATTEMPTS = 5  # at a folder whose trainer deletes a file while it is being looked at


@dataclass(frozen=True)
class RunState:
    """One run. ``epochs`` is None where no configuration tells how many there are to be.

    ``state`` is a word for the user: running (process ``pid`` holds the folder's lock), finished,
    early stop, stopped, or what else ``standing`` says.
    """

    folder: Path
    state: str
    pid: int | None
    epochs_done: int
    epochs: int | None
    best_accuracy: float | None
    best_epoch: int | None
    bytes: int  # of the files in the folder itself, not of the stages below it
    written: str | None  # UTC time of the newest checkpoint, as in its sidecar


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
    states = [run_state(folder) for folder in folders]
    return [state for state in states if state is not None]


def run_state(folder: Path) -> RunState | None:
    """The state of the run in ``folder``; None where there is none."""
    for _ in range(ATTEMPTS - 1):
        try:
            return _state(folder)
        except FileNotFoundError:
            continue
    return _state(folder)


def _state(folder: Path) -> RunState | None:
    holdings = checked(read_folder(folder))
    stands = _standing(holdings)
    if stands == "empty":
        return None
    config = _config(holdings)
    done = _epochs_done(holdings)
    best = _best(holdings)
    pid = lock_holder(folder)
    return RunState(
        folder=folder,
        state=_word(stands, holdings, done, config, pid),
        pid=pid,
        epochs_done=done,
        epochs=None if config is None or stands in ("staged", "model") else config.training.epochs,
        best_accuracy=best and best.best_accuracy,
        best_epoch=best and best.best_epoch,
        bytes=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        written=_written(holdings),
    )


def _standing(holdings: Holdings) -> Standing:
    try:
        return standing(holdings)
    except ConfigError:  # in the newest snapshot's sidecar: a resume says what is wrong with it
        return "damaged"


def _word(
    stands: Standing, holdings: Holdings, done: int, config: Config | None, pid: int | None
) -> str:
    if pid is not None:
        return "running"
    if stands == "staged":
        finished = sum(_standing(stage) == "finished" for stage in holdings.stages.values())
        return f"stages {finished}/{len(holdings.stages)}"
    if stands == "finished":
        return "finished" if config is None or done >= config.training.epochs else "early stop"
    return "stopped" if stands in ("not evaluated", "without final model") else stands


def _config(holdings: Holdings) -> Config | None:
    """The configuration in the folder, which a resume may have changed, else a sidecar's."""
    if holdings.config is not None:
        return holdings.config
    models = [model.sidecar for model in (holdings.final, holdings.best) if model is not None]
    try:
        if holdings.newest is not None:
            return run_config(holdings.newest, holdings)
        return next((config_from_dict(s.config, "its sidecar") for s in models if s), None)
    except ConfigError:
        return None


def _epochs_done(holdings: Holdings) -> int:
    if holdings.newest is not None and holdings.newest.sidecar is not None:
        return Progress.at(holdings.newest.sidecar).epochs_done
    models = [model.sidecar for model in (holdings.final, holdings.best) if model is not None]
    return next((sidecar.epoch for sidecar in models if sidecar is not None), 0)


def _written(holdings: Holdings) -> str | None:
    found = [holdings.newest, holdings.final, holdings.best]
    times = [one.sidecar.created for one in found if one is not None and one.sidecar]
    times += [time for stage in holdings.stages.values() if (time := _written(stage))]
    return max(times, default=None)


def _best(holdings: Holdings):
    """The sidecar that tells the best accuracy and epoch."""
    known = [holdings.best, holdings.newest, holdings.final]
    return next((one.sidecar for one in known if one is not None and one.sidecar), None)


def to_dict(run: RunState) -> dict[str, Any]:
    """The fields as JSON takes them."""
    return {**asdict(run), "folder": str(run.folder)}


def in_order(runs: list[RunState], order: str) -> list[RunState]:
    """By name, or with the best ("accuracy") or the latest ("date") first."""
    if order == "name":
        return sorted(runs, key=lambda run: run.folder)
    key = {"accuracy": "best_accuracy", "date": "written"}[order]
    known = [run for run in runs if getattr(run, key) is not None]
    known.sort(key=lambda run: getattr(run, key), reverse=True)
    return [*known, *(run for run in runs if run not in known)]


def format_runs(runs: list[RunState]) -> str:
    """An aligned table, a run a line."""
    header = ["run", "state", "epochs", "best accuracy", "at epoch", "size", "written (UTC)"]
    return aligned([header, *map(_row, runs)], left=2)


def _row(run: RunState) -> list[str]:
    state = run.state if run.pid is None else f"{run.state} (process {run.pid})"
    of = "" if run.epochs is None else f"/{run.epochs}"
    return [
        str(run.folder),
        state,
        f"{run.epochs_done}{of}" if run.epochs_done or of else "-",
        accuracy_text(run.best_accuracy),
        "-" if run.best_epoch is None else str(run.best_epoch),
        size_text(run.bytes),
        "-" if run.written is None else run.written[:16].replace("T", " "),
    ]
