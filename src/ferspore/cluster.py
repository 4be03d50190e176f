"""Which part of a cluster this process is: MindSpore's launchers say so in the environment."""

import ctypes
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

LAUNCHER = "FERSPORE_LAUNCHER"  # process id of the ``ferspore train --devices`` above this one
EXIT_CODES = "FERSPORE_EXIT_CODES"  # the folder in which the ranks leave their exit codes for it
USERS_PATH = "FERSPORE_PATH"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2), Linux


def role() -> Literal["scheduler", "worker"] | None:
    """None outside of a cluster. The scheduler only brings the workers together."""
    roles: dict[str, Literal["scheduler", "worker"]]
    roles = {"MS_SCHED": "scheduler", "MS_WORKER": "worker"}
    return roles.get(os.environ.get("MS_ROLE", ""))


def is_launched() -> bool:
    """Whether a ``ferspore train --devices`` is above this process."""
    return LAUNCHER in os.environ


def end_with_launcher() -> None:
    """From now on SIGKILL ends this process when its parent ends; does nothing where no
    ``ferspore train --devices`` is above it. (A cluster's own launcher may end before its ranks.)
    """
    launcher = os.environ.get(LAUNCHER)
    if launcher is None:
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if int(launcher) not in ancestors(os.getpid(), living()):
        os._exit(1)  # it ended before the line above


def leave_exit_code(code: int) -> None:
    """Tell the launcher, which is not this process's parent, how this rank ends."""
    if folder := os.environ.get(EXIT_CODES):
        with suppress(OSError):  # a full disk: it leaves an empty file, which counts as 1
            _code_path(Path(folder), os.environ["RANK_ID"]).write_text(str(code))


def exit_code_in(folder: Path, rank: int) -> int | None:
    """What a rank left in ``folder``; None where it ended without."""
    path = _code_path(folder, rank)
    return int(path.read_text() or 1) if path.exists() else None


def _code_path(folder: Path, rank: int | str) -> Path:
    return folder / f"rank_{rank}.code"


def begin_rank() -> None:
    """What a process that may be a rank does first, see ``end_with_launcher``. The user's PATH is
    put back, by which printed commands are shortened: msrun had to find this Python in it."""
    end_with_launcher()
    if is_launched():
        os.environ["PATH"] = os.environ[USERS_PATH]


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def ancestors(process: int, parents: Mapping[int, int]) -> Iterator[int]:
    """The process ids of parent, grandparent and so on; ``parents`` is what ``living`` found."""
    while process := parents.get(process, 0):
        yield process


def descendants(process: int) -> list[int]:
    """The living processes that have ``process`` as an ancestor."""
    parents = living()
    return [other for other in parents if process in ancestors(other, parents)]


def living() -> dict[int, int]:
    """Process id -> its parent's, of all processes that have not ended."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            told = (folder / "stat").read_text(errors="replace")  # a name may be cut in a letter
        except OSError:
            continue  # it has just ended
        state, parent = told.rpartition(")")[2].split()[:2]
        if state not in "ZX":
            found[int(folder.name)] = int(parent)
    return found


def environment_of(process: int) -> dict[str, str]:
    """What a process was started with; empty where it has ended."""
    try:
        content = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in content.split("\0") if "=" in pair)
