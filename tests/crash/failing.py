"""Makes one call to the file system fail, each in its turn, and sees what becomes of the run."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from ferspore.config.schema import ConfigError
from ferspore.run.asked import RefusalError
from ferspore.run.lock import RunLockedError
from tests.crash.calls import Listener
from tests.crash.lives import Scenario, examine, go_on
from tests.crash.power import Power
from tests.run import engine

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EMFILE, errno.EINTR)
CHANGES = ("write", "truncate", "fsync", "replace", "unlink", "mkdir", "rmdir")
SHORT = 0  # no error: a write takes one byte only
LASTING = ("write", "truncate", "fsync", "replace", "mkdir")
CALLS = (*CHANGES, "open", "read", "close", "stat", "listdir", "scandir")
REFUSALS = (RefusalError, ConfigError, RunLockedError)  # ferspore train ends in exit code 2


@dataclass
class Fault(Listener):
    """The ``number``-th ``call`` fails; ``lasting``: so does every later call that changes the
    disk, as on a full one (not with EINTR: a call that is always interrupted is tried for ever)."""

    call: str
    error: int
    number: int
    lasting: bool = False
    seen: int = 0
    fired: bool = False

    def before(self, call: str, path: str) -> int | None:
        self.seen += call == self.call
        due = call == self.call and self.seen == self.number
        if due or (self.fired and self.lasting and call in LASTING):
            self.fired = True
            if self.error == SHORT:
                return 1
            raise OSError(self.error, os.strerror(self.error), path)
        return None


@dataclass(frozen=True)
class Fate:
    """What became of a command in which a call failed. ``code``: its exit code."""

    code: int | None
    text: str = ""


def suffer(power: Power, scenario: Scenario, at: int, fault: Fault) -> Fate | None:
    """Let ``fault`` befall command ``at``; what became of it, None if the fault never came.

    Raises:
        AssertionError, or anything else: a promise is broken.
    """
    power.root.mkdir()
    power.word.given = {}
    try:
        for command in (*scenario.before, *scenario.commands[:at]):
            command.give(power.root)
        with power.calls.heard_by(fault):
            fate = _fate(power, scenario, at)
        if not fault.fired:
            return None
        word = power.word.given
        assert fate.code != 2 or fault.call not in CHANGES, f"refused: {fate.text}"
        assert fate.code in (engine.DONE, engine.STOPPED) or fate.text.strip(), "without a text"
        assert fate.code != 1 or "\n" not in fate.text, f"more than a line: {fate.text}"
        examine(power.root, word)
        go_on(scenario, at, power.root, word, power.reference)
        return fate
    finally:
        shutil.rmtree(power.root)


def _fate(power: Power, scenario: Scenario, at: int) -> Fate:
    """As ``ferspore.cli.training.run``: any other exception would be a traceback."""
    try:
        return Fate(scenario.commands[at].give(power.root).code)
    except REFUSALS as error:
        return Fate(2, str(error))
    except OSError as error:
        return Fate(1, str(error))


def befall(power: Power, scenario: Scenario, errors: Sequence[int], step: int) -> Iterator[Fate]:
    """Every ``step``-th call of every kind in every command fails, with each of ``errors`` in turn
    if ``step`` is 1, else with the next of them.

    Raises:
        AssertionError: a promise is broken; the text names the fault.
    """
    for at in range(len(scenario.commands)):
        for call in CALLS:
            for lasting in (False, True)[: 1 + (call in LASTING)]:
                yield from _befall(power, scenario, at, call, errors, step, lasting)


def _befall(power, scenario, at, call, errors, step, lasting) -> Iterator[Fate]:
    for number in count(1, step):
        turn = [*errors, *([SHORT] if call == "write" else [])]
        if step > 1:
            turn = [turn[number // step % len(turn)]]
        for error in turn:
            fault = Fault(call, error, number, lasting and error not in (errno.EINTR, SHORT))
            try:
                fate = suffer(power, scenario, at, fault)
            except Exception as broken:
                told = f"{scenario.name}, command {at}: {fault}"
                raise AssertionError(f"{told}: {type(broken).__name__}: {broken}") from broken
            if fate is None:
                return
            yield fate
