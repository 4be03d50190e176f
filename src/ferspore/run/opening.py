"""A run's folder opened for training: locked, cleaned of what a kill left behind, decided on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ferspore.run.asked import Asked, Decision, StagesDecision, check_folders, look
from ferspore.run.decision import decide
from ferspore.run.folder import read_folder
from ferspore.run.lock import RunLock
from ferspore.run.one_run import refuse_what_is_not_there
from ferspore.run.writer import clean_leftovers


@contextmanager
def opened(asked: Asked) -> Iterator[Decision | StagesDecision]:
    """Within it no other trainer may use the folder; what is refused leaves no trace.

    Raises:
        RunLockedError: another process trains in the folder.
        RefusalError, ConfigError: see ``decide``.
        OSError: the folder cannot be read or written.
    """
    # Before the lock, which creates the folder.
    check_folders(asked)
    refuse_what_is_not_there(asked, read_folder(asked.source))
    with RunLock(asked.folder) as lock:
        clean(asked.folder)
        decision = decide(asked, *look(asked))
        told = (lock.warning,) if lock.warning else ()
        yield replace(decision, lines=(*told, *decision.lines))


def clean(folder: Path) -> None:
    """Finish or delete what a killed run left behind, in the folder and in those of its stages."""
    clean_leftovers(folder)
    for stage in read_folder(folder).stages.values():
        if stage.exists:
            with RunLock(stage.folder):
                clean_leftovers(stage.folder)
