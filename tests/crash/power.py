"""Cuts the power at every point of a scenario and looks at every state that is left."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash.calls import Calls
from tests.crash.disk import Recorder, State, key_of, put
from tests.crash.lives import Promises, Scenario, Word, examine, go_on
from tests.run.remembered import remember

MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Cut:
    """A state that the power left while command ``at`` was at work, and what it must hold."""

    state: State
    at: int
    word: dict[Path, Promises]


class Power:
    """``root`` is where every scenario is lived, so that what is remembered serves them all."""

    def __init__(self, work: Path, patch: pytest.MonkeyPatch):
        self.root, self.reference = work / "root", work / "reference"
        self.calls, self.word = Calls(work), Word()
        remember(patch)
        self.calls.install(patch)
        self.word.install(patch)
        patch.setattr("ferspore.run.sidecar.datetime", Standstill)
        self.counted = 0  # calls that changed the disk

    def cuts_of(self, scenario: Scenario) -> list[Cut]:
        """Live the scenario undisturbed, which stays in ``reference``; what the power may leave."""
        shutil.rmtree(self.reference, ignore_errors=True)
        self.root.mkdir()
        self.word.given = {}
        for command in scenario.before:
            command.give(self.root)
        found: dict[bytes, Cut] = {}
        recorder = Recorder(self.root)
        for at, command in enumerate(scenario.commands):
            recorder.on_change = lambda at=at: self._collect(recorder, at, found)
            with self.calls.heard_by(recorder):
                command.give(self.root)
        self.counted += recorder.calls
        self.root.rename(self.reference)
        return list(found.values())

    def _collect(self, recorder: Recorder, at: int, found: dict[bytes, Cut]) -> None:
        for state in recorder.states():
            found[key_of(state)] = Cut(state, at, self.word.given)  # the latest promises are most

    def check(self, scenario: Scenario, cut: Cut, second: dict[bytes, Cut] | None = None) -> None:
        """``second`` receives what another power cut may leave of the recovery, up to its first
        snapshot or its end: once a later command has begun, the cut one would not be given again.

        Raises:
            AssertionError, or anything else: a promise is broken.
        """
        self.root.mkdir()
        self.word.given = {}
        try:
            put(cut.state, self.root)
            examine(self.root, cut.word)
            recorder = Recorder(self.root)
            if second is not None:
                recorder.on_change = lambda: self._collect_second(recorder, cut, second)
            with self.calls.heard_by(recorder):
                go_on(scenario, cut.at, self.root, cut.word, self.reference, recorder.rest)
        finally:
            shutil.rmtree(self.root)

    def _collect_second(self, recorder: Recorder, cut: Cut, second: dict[bytes, Cut]) -> None:
        if not any(promised.step for promised in self.word.given.values()):
            for state in recorder.states():
                second.setdefault(key_of(state), Cut(state, cut.at, cut.word))


class Standstill:
    """Stands in for datetime: equal states then have equal bytes."""

    @staticmethod
    def now(zone) -> datetime:
        return datetime(2026, 1, 1, tzinfo=zone)


@contextmanager
def power() -> Iterator[Power]:
    where = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=where, prefix="ferspore-") as work,
        pytest.MonkeyPatch.context() as patch,
    ):
        yield Power(Path(work), patch)
