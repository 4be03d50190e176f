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

from ferspore.config.loading import load_config
from ferspore.config.schema import Config, ConfigError
from ferspore.run.ckpt import Contents, UnsoundError, read_ckpt
from ferspore.run.names import BEST, CONFIG, FINAL, METRICS, SNAPSHOT_NAME, sidecar_path
from ferspore.run.plain import PLAIN_NAME, by_time
from ferspore.run.progress import Progress
from ferspore.run.sidecar import ModelSidecar, SnapshotSidecar, read_sidecar, read_sound


@dataclass(frozen=True)
class SnapshotFile:
    """A file named as a snapshot. Without ``fault`` its sidecar is sound; ``contents`` are there
    once the file itself was read and found sound, too. ``ours``: whether ferspore wrote it."""

    path: Path
    sidecar: SnapshotSidecar | None = None
    fault: str | None = None
    ours: bool = True
    contents: Contents | None = field(default=None, repr=False, compare=False)

    @property
    def order(self) -> tuple:
        """Those that cannot be dated come first."""
        if self.sidecar is None:
            return (-1, "", self.path.name)
        return (self.sidecar.sequence, self.sidecar.created, self.path.name)


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
    snapshots: tuple[SnapshotFile, ...] = ()
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
    def sound(self) -> tuple[SnapshotFile, ...]:
        return tuple(snapshot for snapshot in self.snapshots if snapshot.fault is None)

    @property
    def newest(self) -> SnapshotFile | None:
        """The snapshot written last among those that are sound as far as they were read."""
        return self.sound[-1] if self.sound else None

    @property
    def runs(self) -> set[str]:
        """The runs that the snapshots belong to; more than one is a fault."""
        return {snapshot.sidecar.run for snapshot in self.sound if snapshot.sidecar}

    @property
    def is_staged(self) -> bool:
        return self.config is not None and bool(self.config.stages)

    @property
    def is_plain(self) -> bool:
        """Whether only plain MindSpore's checkpoints are there."""
        return bool(self.plain) and not any(snapshot.ours for snapshot in self.snapshots)

    @property
    def is_trained(self) -> bool:
        """Whether anything is there that training made."""
        return bool(self.snapshots or self.plain or self.best or self.final) or (
            self.metrics is not None
        )

    @property
    def last_sequence(self) -> int:
        """Models count, too: they may outlive the snapshot that they were made from."""
        files = [*self.snapshots, *filter(None, (self.best, self.final))]
        return max((file.sidecar.sequence for file in files if file.sidecar), default=0)


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
    snapshots = [_snapshot(path) for path in paths if SNAPSHOT_NAME.fullmatch(path.name)]
    ours = {snapshot.path for snapshot in snapshots if snapshot.ours}
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
    or the newest sound one), and of the final model. Those found unsound get their fault."""
    snapshots = list(holdings.snapshots)
    for i in reversed(range(len(snapshots))):
        snapshot = snapshots[i]
        if snapshot.fault is not None or (named and snapshot.path.name != named.name):
            continue
        snapshots[i] = _with_contents(snapshot)
        if snapshots[i].fault is None:
            break
    stages = {name: checked(stage) for name, stage in holdings.stages.items()}
    final = holdings.final and _checked_model(holdings.final)
    return replace(holdings, snapshots=tuple(snapshots), stages=stages, final=final)


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
    for snapshot in holdings.snapshots:
        epoch, step = map(int, SNAPSHOT_NAME.fullmatch(snapshot.path.name).groups())
        ahead = (progress.epoch, progress.step) < (epoch, step)
        reached = epoch <= epochs and step <= progress.steps_per_epoch
        if ahead and reached and not snapshot.ours:
            found.append(snapshot.path.name)
    return found


def list_snapshots(folder: Path) -> list[Path]:
    """The folder's snapshots by name, sound or not, in the order in which they were written."""
    return [snapshot.path for snapshot in read_folder(folder).snapshots]


def read_snapshot(path: Path) -> SnapshotFile:
    """A sound snapshot with its contents.

    Raises:
        UnsoundError: it, or its sidecar, is not what it should be.
    """
    snapshot = _snapshot(path)
    if snapshot.fault is None:
        snapshot = _with_contents(snapshot)
    if snapshot.fault is not None:
        raise UnsoundError(snapshot.fault)
    return snapshot


def _with_contents(snapshot: SnapshotFile) -> SnapshotFile:
    try:
        contents, _ = read_sound(snapshot.path)
    except UnsoundError as error:
        return replace(snapshot, fault=str(error))
    return replace(snapshot, contents=contents)


def _snapshot(path: Path) -> SnapshotFile:
    try:
        sidecar = read_sidecar(path)
    except UnsoundError as error:
        ours = sidecar_path(path).exists() or _has_our_mark(path)
        return SnapshotFile(path, None, str(error), ours)
    if not isinstance(sidecar, SnapshotSidecar):
        return SnapshotFile(path, None, "it is no snapshot: only weights are in it")
    return SnapshotFile(path, sidecar, _contradiction(path, sidecar))


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
    """What a file of JSON lines holds, but for lines that are no JSON."""
    records = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return records
