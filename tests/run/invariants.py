"""What must hold after every command, kill and refusal, and what has to be known to tell."""

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ferspore.config.schema import ConfigError
from ferspore.run.asked import AUTO, Asked, RefusalError
from ferspore.run.ckpt import UnsoundError, serialize
from ferspore.run.decision import decide
from ferspore.run.folder import checked, read_folder
from ferspore.run.lock import RunLockedError
from ferspore.run.names import BEST, CONFIG, FINAL, LOCK
from ferspore.run.sidecar import read_sound
from ferspore.run.standing import standing
from tests.run import engine, inspection, toy

VALUES = ("lr", "epochs", "patience")  # of the training, which a resume may change
MEANS = {
    "empty": "start",
    "begun": "start",
    "stopped": "resume",
    "not evaluated": "evaluate",
    "without final model": "finish",
    "finished": "finished",
    "plain": "take over",
    "damaged": "refuse",
    "two runs": "refuse",
    "model": "refuse",
}


@dataclass
class Memory:
    """What is known of a folder, beyond what lies there."""

    best: float | None = None  # the best model's value, the higher the better
    unchanged: bool = True  # one configuration from the first step on, and no best model lost
    given: dict = field(default_factory=dict)  # what the run was last given


class Bookkeeping:
    REFUSALS = (RefusalError, ConfigError, RunLockedError)

    def __init__(self, root: Path):
        self.root = root
        self.foreign: dict[Path, bytes] = {}
        self.runs: dict[str, tuple[int, str]] = {}  # seed and monitor, by the run's name
        self.taken: set[str] = set()  # runs that began from a plain checkpoint
        self.memory: dict[Path, Memory] = {}

    def of(self, folder: Path) -> Memory:
        return self.memory.setdefault(folder, Memory())

    # --- the world around -------------------------------------------------------------------------

    def copy_or_move(self, source: Path, target: Path, stays: bool) -> None:
        memory = self.of(source)
        if stays:
            shutil.copytree(source, target)
            (target / LOCK).unlink(missing_ok=True)
        else:
            source.rename(target)
            del self.memory[source]
        self.memory[target] = replace(memory)
        for path in [path for path in self.foreign if path.parent == source]:
            content = self.foreign[path] if stays else self.foreign.pop(path)
            self.foreign[target / path.name] = content

    def put_foreign(self, folder: Path, kind: str, number: str) -> None:
        if kind == "notes":
            for name in ("notes.txt", "fer-notes.json"):
                self._put(folder / name, b"mine")
            return
        weights = np.float32([toy.chance(number), 0.5])
        self._put(folder / f"{kind}{number}.ckpt", serialize({"w": weights}, {}))

    def _put(self, path: Path, content: bytes) -> None:
        if path.exists() or path.with_suffix(".json").exists():
            return
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.foreign[path] = content

    def damage(self, folder: Path, which: int, how: str, share: float) -> None:
        files = [path for path in self._own_files(folder) if path.name != LOCK]
        if not files:
            return
        path = files[which % len(files)]
        content = path.read_bytes()
        at = int(len(content) * share)
        if how == "delete":
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[:at])
        elif content:
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        memory = self.of(folder)
        memory.given = {}
        if path.name == BEST:
            memory.best = None
        if path.name in (BEST, CONFIG, "best_model.json"):  # without the last, forks lack the best
            memory.unchanged = False

    def _own_files(self, folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        found = (Path(entry.path) for entry in os.scandir(folder) if entry.is_file())
        return sorted(path for path in found if path not in self.foreign)

    def mix(self, source: Path, target: Path, which: int) -> None:
        names = sorted(inspection.snapshots(source))
        if not names or source == target:
            return
        name = Path(names[which % len(names)])
        pair = [name.name, name.with_suffix(".json").name]
        if any((target / one).exists() for one in pair):
            return
        target.mkdir(exist_ok=True)
        for one in pair:
            if (source / one).exists():
                shutil.copy(source / one, target / one)
        memory = self.of(target)
        memory.unchanged, memory.given = False, {}
        self._check_standing(target)

    # --- around a command -------------------------------------------------------------------------

    def before(self, asked: Asked, name: str) -> None:
        self.name = name
        self.trees = self._trees()
        self.there = {f: inspection.snapshots(f) for f in self._folders_of(asked)}

    def _trees(self) -> dict[str, inspection.Tree]:
        return {entry.name: inspection.tree(Path(entry.path)) for entry in os.scandir(self.root)}

    def _folders_of(self, asked: Asked) -> list[Path]:
        if asked.folder.name != "s":
            return [asked.folder]
        return [asked.folder / "small", asked.folder / "full"]

    def after_refusal(self, asked: Asked, report: engine.Report, error: Exception) -> None:
        assert str(error).strip(), "a refusal without a text"
        if report.decision is None or not isinstance(report.decision, engine.StagesDecision):
            now = self._trees().get(asked.folder.name, {})
            before = self.trees.get(asked.folder.name, {})
            same = inspection.kept(now, before) == inspection.kept(before, before)
            assert same, f"refused, yet changed: {error}"
        self._check(asked, report)

    def after_kill(self, asked: Asked, report: engine.Report) -> None:
        self._remember(asked, report)
        self._check(asked, report)
        if asked.folder.name != "s":
            self._check_standing(asked.folder)

    def after(self, asked: Asked, report: engine.Report) -> None:
        self._remember(asked, report)
        self._check(asked, report)
        if isinstance(report.decision, engine.StagesDecision):
            return
        self._check_settled(asked, report)
        self._check_standing(asked.folder)

    def _remember(self, asked: Asked, report: engine.Report) -> None:
        decision = report.decision
        if decision is None:
            return
        staged = isinstance(decision, engine.StagesDecision)
        for part in decision.parts if staged else [decision]:
            name = f"{self.name}-{part.stage}" if staged else self.name
            training = part.config.training
            self.runs[name] = (part.config.seed, training.monitor)
            if part.action == "take over":
                self.taken.add(name)
            if not staged:
                self._remember_values(asked, report, part)

    def _remember_values(self, asked: Asked, report: engine.Report, decision) -> None:
        memory, training = self.of(asked.folder), decision.config.training
        values = {key: getattr(training, key) for key in VALUES}
        if asked.resume == AUTO and memory.given and decision.action != "start":
            anew = {key: asked.given.origins[f"training.{key}"] != "default" for key in VALUES}
            forgotten = [k for k in VALUES if not anew[k] and values[k] != memory.given[k]]
            assert not forgotten, f"given before, now forgotten: {forgotten}"
        if decision.action in ("start", "take over"):
            memory.best, memory.unchanged = None, decision.action == "start"
        elif asked.folder.resolve() != decision.snapshot.path.parent.resolve():
            source = self.of(decision.snapshot.path.parent)
            self.memory[asked.folder] = memory = Memory(unchanged=source.unchanged)
        if decision.snapshot and not decision.is_finished:
            trained = decision.snapshot.sidecar.config["training"]
            memory.unchanged &= all(trained[key] == values[key] for key in VALUES)
        if not decision.is_finished:
            memory.given = values if report.began and asked.named is None else {}

    # --- what must hold ---------------------------------------------------------------------------

    def _check(self, asked: Asked, report: engine.Report) -> None:
        now = self._trees()
        for name in {*now, *self.trees} - {asked.folder.name}:
            assert now.get(name) == self.trees.get(name), f"{name}: another folder was changed"
        for path, content in self.foreign.items():
            assert path.exists() and path.read_bytes() == content, f"{path}: it is not ours"
        for folder in self._folders_of(asked):
            self._check_snapshots(folder)
            self._check_best(folder)

    def _check_snapshots(self, folder: Path) -> None:
        now = inspection.snapshots(folder)
        for name, found in self.there[folder].items():
            mine = [one.values for one in now.values() if one.values["run"] == found.values["run"]]
            if name in now:
                same_run = now[name].values["run"] == found.values["run"]
                assert same_run, f"{name}: overwritten by another run"
            else:
                newer = [v for v in mine if v["sequence"] > found.values["sequence"]]
                assert newer, f"{name}: deleted before its successor was safe"
        for found in now.values():
            run = found.values["run"]
            if run not in self.taken:
                inspection.assert_same_life(found, *self.runs[run])

    def _check_best(self, folder: Path) -> None:
        found, memory = inspection.inside(folder / BEST), self.of(folder)
        if found is None or "best_accuracy" not in found.info:
            assert memory.best is None, f"{folder / BEST}: the best model is gone"
            return
        life = None
        holder = inspection.sound(folder / BEST)
        if holder is not None and (run := holder.values["run"]) not in self.taken:
            life = inspection.assert_same_model(holder, *self.runs[run])
            assert life.history[-1]["best"]
        if holder is None:
            return
        by_accuracy = holder.values["monitor"] == "val_accuracy"
        value = found.info["best_accuracy"] if by_accuracy else -found.info["val_loss"]
        assert memory.best is None or value >= memory.best, f"{folder / BEST}: the best fell"
        memory.best = value

    def _check_settled(self, asked: Asked, report: engine.Report) -> None:
        """After a command that came to its own end."""
        decision, folder = report.decision, asked.folder
        assert not list(folder.glob(".writing-*")), "something half written was left"
        best = inspection.inside(folder / BEST)
        if self.of(folder).best is not None and best is not None:
            try:
                read_sound(folder / BEST)
            except UnsoundError as error:
                raise AssertionError(f"{folder / BEST}: {error}") from error
        now = inspection.snapshots(folder)
        run = decision.snapshot.sidecar.run if decision.snapshot else self.name
        mine = {name for name, found in now.items() if found.values["run"] == run}
        before = {n for n, f in self.there[folder].items() if f.values["run"] == run}
        written = {path.name for path in report.written}
        keep = decision.config.checkpoint.keep_checkpoint_max
        assert len(mine) >= min(keep, len(before | written)), "too few snapshots were kept"
        newest = max((now[n].values for n in mine), key=lambda v: v["sequence"], default=None)
        if written and (newest["evaluated"] or newest["step"] < toy.STEPS):  # else pruned after it
            assert len(mine) <= keep, f"{len(mine)} snapshots, keep {keep}"
        if newest is not None and asked.named is None and run not in self.taken:
            assert inspection.metrics(folder) == newest["history"], "metrics are not the history"
        if report.code == engine.DONE:
            self._check_end(asked, decision, run)

    def _check_end(self, asked: Asked, decision, run: str) -> None:
        folder, training = asked.folder, decision.config.training
        final = inspection.sound(folder / FINAL)
        assert final is not None, "a finished run without a sound final model"
        assert final.values["run"] == run
        if run in self.taken:
            return
        life = inspection.assert_same_model(final, *self.runs[run])
        assert len(life.history) >= training.epochs or (0 < training.patience <= life.since_best), (
            "it ended too early"
        )
        if decision.is_finished or not self.of(folder).unchanged:
            return
        rates = final.tensors["rates"].tolist()
        expected = [toy.rate(training.lr, training.epochs, step) for step in range(len(rates))]
        assert rates == expected, "not the rates of a run never stopped"
        earlier = life.since_best - 1  # it must not have gone past its patience
        assert not (0 < training.patience <= earlier), "it ended too late"
        best = inspection.inside(folder / BEST)
        held = best and (best.info.get("best_accuracy"), best.info.get("best_epoch"))
        assert held == (life.best and (life.best[0], life.best[2])), "another best model"

    def _check_standing(self, folder: Path) -> None:
        if not folder.exists():
            return
        asked = Asked(folder, engine.given({}), AUTO)
        holdings = checked(read_folder(folder))
        state = standing(holdings)
        try:
            action = decide(asked, holdings, holdings).action
        except self.REFUSALS:
            action = "refuse"
        assert action == MEANS[state], f"it stands {state!r}, but the decision is {action!r}"
        if state == "finished" and holdings.newest.sidecar.run not in self.taken:
            rates = inspection.sound(folder / FINAL).tensors["rates"].tolist()
            last = holdings.newest.contents.tensors["rates"].tolist()
            assert rates == last, "finished with the final model of other steps"
