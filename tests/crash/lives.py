"""What is done while the power may be cut, what is promised meanwhile, and what must hold after it.

A scenario is a list of commands; each is a toy training through the real decision and storage. A
state is examined as it lies there; then the command that was cut is given again, the others follow,
and the end must equal the end of the scenario that nothing disturbed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ferspore.config.loading import load_config
from ferspore.run.asked import AUTO, Asked, StagesDecision
from ferspore.run.names import BEST, CONFIG, FINAL, LOCK
from ferspore.run.sidecar import read_sound
from ferspore.run.writer import RunWriter
from tests.run import engine
from tests.same_run import differences


@dataclass(frozen=True)
class Promises:
    """What a folder must hold from now on: a call that promises it has returned."""

    begun: bool = False
    step: int = 0  # the global step of the newest snapshot
    best: float | None = None  # the higher the better
    final: bool = False


class Word:
    """Notes what the writers promise, by their folders."""

    def __init__(self):
        self.given: dict[Path, Promises] = {}

    def of(self, folder: Path) -> Promises:
        return self.given.get(folder, Promises())

    def _give(self, folder: Path, **promised: Any) -> None:
        self.given = {**self.given, folder: replace(self.of(folder), **promised)}

    def install(self, patch) -> None:
        def after(name: str, note: Callable[..., None]) -> None:
            call = getattr(RunWriter, name)

            def noted(writer, *arguments):
                result = call(writer, *arguments)
                note(writer, *arguments)
                return result

            patch.setattr(RunWriter, name, noted)

        after("begin", lambda writer, _: self._give(writer.folder, begun=True))
        after("snapshot", self._snapshot)
        after("save_model", self._model)

    def _snapshot(self, writer: RunWriter, _) -> None:
        self._give(writer.folder, step=writer.progress.global_step)

    def _model(self, writer: RunWriter, kind: str, _) -> None:
        if kind == "final":
            self._give(writer.folder, final=True)
            return
        value = writer.progress.best_value
        assert value is not None
        self._give(writer.folder, best=value if _by_accuracy(writer) else -value)


def _by_accuracy(writer: RunWriter) -> bool:
    return writer.progress.monitor == "val_accuracy"


# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """``folder``, ``source`` and ``named`` (a file of ``source``) are below the root. ``stop``: a
    signal after so many steps, which a command that is given again does not get."""

    folder: str
    values: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    source: str | None = None
    named: str | None = None
    stages: tuple[dict, ...] = ()
    stop: int | None = None

    def asked(self, root: Path, again: bool) -> Asked:
        given = engine.given(self.values, self.stages)
        resume: Any = AUTO if self.resume or again else None
        if self.source is not None:
            resume = root / self.source / (self.named or "")
            if again and not self._would_start_anew(root):
                resume = AUTO
        return Asked(root / self.folder, given, resume, None, bool(self.stages))

    def _would_start_anew(self, root: Path) -> bool:
        assert self.source is not None
        if self.source == self.folder:  # it goes on from a certain snapshot, while that is there
            return (root / self.source / (self.named or "")).exists()
        return not list((root / self.folder).glob("fer-*.ckpt"))

    def give(self, root: Path, again: bool = False) -> engine.Report:
        report = engine.Report()
        stop = None if again else self.stop
        engine.command(self.asked(root, again), report, stop, f"run-{self.folder}")
        return report


@dataclass(frozen=True)
class Scenario:
    """``before`` was done, and lasts, when the power may first be cut."""

    name: str
    commands: Sequence[Command]
    before: Sequence[Command] = ()


STEADY = {"seed": 4, "training.lr": 0.5, "training.epochs": 3}
SHORT = {**STEADY, "training.epochs": 2}
STAGES = (
    {"name": "small", "training": {"epochs": 1}},
    {"name": "full", "init_from": "small", "training": {"epochs": 2}},
)
ROLLING = {"checkpoint.keep_checkpoint_max": 2, "checkpoint.save_checkpoint_steps": 1}
SCENARIOS = (
    Scenario("a run from start to end", [Command("a", {**STEADY, **ROLLING})]),
    Scenario(
        "by its loss, one snapshot kept",
        [
            Command(
                "a",
                {
                    **STEADY,
                    "seed": 8,
                    "training.monitor": "val_loss",
                    "checkpoint.keep_checkpoint_max": 1,
                },
            )
        ],
    ),
    Scenario(
        "stopped and resumed",
        [Command("a", {**SHORT, **ROLLING}, stop=1), Command("a", {}, resume=True)],
    ),
    Scenario(
        "finished, then with more epochs",
        [Command("a", SHORT), Command("a", {"training.epochs": 3}, resume=True)],
    ),
    Scenario(
        "continued in a copy",
        [Command("b", {}, source="a")],
        before=[Command("a", SHORT, stop=3)],
    ),
    Scenario(
        "from an earlier snapshot with another rate",
        [Command("a", {"training.lr": 0.3}, source="a", named="fer-1_2.ckpt")],
        before=[Command("a", {**STEADY, "checkpoint.keep_checkpoint_max": 3})],
    ),
    Scenario("in stages", [Command("s", {"seed": 4, "training.lr": 0.5}, stages=STAGES)]),
)


# --- what must hold -------------------------------------------------------------------------------


def examine(root: Path, word: dict[Path, Promises]) -> None:
    """A state as it lies there."""
    for folder, promised in word.items():
        if promised.begun:
            assert load_config(folder / CONFIG), f"{folder}: no configuration"
        if promised.best is not None:
            contents, sidecar = read_sound(folder / BEST)
            told = contents.info["best_accuracy"], -contents.info["val_loss"]
            value = told[0] if sidecar.config["training"]["monitor"] == "val_accuracy" else told[1]
            assert value >= promised.best, f"{folder}: the best fell to {value}"
        if promised.final:
            read_sound(folder / FINAL)


def go_on(
    scenario: Scenario,
    at: int,
    root: Path,
    word: dict[Path, Promises],
    reference: Path,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Give the command ``at``, which was cut, again; ``then()``; and give those after it."""
    for number, command in enumerate(scenario.commands[at:], at):
        report = command.give(root, again=number == at)
        if number == at and command.named is None:
            _assert_nothing_repeated(report, word)
        then()
        assert report.code == engine.DONE or command.stop, f"exit code {report.code}"
    for there in [reference, *(path for path in reference.rglob("*") if path.is_dir())]:
        here = root / there.relative_to(reference)
        mine, theirs = _files_in(here), _files_in(there)
        assert mine == theirs, f"{here}: {sorted(mine - theirs)}, not {sorted(theirs - mine)}"
        assert not (found := list(differences(here, there, mine))), f"{here}: {found}"


def _files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} - {LOCK}


def _assert_nothing_repeated(report: engine.Report, word: dict[Path, Promises]) -> None:
    """It goes on from the newest snapshot that was promised, or from a later one."""
    decision = report.decision
    assert decision is not None
    for part in decision.parts if isinstance(decision, StagesDecision) else [decision]:
        if part.snapshot is not None and part.snapshot.path.parent == part.folder:
            step = part.snapshot.sidecar.global_step
        else:
            step = 0
        promised = word.get(part.folder, Promises()).step
        assert step >= promised, f"{part.folder}: goes on at {step}, not {promised}"
