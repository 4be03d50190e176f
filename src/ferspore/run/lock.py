"""One trainer per folder."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

from ferspore.run.names import LOCK, RANKS

LONGEST = 20  # bytes that name a process
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system


class RunLockedError(Exception):
    """Another process trains in the folder."""


class RunLock:
    """Held by the living trainer of a folder; the kernel drops it when the process dies.

    The folder is created where it is missing, and removed again where nothing was written to it.
    ``warning``: where the file system has no locks, so that nothing is held.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.warning: str | None = None

    def __enter__(self) -> "RunLock":
        """
        Raises:
            RunLockedError: another process holds it.
            OSError: the folder or the lock cannot be written.
        """
        self._created = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self._locked()
        if not self._is_there():  # its holder has deleted it, as one that is refused does
            self._file.close()
            self._file = self._locked()
        self._empty = self._is_empty()
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(self, *_) -> None:
        self._file.truncate(0)
        if self._empty and self._is_empty():
            (self.folder / LOCK).unlink()  # refused before anything was written: leave no trace
            if self._created:
                self.folder.rmdir()
        self._file.close()

    def _locked(self) -> IO[str]:
        file = os.fdopen(_open(self.folder / LOCK), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock_holder(self.folder) or "unknown"
            file.close()
            raise RunLockedError(
                f"{self.folder}: another trainer (process {holder}) is at work in this folder"
            ) from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            self.warning = (
                f"warning: {self.folder}: this file system has no locks ({error.strerror}); start "
                "no second trainer in this folder"
            )
        return file

    def _is_there(self) -> bool:
        """Whether the locked file is the one that another trainer would open."""
        try:
            found = (self.folder / LOCK).stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._file.fileno()))

    def _is_empty(self) -> bool:
        """Whether nothing is there but the lock, and the logs of a launch that has not ended."""
        return {path.name for path in self.folder.iterdir()} <= {LOCK, RANKS}


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def lock_holder(folder: Path) -> int | None:
    """The process that trains in the folder. None where nobody holds the lock.

    A trainer empties the file when it ends, so the lock is tried only where a process is named:
    a trainer that starts at this instant is not kept from it.
    """
    try:
        # A pipe would hang, were it opened to wait for its writer.
        with os.fdopen(os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            named = file.read(LONGEST).strip()
            if not named.isdigit():
                return None
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(named)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    return None
