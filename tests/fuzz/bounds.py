"""What a reader may do with a hostile file: refuse it in its own words, in bounded time and memory.

The hook on Python's audit events stays for the process's life; it acts inside ``watched`` only.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 5.0  # of the processor, for a file of up to LENGTH bytes
MEMORY = 1 << 30  # bytes that a reading may add to the process
LENGTH = 1 << 16  # of an input
LONGEST_LINE, MOST_LINES = 2_000, 200  # of a message

STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn")
CONNECTS = ("socket.connect", "socket.bind", "urllib.Request")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
           "os.chown", "os.truncate", "os.utime")  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_folder: str | None = None  # where the reader that is being watched may write


class BrokenError(BaseException):
    """A bound does not hold. No Exception, for a reader may well catch those."""


def check(
    read: Callable[[bytes, Path], None],
    refusals: tuple[type[Exception], ...],
    content: bytes,
    folder: Path,
) -> bool:
    """Read ``content``, with ``folder`` as the only place to write to; whether it was refused.

    Raises:
        BrokenError: an exception that is no refusal, or any other bound.
    """
    before, began = _resident(), time.process_time()
    highest = _highest()
    refused = False
    try:
        with watched(folder):
            read(content, folder)
    except refusals as error:
        refused = True
        text = str(error)
    except Exception as error:
        raise BrokenError(f"{type(error).__name__}: {str(error)[:200]}") from error
    seconds, peak = time.process_time() - began, _highest()
    if seconds > SECONDS:
        raise BrokenError(f"time: {len(content)} bytes took {seconds:.1f} s")
    if peak > highest and peak - before > MEMORY:
        raise BrokenError(f"memory: {len(content)} bytes took {(peak - before) / 1e9:.1f} GB")
    if refused:
        check_text(text)
    return refused


def check_text(text: str) -> None:
    """
    Raises:
        BrokenError: the text could take over a terminal, or flood it.
    """
    lines = text.split("\n")
    if not all(line.isprintable() for line in lines):
        raise BrokenError(f"control characters: {text[:200]!r}")
    if len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST_LINE:
        raise BrokenError(f"a long message: {len(text)} characters, {text[:200]!r}")


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Within it no program starts, nothing connects, and nothing is written outside ``folder``."""
    global _folder
    _folder = str(folder)
    try:
        yield
    finally:
        _folder = None


def _audit(event: str, arguments: tuple) -> None:
    if _folder is None:
        return
    if event in STARTS or event in CONNECTS or event == "pickle.find_class":
        raise BrokenError(f"{event}: {arguments!r:.200}")
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if (writes or event in CHANGES) and not _is_inside(arguments[0]):
        raise BrokenError(f"{event} outside of its folder: {arguments!r:.200}")


def _is_inside(path: object) -> bool:
    if isinstance(path, int) or path == os.devnull:
        return True
    return os.path.realpath(os.fsdecode(path)).startswith(_folder)  # type: ignore[arg-type]


sys.addaudithook(_audit)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
