"""Load a FER2013 CSV: every row is checked, and the parsed arrays are kept in the user's cache.

The official layout is `emotion,pixels,Usage`; that of icml_face_data.csv has the columns in
another order and blanks before their names. Both are from the challenge of Goodfellow et al.,
"Challenges in Representation Learning" (2013), Kaggle.
"""

import contextlib
import difflib
import gzip
import hashlib
import io
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ferspore.data.cache import DamagedCacheError, arrays_folder, read_arrays, write_arrays
from ferspore.data.faces import FaceTable
from ferspore.data.rows import Parsed, TooManyBadRowsError, parse_rows, read_records
from ferspore.files import file_sha256
from ferspore.labels import SPLITS
from ferspore.tables import counted, one_line

COLUMNS = ("emotion", "pixels", "Usage")
# Bounds before anything is unpacked: the whole of FER2013 has 0.3 GB and packs to a third.
MAX_BYTES = 1 << 30
MAX_GROWTH, FREE_GROWTH = 50, 1 << 26  # unpacked over packed; a file may always grow to 64 MiB
MAX_COLUMNS = 100
LONGEST = 200  # characters of a decoder's fault, or of members' names, in a message
EXPECTED_SIZE = ", expected a FER2013 file (0.3 GB)"


class DataError(ValueError):
    """The file, or what is asked of it, cannot be used; the message says where and why."""


def load_csv(
    path: str | os.PathLike[str],
    usages: Sequence[str],
    *,
    optional: Sequence[str] = (),
    skip_bad_rows: bool = False,
    cache: bool = True,
    report: Callable[[str], None] = print,
) -> FaceTable:
    """The faces of the splits `usages` from a FER2013 file, and of those `optional` ones it has.

    path: a .csv, a .csv.gz or a .zip with one .csv inside; text in UTF-8.
    usages: names from `SPLITS`. Rows of the other splits are checked too.
    skip_bad_rows: drop bad rows instead of refusing the file.
    cache: read the parsed arrays from the user's cache directory, and write them there.
    report: receives lines for the user.

    Raises DataError when the file cannot be read, has bad rows (all are counted, the first five
    are named by line, the header being line 1) or lacks a split of `usages`.
    """
    started = time.perf_counter()
    wanted = (*usages, *optional)
    _check_usages(wanted)
    path = Path(path)
    with contextlib.suppress(RuntimeError):  # a user without a home: the name is taken as it is
        path = path.expanduser()
    digest = _hash_file(path)
    parsed = _from_cache(path, digest, wanted, report) if cache else None
    origin = "from the cache"
    if parsed is None:
        digest, parsed = _parse_file(path)
        if cache:
            _to_cache(path, digest, parsed, report)
        origin = f"read in {time.perf_counter() - started:.1f} s"

    if parsed.bad and not skip_bad_rows:
        raise DataError(_describe_bad_rows(path, parsed))
    _check_present(path, usages, parsed.counts)
    counts = ", ".join(f"{count} {split}" for split, count in parsed.counts.items())
    report(f"{path.name}: {counts} faces ({origin})")
    if parsed.bad:
        line, fault = parsed.first_bad[0]
        dropped = f"{counted(parsed.bad, 'bad row')} dropped"
        report(f"{path.name}: {dropped}, the first at line {line}: {fault}")
    splits = {usage: parsed.splits[usage] for usage in wanted if usage in parsed.splits}
    return FaceTable(path, digest, parsed.counts, parsed.bad, splits)


def _check_usages(usages: Sequence[str]) -> None:
    lower = {split.lower(): split for split in SPLITS}
    for usage in usages:
        if usage not in SPLITS:
            near = difflib.get_close_matches(str(usage).lower(), lower, n=1)
            hint = f" (did you mean {lower[near[0]]}?)" if near else ""
            raise DataError(f"unknown split {usage!r}{hint}: expected {', '.join(SPLITS)}")


def _check_present(path: Path, usages: Sequence[str], counts: dict[str, int]) -> None:
    missing = [usage for usage in usages if usage not in counts]
    if missing:
        there = ", ".join(f"{split} ({n} faces)" for split, n in counts.items())
        raise DataError(
            f"{path}: no faces of {', '.join(missing)}; it has {there or 'none at all'}"
        )


def _describe_bad_rows(path: Path, parsed: Parsed) -> str:
    drops = f"--skip_bad_rows drops {'it' if parsed.bad == 1 else 'them'}"
    lines = [f"{path}: {counted(parsed.bad, 'bad row')} ({drops})"]
    lines += [f"  line {line}: {fault}" for line, fault in parsed.first_bad]
    if parsed.bad > len(parsed.first_bad):
        lines.append(f"  and {parsed.bad - len(parsed.first_bad)} more")
    return "\n".join(lines)


def _hash_file(path: Path) -> str:
    """The file's sha256, read in pieces: with the arrays in the cache, nothing else is needed."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected a FER2013 file (.csv, .csv.gz, .zip)")
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file")
    try:
        return file_sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _from_cache(
    path: Path, digest: str, usages: Sequence[str], report: Callable[[str], None]
) -> Parsed | None:
    """What the cache holds of the file; None when the file must be parsed."""
    folder = arrays_folder(digest)
    try:
        return None if folder is None else read_arrays(folder, usages)
    except (DamagedCacheError, OSError) as error:
        report(f"{path.name}: its cache is damaged ({error}), reading the file again")
        return None


def _to_cache(path: Path, digest: str, parsed: Parsed, report: Callable[[str], None]) -> None:
    folder = arrays_folder(digest)
    if folder is None:
        return
    try:
        write_arrays(folder, parsed)
    except OSError as error:
        report(f"{path.name}: not cached, {folder} cannot be written ({error.strerror})")


def _parse_file(path: Path) -> tuple[str, Parsed]:
    """The sha256 of the bytes that were parsed, and what they hold."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes{EXPECTED_SIZE}")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    # Hashed again, because the file may have changed since.
    digest = hashlib.sha256(data).hexdigest()
    text = _unpack(path, data)
    del data
    if b"\0" in text[: 1 << 16]:
        raise DataError(f"{path}: not text in UTF-8 (it holds zero bytes), expected a FER2013 CSV")

    records = read_records(text)
    line, header = next(records, (0, None))
    if header is None:
        raise DataError(f"{path}: the file is empty, expected the columns {', '.join(COLUMNS)}")
    columns = _find_columns(path, line, header)
    try:
        parsed = parse_rows(text, records, columns, len(header))
    except TooManyBadRowsError as error:
        raise DataError(f"{path}: {error}{EXPECTED_SIZE}") from error
    if not parsed.counts and not parsed.bad:
        raise DataError(f"{path}: it has a header but no rows")
    return digest, parsed


def _unpack(path: Path, data: bytes) -> bytes:
    """The CSV's text; a compressed file is known by its first bytes or by its name."""
    suffix = path.suffix.lower()
    try:
        if data.startswith(b"\x1f\x8b") or suffix == ".gz":
            with gzip.open(io.BytesIO(data)) as stream:
                return _read_bounded(path, stream.read, len(data))
        if not (data.startswith(b"PK\x03\x04") or suffix == ".zip"):
            return data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.lower().endswith(".csv") and not name.startswith("__MACOSX/")
            ]
            if len(names) == 1:
                with archive.open(names[0]) as stream:
                    return _read_bounded(path, stream.read, len(data))
    except DataError:
        raise
    except Exception as error:  # a damaged archive makes the decoders raise almost anything
        fault = one_line(str(error), LONGEST)
        raise DataError(f"{path}: cannot be unpacked, it seems damaged ({fault})") from error
    found = one_line(", ".join(map(ascii, names[:5])), LONGEST) or "none"
    raise DataError(f"{path}: expected exactly one .csv inside, found {len(names)}: {found}")


def _read_bounded(path: Path, read: Callable[[int], bytes], packed: int) -> bytes:
    """All that a compressed stream holds, if that is no more than a FER2013 file could hold."""
    limit = min(MAX_BYTES, max(FREE_GROWTH, MAX_GROWTH * packed))
    text = read(limit + 1)
    if len(text) > limit:
        raise DataError(
            f"{path}: {packed:,} bytes that unpack to more than {limit:,}{EXPECTED_SIZE}"
        )
    return text


def _find_columns(path: Path, line: int, header: list[str] | str) -> tuple[int, ...]:
    """The positions of emotion, pixels and Usage in a row."""
    if isinstance(header, str):
        raise DataError(f"{path}: line {line}: header with {header}")
    if len(header) > MAX_COLUMNS:
        raise DataError(
            f"{path}: line {line}: received {len(header):,} columns, expected {','.join(COLUMNS)}"
        )
    names = [name.strip() for name in header]
    wrong = [f"no column {name}" for name in COLUMNS if name not in names]
    wrong += [f"column {name} twice" for name in COLUMNS if names.count(name) > 1]
    if wrong:
        raise DataError(
            f"{path}: line {line}: {', '.join(wrong)}; received {one_line(','.join(names))}, "
            f"expected {','.join(COLUMNS)}"
        )
    return tuple(names.index(name) for name in COLUMNS)
