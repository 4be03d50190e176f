"""Every file that a living run writes to its folder, in the order that no kill can break.

At an epoch's end: snapshot with ``evaluated: false``, evaluation, best model, metrics, the
snapshot's sidecar anew with ``evaluated: true``, pruning. Nothing is deleted before its successor
is safe, and the best model is never replaced by a lower one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ferspore import files
from ferspore.config.yaml_text import config_yaml
from ferspore.run.asked import Decision, same_folder
from ferspore.run.best import Weights, best_value, model_sidecar, read_best, repair_best
from ferspore.run.ckpt import (
    UnsoundError,
    read_ckpt,
    refuse_not_finite,
    write_ckpt,
)
from ferspore.run.folder import Holdings, Snapshot, read_folder
from ferspore.run.names import (
    BEST,
    CONFIG,
    FINAL,
    METRICS,
    SNAPSHOT_NAME,
    sidecar_path,
    snapshot_name,
)
from ferspore.run.progress import Progress, is_better
from ferspore.run.records import RecordTexts
from ferspore.run.sidecar import (
    FILE_FIELDS,
    Facts,
    SnapshotSidecar,
    describe_file,
    publish,
    roll_forward,
    seal,
)
from ferspore.tables import Say

ABOVE = 3  # folders that may be as new as a stage's: its run's, checkpoints, and where that is


class NotFiniteError(Exception):
    """The weights became NaN or infinite: going on would only destroy more."""


class RunWriter:
    """Writes the files of one run; the caller holds the folder's lock and changes ``progress``."""

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        progress: Progress,
        *,
        keep: int,
        window: Sequence[Path] = (),
        last_sequence: int = 0,
        say: Say,
    ):
        """``keep``: snapshots in the rolling window; ``window``: those of the run that are there,
        the oldest first; ``last_sequence``: the highest in the folder."""
        self.folder = folder
        self.facts = facts
        self.progress = progress
        self.keep = keep
        self.window = list(window)
        self.sequence = last_sequence
        self.say = say
        self._records = RecordTexts()
        self._described: dict[str, Any] = {}  # FILE_FIELDS of the newest snapshot

    def begin(self, decision: Decision) -> None:
        """Bring the files to where ``decision`` starts or goes on: copy another folder's snapshot,
        write the configuration and the metrics so far, mend the best model's sidecar."""
        if decision.action != "start":
            self.progress.resumes.append(self.progress.global_step)
        snapshot = decision.snapshot
        if snapshot is not None and not same_folder(snapshot.path.parent, self.folder):
            self._copy_from(snapshot)
        files.write_file(self.folder / CONFIG, config_yaml(decision.config).encode())
        for above in list(self.folder.parents)[:ABOVE]:
            with suppress(OSError):  # one that this user may not read was there before
                files.flush_folder(above)
        if told := repair_best(self.folder, self.progress.monitor, self.facts):
            self.say(told)
        if self.progress.history:
            self._write_metrics()
        else:
            files.remove(self.folder / METRICS)  # of steps that are being trained anew

    def _copy_from(self, snapshot: Snapshot) -> None:
        """Take the snapshot of another folder, and its run's best model, into this one.

        The snapshot comes last: with it the copy could be resumed, and must not lack its best.
        """
        best = snapshot.path.with_name(BEST)
        mine = (snapshot.sidecar.run, self.progress.best_epoch, self.progress.best_accuracy)
        try:
            _, sidecar = read_best(best)
            if (sidecar.run, sidecar.best_epoch, sidecar.best_accuracy) == mine:
                _copy(best, self.folder)
        except UnsoundError:
            pass  # `warn_of_missing_best` tells
        self.window.append(_copy(snapshot.path, self.folder))

    def warn_of_missing_best(self) -> None:
        path = self.folder / BEST
        if self.progress.best_epoch and not path.exists():
            self.say(f"warning: {path} of epoch {self.progress.best_epoch} is not in this folder")

    @property
    def newest(self) -> Path | None:
        """The snapshot written last."""
        return self.window[-1] if self.window else None

    def adopt(self, sidecar: SnapshotSidecar) -> None:
        """Take over a snapshot of an earlier part of the run, so that it can be marked."""
        self._described = sidecar.model_dump(include={*FILE_FIELDS, "sequence"})

    # --- snapshots --------------------------------------------------------------------------------

    def snapshot(self, write: Callable[[Path], None]) -> None:
        """Publish a snapshot of the present step; ``write`` puts its tensors at the given path.

        Raises:
            NotFiniteError: a tensor holds a NaN or an infinity; the snapshot is dropped.
            OSError: it could not be written; all earlier snapshots are whole.
        """
        path = self.folder / snapshot_name(self.progress.epoch, self.progress.step)
        waiting = files.beside(path)
        write(waiting)
        try:
            refuse_not_finite(read_ckpt(waiting).tensors)
        except UnsoundError as error:
            files.remove(waiting)
            raise NotFiniteError(str(error).removeprefix("it holds ")) from None
        self.sequence += 1
        self._described = {**describe_file(waiting, path.name), "sequence": self.sequence}
        publish(waiting, path, self._sidecar())
        self.window = [*(other for other in self.window if other != path), path]
        if not self.progress.epoch_done:
            self._prune()

    def _sidecar(self) -> bytes:
        values = {
            **self._described,
            "kind": "snapshot",
            "run": self.facts.run,
            "face_size": self.facts.face_size,
            **self.progress.to_dict(),
            **self.facts.snapshot,
        }
        return seal(values, self._records.of(self.progress.history))

    def _mark_evaluated(self) -> None:
        path = self.folder / snapshot_name(self.progress.epoch, self.progress.step)
        files.write_file(sidecar_path(path), self._sidecar())
        self._prune()

    def _prune(self) -> None:
        """Delete what the rolling window drops: the oldest snapshots of this run."""
        while len(self.window) > self.keep:
            path = self.window.pop(0)
            try:
                files.remove(path)
                files.flush_folder(self.folder)  # a sidecar alone is cleaned up, a snapshot is not
                files.remove(sidecar_path(path))
            except OSError as error:
                self.say(f"warning: {path} could not be deleted ({error.strerror})")

    # --- epochs -----------------------------------------------------------------------------------

    def finish_epoch(
        self, weights: Weights, *, val_accuracy: float, val_loss: float, **others: Any
    ) -> str | None:
        """Settle an evaluated epoch: best model, metrics, snapshot. Returns a line on a new best.

        ``weights`` are what was evaluated; ``others`` are further values of the metrics' line.
        """
        improved = self.progress.finish_epoch(
            val_accuracy=val_accuracy, val_loss=val_loss, **others
        )
        told = self._save_best(weights) if improved else None
        self._write_metrics()
        self._mark_evaluated()
        return told

    def _save_best(self, weights: Weights) -> str:
        progress, path = self.progress, self.folder / BEST
        found = f"New best {progress.monitor} {progress.best_value:.4f}"
        if progress.monitor != "val_accuracy":
            found += f" (accuracy {progress.best_accuracy:.4f})"
        found += f" at epoch {progress.best_epoch}"
        there = best_value(self.folder, progress.monitor)
        if there is not None and is_better(progress.monitor, there, progress.best_value):
            return f"{found}, but {path} holds a better one and stays"
        self.save_model("best", weights)
        return f"{found} -> {path}"

    def _write_metrics(self) -> None:
        lines = self._records.of(self.progress.history).lines
        files.write_file(self.folder / METRICS, "\n".join([*lines, ""]).encode())

    # --- models -----------------------------------------------------------------------------------

    def save_model(self, kind: Literal["best", "final"], weights: Weights) -> None:
        """Write best_model.ckpt or final_model.ckpt, weights only, and its sidecar.

        Accuracy, epoch and face size stand inside the file, too: it can be used without its
        sidecar, which can be rebuilt.
        """
        if kind == "final":  # with what a power cut brought back, or could not be read before
            self.window = window_of(read_folder(self.folder), self.facts.run)
            self._prune()
        path = self.folder / (BEST if kind == "best" else FINAL)
        latest = self.progress.history[-1] if self.progress.history else {}
        told: dict[str, float | int | None] = {
            "best_accuracy": self.progress.best_accuracy,
            "best_epoch": self.progress.best_epoch,
            "val_loss": latest.get("val_loss"),
            "epoch_num": self.progress.epoch,
            "face_size": self.facts.face_size,
        }
        info = {tag: value for tag, value in told.items() if value is not None}
        waiting = write_ckpt(path, weights, info)
        sequence = self._described.get("sequence", 0)  # of the snapshot with these weights
        described = {**describe_file(waiting, path.name), "sequence": sequence}
        monitor, records = self.progress.monitor, self._records.of(self.progress.history)
        sidecar = model_sidecar(described, kind, weights, info, monitor, self.facts, records)
        publish(waiting, path, sidecar)

    def take_best(self, weights: Weights, *, accuracy: float, loss: float, epoch: int) -> None:
        """Count the best model that plain MindSpore left in the folder, as it was measured."""
        path, progress = self.folder / BEST, self.progress
        progress.best_accuracy, progress.best_loss, progress.best_epoch = accuracy, loss, epoch
        info = {
            "best_accuracy": accuracy,
            "best_epoch": epoch,
            "val_loss": loss,
            "epoch_num": epoch,
        }
        described = {**describe_file(path, path.name), "sequence": 0}
        sidecar = model_sidecar(
            described, "best", weights, info, progress.monitor, self.facts, RecordTexts()
        )
        files.write_file(sidecar_path(path), sidecar)


def _copy(path: Path, folder: Path) -> Path:
    target = folder / path.name
    waiting = files.write_beside(target, path.read_bytes())
    publish(waiting, target, sidecar_path(path).read_bytes())
    return target


def window_of(holdings: Holdings, run: str) -> list[Path]:
    """The snapshots that pruning may delete, the oldest first: those whose sound sidecar says that
    they are of ``run``."""
    return [snapshot.path for snapshot in holdings.dated if snapshot.sidecar.run == run]


def clean_leftovers(folder: Path) -> None:
    """Finish or delete what a killed writer left behind; the caller holds the folder's lock."""
    for path in sorted(folder.glob(files.WRITING + "*")):
        if path.suffix != ".json" or not roll_forward(path):
            files.remove(path)
    for path in folder.glob("fer-*.json"):
        snapshot = path.with_suffix(".ckpt")
        if SNAPSHOT_NAME.fullmatch(snapshot.name) and not snapshot.exists():
            files.remove(path)
