"""Runs of the toy training through the real decision and storage, step for step as
``ferspore.training.run`` does; and a disk that dies at a given write."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ferspore import files
from ferspore.config.loading import LoadedConfig, Override, load_config
from ferspore.config.yaml_text import config_yaml
from ferspore.run.asked import Asked, Decision, RefusalError, StagesDecision
from ferspore.run.ckpt import UnsoundError, read_ckpt, refuse_not_finite, serialize
from ferspore.run.folder import in_the_way, read_folder
from ferspore.run.lock import RunLock
from ferspore.run.names import CONFIG
from ferspore.run.opening import opened
from ferspore.run.plain import read_plain
from ferspore.run.progress import Progress
from ferspore.run.sidecar import Facts
from ferspore.run.writer import NotFiniteError, RunWriter, clean_leftovers, window_of
from tests.run import toy

DONE, DIVERGED, STOPPED = 0, 1, 130


class Killed(BaseException):
    """The process is gone: nothing that runs after it may touch the disk."""


class Disk:
    """Counts the changes of the disk and dies at one of them, in a write after ``share`` of what is
    to be written; and at every later one. ``at`` is its number, or the name of the file."""

    CHANGES = ("_write", "rename", "remove", "flush", "flush_folder")

    def __init__(self):
        self.changes, self.at, self.share, self.dead = 0, None, 0.5, False

    def install(self, patch) -> None:
        """``patch`` is a pytest.MonkeyPatch."""
        for name in self.CHANGES:
            patch.setattr(files, name, self._counted(name, getattr(files, name)))

    def _counted(self, name, change):
        def counted(path, *others):
            self.changes += 1
            if self.dead:
                raise Killed
            self.dead = self.at in (self.changes, path.name.removeprefix(files.WRITING))
            content = b"".join(map(bytes, others[0])) if name == "_write" else b""
            if self.dead:
                if name == "_write":
                    path.write_bytes(content[: int(len(content) * self.share)])
                raise Killed
            if name == "_write":  # not flushed: that takes the time of the whole test
                path.write_bytes(content)
            elif not name.startswith("flush"):
                change(path, *others)

        return counted

    @contextmanager
    def dying(self, at: int | str | None, share: float) -> Iterator[None]:
        self.changes, self.at, self.share = 0, at, share
        try:
            yield
        finally:
            self.at, self.dead = None, False


@dataclass
class Report:
    """What a command did."""

    code: int | None = None
    decision: Decision | StagesDecision | None = None
    began: bool = False  # the configuration is in the folder
    written: list[Path] = field(default_factory=list)  # snapshots
    lines: list[str] = field(default_factory=list)


@dataclass
class Signal:
    """Comes after ``left`` steps, over all stages; None: never."""

    left: int | None

    @property
    def received(self) -> bool:
        return self.left is not None and self.left <= 0

    def tick(self) -> None:
        if self.left is not None:
            self.left -= 1


@lru_cache(maxsize=5_000)
def _loaded(values: tuple[tuple[str, Any], ...]) -> LoadedConfig:
    return load_config(None, [Override(key, value, "test") for key, value in values])


def given(values: dict[str, Any], stages: Sequence[dict] = ()) -> LoadedConfig:
    """What a command line gave: ``values`` by their dotted keys, and a CSV."""
    values = {"data.csv": "practice", **values}
    if stages:
        return load_config(
            None, [Override(k, v, "test") for k, v in {**values, "stages": stages}.items()]
        )
    return _loaded(tuple(sorted(values.items())))


def train(folder: Path, values=None, *, resume=None, stop=None, run="run") -> Report:
    """One command, without stages."""
    report = Report()
    command(Asked(folder, given(values or {}), resume), report, stop, run)
    return report


def command(asked: Asked, report: Report, stop_after: int | None = None, run: str = "") -> None:
    """As ``ferspore.cli.train.train``; ``run`` is the name that a new run gets."""
    signal = Signal(stop_after)
    with opened(asked) as decision:
        report.decision = decision
        report.lines += decision.lines
        if decision.is_finished:
            report.code = DONE
        elif isinstance(decision, StagesDecision):
            report.code = _run_stages(decision, signal, report, run)
        else:
            report.code = _train_one(decision, signal, report, run)


def _run_stages(decision: StagesDecision, signal: Signal, report: Report, run: str) -> int:
    if decision.keep_config:
        files.write_file(decision.folder / CONFIG, config_yaml(decision.loaded.config).encode())
    for part in decision.parts:
        with RunLock(part.folder):
            code = _train_one(part, signal, report, f"{run}-{part.stage}")
        if code != DONE:
            return code
    return DONE


def _train_one(decision: Decision, signal: Signal, report: Report, run: str) -> int:
    if decision.is_finished:
        return DONE
    try:
        training = _Training(decision, signal, report, run)
        try:
            training.take_up()
            while not training.is_over and not signal.received:
                training.train_step()
        except NotFiniteError:
            return DIVERGED
        if not training.is_over:
            return STOPPED
        training.writer.save_model("final", toy.weights_of(training.tensors))
        return DONE
    finally:
        clean_leftovers(decision.folder)


class _Training:
    def __init__(self, decision: Decision, signal: Signal, report: Report, run: str):
        self.decision, self.signal, self.report = decision, signal, report
        self.config, snapshot = decision.config, decision.snapshot
        self.progress = Progress(toy.STEPS, self.config.training.monitor)
        self.tensors = toy.first_tensors(self.config.seed)
        if snapshot is not None:
            self.tensors = dict(snapshot.contents.tensors)
            self.progress = Progress.at(snapshot.sidecar)
        elif decision.plain is not None:
            self._take_over(decision)
        elif decision.init_from is not None:
            self.tensors = toy.first_tensors(self.config.seed, _weights_in(decision.init_from))
        holdings = read_folder(decision.folder)
        if later := in_the_way(holdings, self.progress, self.config.training.epochs):
            raise RefusalError(f"{decision.folder}: the run would overwrite {later}")
        name = snapshot.sidecar.run if snapshot is not None else run
        self.writer = RunWriter(
            decision.folder,
            facts_of(self.config, name, decision.stage),
            self.progress,
            keep=self.config.checkpoint.keep_checkpoint_max,
            window=window_of(holdings, name),
            last_sequence=decision.last_sequence,
            say=report.lines.append,
        )

    def _take_over(self, decision: Decision) -> None:
        try:
            plain = read_plain(decision.plain)
        except UnsoundError as error:
            raise RefusalError(f"--resume {decision.plain}: {error}") from error
        self.tensors |= {"w": plain.tensors["w"], "start": plain.tensors["w"]}
        self.progress.epoch, self.progress.step = plain.epoch, min(plain.step, toy.STEPS)
        self.progress.evaluated = self.progress.epoch_done

    @property
    def is_over(self) -> bool:
        training = self.config.training
        return self.progress.is_over(training.epochs, training.patience)

    def take_up(self) -> None:
        decision, writer, snapshot = self.decision, self.writer, self.decision.snapshot
        writer.begin(decision)
        self.report.began = True
        if decision.action == "start":
            return
        writer.warn_of_missing_best()
        if snapshot is not None:
            writer.adopt(snapshot.sidecar)
        if decision.action == "evaluate":
            self._finish_epoch()

    def train_step(self) -> None:
        """One step and what MindSpore's callbacks do after it."""
        progress, training = self.progress, self.config.training
        epoch, step = progress.next_step
        lr = toy.rate(training.lr, training.epochs, progress.global_step)
        self.tensors, loss = toy.stepped(self.tensors, self.config.seed, epoch, step, lr)
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss is {loss}")
        progress.finish_step(loss, 0.0)
        self.signal.tick()
        every = self.config.checkpoint.save_checkpoint_steps
        in_time = every > 0 and progress.global_step % every == 0
        if progress.epoch_done or in_time or self.signal.received:
            self.writer.snapshot(self._write)
            self.report.written.append(self.writer.newest)
        if progress.epoch_done and not self.signal.received:
            self._finish_epoch()

    def _write(self, path: Path) -> None:
        files._write(path, [serialize(self.tensors, {"face_size": 48})])
        files.flush(path)

    def _finish_epoch(self) -> None:
        accuracy, loss = toy.scores(self.tensors, self.config.seed, self.progress.epoch)
        self.writer.finish_epoch(toy.weights_of(self.tensors), val_accuracy=accuracy, val_loss=loss)


def _weights_in(path: Path) -> toy.Tensors:
    try:
        weights = read_ckpt(path).tensors
        refuse_not_finite(weights)
    except UnsoundError as error:
        raise RefusalError(f"--init_from {path}: {error}") from error
    except OSError as error:
        raise RefusalError(f"--init_from {path}: {error.strerror}") from error
    return weights


def facts_of(config, run: str, stage: str | None = None) -> Facts:
    data = {"csv": "practice", "sha256": "0" * 64}
    values = config.to_dict()
    return Facts(
        run=run,
        face_size=config.data.face_size,
        snapshot={"config": values, "data": data, "stage": stage, "command": "", "cores": 1},
        model={"config": values, "data": data, "usage": "PublicTest", "command": ""},
    )


def writer_in(folder: Path, config, run: str = "run", **others) -> RunWriter:
    """The writer of a new run."""
    progress = Progress(toy.STEPS, config.training.monitor)
    keep = config.checkpoint.keep_checkpoint_max
    return RunWriter(folder, facts_of(config, run), progress, keep=keep, say=print, **others)


def described() -> dict[str, Any]:
    """What a snapshot's sidecar says beside the progress and the facts."""
    return {
        "format": 2, "checkpoint": "fer-1_1.ckpt", "sha256": "0" * 64, "bytes": 1, "created": "",
        "versions": {}, "run": "run", "sequence": 1, "face_size": 48, "kind": "snapshot",
    }  # fmt: skip
