"""What a folder holds of a run, read once and never changed here.

Snapshots are ordered by the sequence number in their sidecars, never by a clock. (Format 1 had no
sequence number: among its snapshots, which come before all others, the time in the sidecar orders.)
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.config.loading import load_config
from ferspore.config.schema import Config, ConfigError
from ferspore.files import LARGEST_TEXT, read_file
from ferspore.run.ckpt import Contents, UnsoundError, read_ckpt
from ferspore.run.names import BEST, CONFIG, FINAL, METRICS, SNAPSHOT_NAME, sidecar_path
from ferspore.run.plain import PLAIN_NAME, by_time
from ferspore.run.progress import Progress
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sidecar, read_sound


@dataclass(frozen=True)
class Snapshot:
    """A snapshot whose sidecar is sound; with ``contents`` the file was read and is sound, too."""

    path: Path
    sidecar: SnapshotSidecar
    contents: Contents | None = field(default=None, repr=False, compare=False)

    @property
    def order(self) -> tuple[int, str, str]:
        return (self.sidecar.sequence, self.sidecar.created, self.path.name)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """
        Raises:
            ValueError: the contents were not read, see ``checked``.
        """
        if self.contents is None:
            raise ValueError(f"{self.path}: its contents were not read")
        return self.contents.tensors


@dataclass(frozen=True)
class Unsound:
    """A file with a snapshot's name that does not count. ``snapshot``: where the sidecar is sound
    and only the file is not. ``ours``: whether ferspore wrote it."""

    path: Path
    fault: str
    snapshot: Snapshot | None = None
    ours: bool = True


@dataclass(frozen=True)
class ModelFile:
    """best_model.ckpt or final_model.ckpt; ``fault`` where its sidecar is missing or unsound."""

    path: Path
    sidecar: ModelSidecar | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Holdings:
    """Everything that a decision may depend on. ``snapshots`` are in the order of writing."""

    folder: Path
    names: frozenset[str] | None = None  # of all files there; None where the folder is missing
    snapshots: tuple[Snapshot, ...] = ()
    unsound: tuple[Unsound, ...] = ()
    best: ModelFile | None = None
    final: ModelFile | None = None
    config: Config | None = None
    config_fault: str | None = None
    plain: tuple[Path, ...] = ()  # of plain MindSpore, the latest last
    metrics: list[Any] | None = None  # its records; None where it is missing
    stages: Mapping[str, "Holdings"] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.names is not None

    @property
    def newest(self) -> Snapshot | None:
        """The snapshot written last among those that are sound as far as they were read."""
        return self.snapshots[-1] if self.snapshots else None

    @property
    def runs(self) -> set[str]:
        """The runs that the snapshots belong to; more than one is a fault."""
        return {snapshot.sidecar.run for snapshot in self.snapshots}

    @property
    def is_staged(self) -> bool:
        return self.config is not None and bool(self.config.stages)

    @property
    def is_plain(self) -> bool:
        """Whether only plain MindSpore's checkpoints are there."""
        ours = self.snapshots or any(unsound.ours for unsound in self.unsound)
        return bool(self.plain) and not ours

    @property
    def is_trained(self) -> bool:
        """Whether anything is there that training made."""
        files = (*self.snapshots, *self.unsound, *self.plain)
        return bool(files or self.best or self.final or self.metrics is not None)

    @property
    def last_sequence(self) -> int:
        """Models count, too: they may outlive the snapshot that they were made from."""
        models = [model.sidecar for model in (self.best, self.final) if model is not None]
        found = [*(snapshot.sidecar for snapshot in self.dated), *models]
        return max((sidecar.sequence for sidecar in found if sidecar), default=0)

    @property
    def dated(self) -> list[Snapshot]:
        """Every snapshot with a sound sidecar, in the order of writing, the file sound or not."""
        damaged = [unsound.snapshot for unsound in self.unsound if unsound.snapshot]
        return sorted([*self.snapshots, *damaged], key=lambda snapshot: snapshot.order)


def read_folder(folder: Path, stages: Sequence[str] = ()) -> Holdings:
    """What ``folder`` holds, by names and sidecars; a folder that is not there holds nothing.

    ``stages`` names folders below it that may hold stages, beside those of its configuration.

    Raises:
        NotADirectoryError: ``folder`` is a file.
        OSError: it cannot be read.
    """
    if not folder.exists():
        return Holdings(folder)
    paths = sorted(folder.iterdir())
    names = {path.name for path in paths}
    config, fault = _config(folder / CONFIG) if CONFIG in names else (None, None)
    found = [_snapshot(path) for path in paths if SNAPSHOT_NAME.fullmatch(path.name)]
    snapshots = [file for file in found if isinstance(file, Snapshot)]
    unsound = [file for file in found if isinstance(file, Unsound)]
    ours = {file.path for file in snapshots} | {file.path for file in unsound if file.ours}
    plain = [
        path
        for path in paths
        if PLAIN_NAME.fullmatch(path.name) and path.is_file() and path not in ours
    ]
    own = [stage.name for stage in config.stages] if config is not None else []
    return Holdings(
        folder=folder,
        names=frozenset(names),
        snapshots=tuple(sorted(snapshots, key=lambda snapshot: snapshot.order)),
        unsound=tuple(unsound),
        best=_model(folder / BEST) if BEST in names else None,
        final=_model(folder / FINAL) if FINAL in names else None,
        config=config,
        config_fault=fault,
        plain=tuple(by_time(plain)),
        metrics=_records(folder / METRICS) if METRICS in names else None,
        stages={name: read_folder(folder / name) for name in dict.fromkeys([*own, *stages])},
    )


def checked(holdings: Holdings, named: Path | None = None) -> Holdings:
    """The same with two contents read: that of the snapshot that a resume would take (``named``,
    or the newest sound one), and of the final model. Those found unsound are so from here on."""
    snapshots, unsound = list(holdings.snapshots), list(holdings.unsound)
    for snapshot in reversed(holdings.snapshots):
        if named and snapshot.path.name != named.name:
            continue
        place = snapshots.index(snapshot)
        try:
            snapshots[place] = _with_contents(snapshot)
            break
        except UnsoundError as error:
            del snapshots[place]
            unsound.append(Unsound(snapshot.path, str(error), snapshot))
    return replace(
        holdings,
        snapshots=tuple(snapshots),
        unsound=tuple(unsound),
        stages={name: checked(stage) for name, stage in holdings.stages.items()},
        final=holdings.final and _checked_model(holdings.final),
    )


def _checked_model(model: ModelFile) -> ModelFile:
    try:
        read_sound(model.path)
    except UnsoundError as error:
        return replace(model, fault=str(error))
    return model


def in_the_way(holdings: Holdings, progress: Progress, epochs: int) -> list[str]:
    """Snapshots that ferspore did not write and that the run would overwrite on its way from
    ``progress`` to the end of ``epochs``."""
    found = []
    for unsound in holdings.unsound:
        if unsound.ours or not (named := SNAPSHOT_NAME.fullmatch(unsound.path.name)):
            continue
        epoch, step = int(named[1]), int(named[2])
        ahead = (progress.epoch, progress.step) < (epoch, step)
        if ahead and epoch <= epochs and step <= progress.steps_per_epoch:
            found.append(unsound.path.name)
    return found


def list_snapshots(folder: Path) -> list[Path]:
    """The folder's snapshots by name: the unsound ones, then the others in the order of writing."""
    holdings = read_folder(folder)
    unsound = [file.path for file in holdings.unsound]
    return [*unsound, *(snapshot.path for snapshot in holdings.snapshots)]


def read_snapshot(path: Path) -> Snapshot:
    """A sound snapshot with its contents.

    Raises:
        UnsoundError: it, or its sidecar, is not what it should be.
    """
    found = _snapshot(path)
    if isinstance(found, Unsound):
        raise UnsoundError(found.fault)
    return _with_contents(found)


def _with_contents(snapshot: Snapshot) -> Snapshot:
    contents, _ = read_sound(snapshot.path)
    return replace(snapshot, contents=contents)


def _snapshot(path: Path) -> Snapshot | Unsound:
    try:
        sidecar = read_sidecar(path)
    except UnsoundError as error:
        ours = sidecar_path(path).exists() or _has_our_mark(path)
        return Unsound(path, str(error), ours=ours)
    if not isinstance(sidecar, SnapshotSidecar):
        return Unsound(path, "it is not a snapshot: it holds only weights")
    if fault := _contradiction(path, sidecar):
        return Unsound(path, fault)
    return Snapshot(path, sidecar)


def _has_our_mark(path: Path) -> bool:
    """Whether a checkpoint that lost its sidecar says inside which faces its net sees: plain
    MindSpore's do not."""
    try:
        return "face_size" in read_ckpt(path).info
    except (UnsoundError, OSError):
        return False


def _contradiction(path: Path, sidecar: SnapshotSidecar) -> str | None:
    """Where the sidecar contradicts the file's name or itself."""
    named = SNAPSHOT_NAME.fullmatch(path.name)
    if named and (int(named[1]), int(named[2])) != (sidecar.epoch, sidecar.step):
        return f"its sidecar says epoch {sidecar.epoch} step {sidecar.step}"
    expected = (sidecar.epoch - 1) * sidecar.steps_per_epoch + sidecar.step
    if sidecar.step > sidecar.steps_per_epoch or sidecar.global_step != expected:
        return "its sidecar's epoch, step and global_step disagree"
    return None


def _model(path: Path) -> ModelFile:
    try:
        sidecar = read_sidecar(path)
    except UnsoundError as error:
        return ModelFile(path, None, str(error))
    if not isinstance(sidecar, ModelSidecar):
        return ModelFile(path, None, "its sidecar is that of a snapshot")
    return ModelFile(path, sidecar)


def _config(path: Path) -> tuple[Config | None, str | None]:
    try:
        return load_config(path).config, None
    except ConfigError as error:
        return None, str(error)


def _records(path: Path) -> list[Any]:
    """What a file of JSON lines holds, but for lines that are no JSON. A pipe, a device or a folder
    of that name holds none: a resume puts a file in its place."""
    if not path.is_file():
        return []
    records = []
    for line in read_file(path, LARGEST_TEXT).splitlines():
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return records
