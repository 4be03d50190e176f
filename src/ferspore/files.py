"""The one place that writes files for good: beside, flushed to disk, renamed.

A reader sees the old file or the new one, never a part. Everything that changes the disk goes
through ``_write``, ``flush``, ``rename``, ``remove`` and ``flush_folder``, so that a test can
stop a run at any of them.
"""

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

LARGEST = 1 << 31  # bytes of a checkpoint: protobuf reads no more
LARGEST_TEXT = 1 << 26  # of a file of JSON; the history of 10,000 epochs has 4 MB
WRITING = ".writing-"  # prefix of a file that is not whole yet


def beside(path: Path) -> Path:
    """Where the file at ``path`` is written before it takes its place."""
    return path.with_name(WRITING + path.name)


def write_file(path: Path, *parts: bytes | memoryview) -> None:
    """Put ``parts``, one after another, at ``path``.

    Raises:
        OSError: it could not be written; what was at ``path`` is still there.
    """
    rename(write_beside(path, *parts), path)


def write_output(path: Path, content: bytes) -> None:
    """``write_file`` where the user chose the place: a device, a pipe or a link is written to,
    not replaced.

    Raises:
        OSError: see ``write_file``.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
    else:
        write_file(path, content)


def write_beside(path: Path, *parts: bytes | memoryview) -> Path:
    """A whole and flushed file beside ``path``; returns where it is."""
    waiting = beside(path)
    try:
        _write(waiting, parts)
    except BaseException:
        remove(waiting)
        raise
    return waiting


def _write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def rename(source: Path, target: Path) -> None:
    """Put a file at ``target``, over what is there, for good."""
    source.replace(target)
    flush_folder(target.parent)


def read_file(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a file that was found by its name: a pipe would hang, a device never end, and
    a file with holes may be larger than any memory.

    Raises:
        OSError: it cannot be read, is neither file nor folder, or has more than ``largest`` bytes.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if (size := path.stat().st_size) > largest:
        raise OSError(
            errno.EFBIG, f"it has {size:,} bytes, at most {largest:,} are read", str(path)
        )
    return path.read_bytes()


def remove(path: Path) -> None:
    """Delete a file, if it is there."""
    path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush a file that another library wrote."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make the renames and deletions in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path | None:
    """ferspore's folder in the user's cache directory (XDG base directory specification); None
    for a user without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # as the specification demands
        try:
            base = Path("~/.cache").expanduser()
        except RuntimeError:
            return None
    return base / "ferspore"
