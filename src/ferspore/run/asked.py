"""What the user asked for, and what was decided to do: plain data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ferspore.config.loading import LoadedConfig
from ferspore.config.schema import Config
from ferspore.run.folder import Holdings, Snapshot, checked, read_folder

AUTO: Literal["auto"] = "auto"
Action = Literal["start", "resume", "evaluate", "finish", "finished", "take over"]


class RefusalError(ValueError):
    """What was asked for cannot be done in this folder; the text says why, and what can."""


@dataclass(frozen=True)
class Asked:
    """What the user asked for. ``folder`` receives the run's files; ``resume`` is None, AUTO (the
    newest snapshot of ``folder``), a folder or a file."""

    folder: Path
    given: LoadedConfig
    resume: Path | Literal["auto"] | None = None
    stage: str | None = None
    all_stages: bool = False
    command: str = ""

    @property
    def source(self) -> Path:
        """The folder that the run continues from."""
        if not isinstance(self.resume, Path):
            return self.folder
        return self.resume if self.resume.suffix != ".ckpt" else self.resume.parent

    @property
    def named(self) -> Path | None:
        """The checkpoint that the run continues from, if one was named."""
        if isinstance(self.resume, Path) and self.resume.suffix == ".ckpt":
            return self.resume
        return None


@dataclass(frozen=True)
class Decision:
    """What to do in ``folder``.

    start: train from the first step, from the weights of ``init_from`` if there are any.
    resume: train on from ``snapshot``; evaluate: the same, but evaluate its epoch first.
    finish: write what is missing at the run's end. finished: nothing.
    take over: train on from ``plain``, a checkpoint of plain MindSpore.

    ``snapshot`` may lie in another folder; it and the best model of its run are then copied to
    ``folder``. ``lines`` are for the user.
    """

    action: Action
    folder: Path
    loaded: LoadedConfig
    snapshot: Snapshot | None = None
    plain: Path | None = None
    init_from: Path | None = None
    stage: str | None = None
    command: str = ""
    last_sequence: int = 0
    lines: tuple[str, ...] = ()

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def source(self) -> Path | None:
        """The checkpoint that the run continues from."""
        return self.plain if self.snapshot is None else self.snapshot.path

    @property
    def is_finished(self) -> bool:
        return self.action == "finished"


@dataclass(frozen=True)
class StagesDecision:
    """What to do for each stage, in order; ``keep_config``: whether ``loaded``'s configuration
    becomes that of the whole run."""

    folder: Path
    loaded: LoadedConfig
    parts: tuple[Decision, ...]
    keep_config: bool
    lines: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        return all(part.is_finished for part in self.parts)


def look(asked: Asked) -> tuple[Holdings, Holdings]:
    """What ``folder`` holds, and what the folder holds that the run continues from (usually the
    same).

    Raises:
        RefusalError: see ``check_folders``.
        OSError: a folder cannot be read.
    """
    check_folders(asked)
    stages = tuple(stage.name for stage in asked.given.config.stages)
    if same_folder(asked.source, asked.folder):
        target = checked(read_folder(asked.folder, stages), asked.named)
        return target, target
    return read_folder(asked.folder, stages), checked(read_folder(asked.source), asked.named)


def check_folders(asked: Asked) -> None:
    """
    Raises:
        RefusalError: ``resume`` names a file that is no checkpoint, or ``folder`` is a file.
    """
    if isinstance(asked.resume, Path) and asked.source.is_file():
        raise RefusalError(f"--resume {asked.resume}: expected a run's folder or a .ckpt file")
    if asked.folder.is_file():
        raise RefusalError(f"{asked.folder}: received a file, expected a folder for the run")


def same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
