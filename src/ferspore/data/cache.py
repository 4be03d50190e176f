"""Parsed arrays in the user's cache, found by the sha256 of the file that they come from.

    <sha256 of the file>-v<version of the parser>/
      Training.faces    2304 bytes an image, all of them, then one byte a label
      table.json        first line: sha256 of the rest; the rest: counts, bad rows, the faces' crc32

table.json is written last, so its presence says that the folder is whole.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ferspore import files
from ferspore.data.faces import Faces
from ferspore.data.rows import PARSER_VERSION, PIXELS, Parsed
from ferspore.labels import FACE_SIZE

STALE_SECONDS = 24 * 3600


class DamagedCacheError(Exception):
    """The cache exists but cannot be trusted."""


def arrays_folder(digest: str) -> Path | None:
    """Where the arrays of a file with this sha256 are kept; None for a user without a home."""
    base = files.cache_folder()
    return None if base is None else base / f"{digest}-v{PARSER_VERSION}"


def read_arrays(folder: Path, usages: Sequence[str]) -> Parsed | None:
    """What the folder holds of the splits `usages`; None where nothing was kept.

    Raises DamagedCacheError, or OSError when it cannot be read.
    """
    if not (folder / "table.json").exists():
        return None
    table = _read_table(folder / "table.json")
    try:
        return _parsed(folder, table, usages)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise DamagedCacheError("table.json: not as it was written") from error


def _parsed(folder: Path, table: dict[str, Any], usages: Sequence[str]) -> Parsed:
    counts, checksums = table["counts"], table["crc32"]
    if not all(type(count) is int for count in counts.values()):
        raise TypeError("counts")
    splits = {
        usage: _read_faces(folder / f"{usage}.faces", counts[usage], checksums[usage])
        for usage in usages
        if usage in counts
    }
    first_bad = [(line, fault) for line, fault in table["first_bad"]]
    return Parsed(counts, table["bad"], first_bad, splits)


def write_arrays(folder: Path, parsed: Parsed) -> None:
    """Keep all splits of a file. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        checksums = {}
        for split, faces in parsed.splits.items():
            checksums[split] = zlib.crc32(faces.labels.data, zlib.crc32(faces.images.data))
            files.write_file(folder / f"{split}.faces", faces.images.data, faces.labels.data)
        table = {
            "counts": parsed.counts,
            "bad": parsed.bad,
            "first_bad": parsed.first_bad,
            "crc32": checksums,
        }
        body = json.dumps(table, indent=1).encode()
        checksum = hashlib.sha256(body).hexdigest().encode()
        files.write_file(folder / "table.json", checksum, b"\n", body)
    _clean(folder.parent)


def _clean(base: Path) -> None:
    """Remove what writers left that were killed: their files are written in seconds."""
    for path in (*base.glob(f"{files.WRITING}*"), *base.glob(f"*/{files.WRITING}*")):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                files.remove(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write to a folder; the others wait.

    The lock is on the folder itself, so no file stays behind, and it ends with its process. On a
    file system without locks writers may collide; the checksums then tell a reader.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_table(path: Path) -> dict[str, Any]:
    checksum, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise DamagedCacheError(f"{path.name}: wrong checksum")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DamagedCacheError(f"{path.name}: not JSON") from error


def _read_faces(path: Path, count: int, checksum: int) -> Faces:
    size = count * (PIXELS + 1)
    if path.stat().st_size != size:
        raise DamagedCacheError(f"{path.name}: {path.stat().st_size} bytes, expected {size}")
    content = np.fromfile(path, np.uint8)
    if zlib.crc32(content.data) != checksum:
        raise DamagedCacheError(f"{path.name}: wrong checksum")
    images = content[: count * PIXELS].reshape(count, FACE_SIZE, FACE_SIZE)
    return Faces(images, content[count * PIXELS :])
