"""Read FER2013's CSV: check every row, keep the parsed arrays in the user's cache.

The official layout is `emotion,pixels,Usage`; the one of icml_face_data.csv has the columns in
another order and blanks before their names. Both are from the challenge of Goodfellow et al.,
"Challenges in Representation Learning" (2013), Kaggle.

A file is read twice at most. pandas and numpy read a flawless one in bulk; at the first thing out
of the ordinary the whole file is read again, row by row, which tells the line and what is wrong.
"""

import csv
import difflib
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import tempfile
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ferspore.labels import EMOTIONS, FACE_SIZE, SPLITS

COLUMNS = ("emotion", "pixels", "Usage")

_PIXELS = FACE_SIZE * FACE_SIZE
_NAMED_ROWS = 5  # bad rows that an error names
_BLOCK = 256  # rows parsed at once: their text and its index fit the processor's cache
_PARSER_VERSION = 1  # to be raised whenever the same file would give other arrays
_EMOTION_CODES = {str(code): code for code in range(len(EMOTIONS))}
_SPLIT_CODES = {split: code for code, split in enumerate(SPLITS)}
_UNKNOWN = 255  # stands for an emotion or a split that is not in the tables above


class DataError(ValueError):
    """The file, or what is asked of it, cannot be used; the message says where and why."""


@dataclass(frozen=True, eq=False)
class Faces:
    """Grey faces and their emotions.

    images: uint8 (N, 48, 48), 0 is black.
    labels: uint8 (N,), an index into `EMOTIONS`.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class FaceTable:
    """What was read from a file.

    path: the file.
    sha256: of the file as it lies on the disk, compressed or not, in hexadecimal.
    counts: good rows of each split that the file has, in the order of `SPLITS`.
    skipped: bad rows that were dropped.
    splits: the faces of the splits that were asked for.
    """

    path: Path
    sha256: str
    counts: dict[str, int]
    skipped: int
    splits: dict[str, Faces]


@dataclass(frozen=True)
class _Summary:
    """What is known of a whole file beside its faces; `first_bad` holds (line, fault) pairs."""

    counts: dict[str, int]
    bad: int
    first_bad: list[tuple[int, str]]


@dataclass(frozen=True, eq=False)
class _Block:
    """Parsed rows: labels (n,), codes (n,) of their splits, images (n, 2304), all uint8."""

    labels: np.ndarray
    codes: np.ndarray
    images: np.ndarray


class _DamagedCacheError(Exception):
    """A cache that is there but cannot be trusted."""


def load_csv(
    path: str | os.PathLike[str],
    usages: Sequence[str],
    *,
    skip_bad_rows: bool = False,
    cache: bool = True,
    report: Callable[[str], None] = print,
) -> FaceTable:
    """The faces of the splits `usages` from a FER2013 file.

    path: a .csv, a .csv.gz or a .zip with one .csv inside; text in UTF-8.
    usages: names from `SPLITS`. Rows of the other splits are checked too.
    skip_bad_rows: drop bad rows instead of refusing the file.
    cache: use the parsed arrays under $XDG_CACHE_HOME/ferspore (~/.cache without it), which are
        found by the file's sha256, and leave them there.
    report: receives lines for the user.

    Raises DataError when the file cannot be read, has bad rows (all are counted, the first five
    are named by line, the header being line 1) or lacks a split of `usages`.
    """
    started = time.perf_counter()
    _check_usages(usages)
    path = Path(path).expanduser()
    digest = _hash_file(path)
    found = _from_cache(path, digest, usages, report) if cache else None
    if found is None:
        digest, summary, splits = _parse_file(path)
        if cache:
            _to_cache(path, digest, summary, splits, report)
        origin = f"read in {time.perf_counter() - started:.1f} s"
    else:
        summary, splits = found
        origin = "from the cache"

    if summary.bad and not skip_bad_rows:
        raise DataError(_describe_bad_rows(path, summary))
    _check_present(path, usages, summary)
    counts = ", ".join(f"{count} {split}" for split, count in summary.counts.items())
    report(f"{path.name}: {counts} faces ({origin})")
    if summary.bad:
        line, fault = summary.first_bad[0]
        dropped = f"{_count(summary.bad, 'bad row')} dropped"
        report(f"{path.name}: {dropped}, the first at line {line}: {fault}")
    return FaceTable(
        path=path,
        sha256=digest,
        counts=summary.counts,
        skipped=summary.bad,
        splits={usage: splits[usage] for usage in usages},
    )


# What is asked for ----------------------------------------------------------------------------


def _check_usages(usages: Sequence[str]) -> None:
    lower = {split.lower(): split for split in SPLITS}
    for usage in usages:
        if usage not in SPLITS:
            near = difflib.get_close_matches(str(usage).lower(), lower, n=1)
            hint = f" (did you mean {lower[near[0]]}?)" if near else ""
            raise DataError(f"unknown split {usage!r}{hint}: expected {', '.join(SPLITS)}")


def _check_present(path: Path, usages: Sequence[str], summary: _Summary) -> None:
    missing = [usage for usage in usages if usage not in summary.counts]
    if missing:
        there = ", ".join(f"{split} ({n} faces)" for split, n in summary.counts.items())
        raise DataError(
            f"{path}: no faces of {', '.join(missing)}; it has {there or 'none at all'}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _describe_bad_rows(path: Path, summary: _Summary) -> str:
    lines = [f"{path}: {_count(summary.bad, 'bad row')} (skip_bad_rows drops them)"]
    lines += [f"  line {line}: {fault}" for line, fault in summary.first_bad]
    if summary.bad > len(summary.first_bad):
        lines.append(f"  and {summary.bad - len(summary.first_bad)} more")
    return "\n".join(lines)


# The file -------------------------------------------------------------------------------------


def _hash_file(path: Path) -> str:
    """sha256 of the file, without ever holding it: the cache needs nothing else of it."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected a FER2013 file (.csv, .csv.gz, .zip)")
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file")
    try:
        with path.open("rb", buffering=0) as file:
            digest = hashlib.sha256()
            buffer = memoryview(bytearray(1 << 18))
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _parse_file(path: Path) -> tuple[str, _Summary, dict[str, Faces]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    # Hashed again, from the very bytes that are parsed: the file may have changed meanwhile.
    digest = hashlib.sha256(data).hexdigest()
    text = _unpack(path, data)
    del data
    if b"\0" in text[: 1 << 16]:
        raise DataError(f"{path}: not text in UTF-8 (it holds zero bytes), expected a FER2013 CSV")

    records = _records(text)
    header_line, header = next(records, (0, None))
    if header_line == 0:
        raise DataError(f"{path}: the file is empty, expected the columns {', '.join(COLUMNS)}")
    columns = _find_columns(path, header_line, header)
    blocks = _parse_in_bulk(text, columns, len(header))
    bad: list[tuple[int, str]] = []
    if blocks is None:
        blocks, bad = _parse_row_by_row(records, columns, len(header))
    if not blocks and not bad:
        raise DataError(f"{path}: a header without rows")
    splits = _by_split(blocks)
    counts = {split: len(faces) for split, faces in splits.items()}
    return digest, _Summary(counts, len(bad), bad[:_NAMED_ROWS]), splits


def _unpack(path: Path, data: bytes) -> bytes:
    """The CSV's text; a compressed file is known by its first bytes or by its name."""
    suffix = path.suffix.lower()
    try:
        if data.startswith(b"\x1f\x8b") or suffix == ".gz":
            return gzip.decompress(data)
        if not (data.startswith(b"PK\x03\x04") or suffix == ".zip"):
            return data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.lower().endswith(".csv") and not name.startswith("__MACOSX/")
            ]
            if len(names) == 1:
                return archive.read(names[0])
    except (EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        # RuntimeError: the archive has a password, or a method that zipfile does not know.
        raise DataError(f"{path}: cannot be unpacked, it seems damaged ({error})") from error
    found = ", ".join(names[:_NAMED_ROWS]) or "none"
    raise DataError(f"{path}: expected exactly one .csv inside, found {len(names)}: {found}")


def _records(text: bytes) -> Iterator[tuple[int, list[str] | str]]:
    """(line where it starts, fields) of every row that is not blank.

    The fields of a row whose quotes are broken are replaced by a str that says so; reading goes on
    at the next line, so that one lost quote does not swallow the rows behind it.
    """
    # Bytes that are no UTF-8 become U+FFFD, which no good row holds: they are found as bad rows.
    decoded = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8-sig", errors="replace", newline="")
    source = enumerate(decoded, start=1)
    again: deque[tuple[int, str]] = deque()  # lines that a row with broken quotes took in vain
    while (item := again.popleft() if again else next(source, None)) is not None:
        number, line = item
        if not line.strip():
            continue
        if '"' not in line:
            yield number, line.rstrip("\r\n").split(",")
            continue
        taken: list[tuple[int, str]] = []
        following = _take(again, source, taken)
        try:
            yield number, next(csv.reader(itertools.chain([line], following), strict=True))
        except csv.Error as error:
            again.extendleft(reversed(taken))
            yield number, f"broken quotes ({error})"


def _take(
    again: deque[tuple[int, str]],
    source: Iterator[tuple[int, str]],
    taken: list[tuple[int, str]],
) -> Iterator[str]:
    """The lines to come, each one remembered in `taken`."""
    while (item := again.popleft() if again else next(source, None)) is not None:
        taken.append(item)
        yield item[1]


def _find_columns(path: Path, line: int, header: list[str] | str) -> tuple[int, ...]:
    """The positions of emotion, pixels and Usage in a row."""
    if isinstance(header, str):
        raise DataError(f"{path}: line {line}: header with {header}")
    names = [name.strip() for name in header]
    wrong = [f"no column {name}" for name in COLUMNS if name not in names]
    wrong += [f"column {name} twice" for name in COLUMNS if names.count(name) > 1]
    if wrong:
        raise DataError(
            f"{path}: line {line}: {', '.join(wrong)}; received {_shorten(','.join(names), 80)}, "
            f"expected {','.join(COLUMNS)}"
        )
    return tuple(names.index(name) for name in COLUMNS)


# Rows to arrays -------------------------------------------------------------------------------


def _parse_in_bulk(text: bytes, columns: tuple[int, ...], width: int) -> list[_Block] | None:
    """All rows of a flawless file; None when anything is out of the ordinary."""
    import pandas as pd  # here, because a start from the cache does without its 0.4 s

    blocks = []
    try:
        chunks = pd.read_csv(
            io.BytesIO(text),
            header=0,
            names=range(width),
            usecols=list(columns),
            index_col=False,
            dtype=object,
            na_filter=False,
            chunksize=_BLOCK,
        )
        for chunk in chunks:
            block = _parse_block(*(chunk[column].tolist() for column in columns))
            if block is None:
                return None
            blocks.append(block)
    except (pd.errors.ParserError, UnicodeDecodeError):
        return None
    # pandas drops surplus fields without a word, but a row of good values has no other commas.
    rows = sum(len(block.labels) for block in blocks)
    return blocks if text.count(b",") == (width - 1) * (rows + 1) else None


def _parse_row_by_row(
    records: Iterable[tuple[int, list[str] | str]], columns: tuple[int, ...], width: int
) -> tuple[list[_Block], list[tuple[int, str]]]:
    """The good rows in blocks, and (line, fault) of every bad one, in the file's order."""
    blocks: list[_Block] = []
    bad: list[tuple[int, str]] = []
    rows = iter(records)
    while batch := list(itertools.islice(rows, _BLOCK)):
        lines, emotions, pixels, usages = [], [], [], []
        for line, fields in batch:
            if isinstance(fields, str):
                bad.append((line, fields))
            elif len(fields) != width:
                bad.append((line, f"{_count(len(fields), 'field')}, expected {width}"))
            else:
                emotion, face, usage = (fields[column] for column in columns)
                lines.append(line)
                emotions.append(emotion)
                pixels.append(" ".join(face.split()))
                usages.append(usage)
        if not lines:
            continue
        block = _parse_block(emotions, pixels, usages)
        if block is not None:
            blocks.append(block)
            continue
        for line, *row in zip(lines, emotions, pixels, usages, strict=True):
            block = _parse_block(*([value] for value in row))
            if block is None:
                bad.append((line, _describe_faults(*row)))
            else:
                blocks.append(block)
    return blocks, sorted(bad)


def _parse_block(emotions: list[str], pixels: list[str], usages: list[str]) -> _Block | None:
    """The rows as arrays; None when one of them is bad, or has unusual blanks in its pixels."""
    labels = _encode(emotions, _EMOTION_CODES)
    codes = _encode(usages, _SPLIT_CODES)
    images = _parse_pixels(pixels)
    if images is None or _UNKNOWN in labels or _UNKNOWN in codes:
        return None
    return _Block(labels, codes, images)


def _encode(values: list[str], codes: dict[str, int]) -> np.ndarray:
    return np.fromiter((codes.get(value.strip(), _UNKNOWN) for value in values), np.uint8)


def _parse_pixels(rows: list[str]) -> np.ndarray | None:
    """Rows of numbers with exactly one blank between them -> uint8 (n, 2304), or None.

    A number of one to three digits ends before a separator, so its value is known at the
    separator's place from the three bytes before it, for all places at once.
    """
    # Two separators ahead, so that three bytes stand before the first separator that ends a number.
    text = ("\n\n" + "\n".join(rows) + "\n").encode("ascii", "replace")
    symbols = np.frombuffer(text, np.uint8)
    digits = symbols - np.uint8(ord("0"))  # whatever is no digit wraps around to more than 9
    is_digit = digits < 10
    ends = np.flatnonzero(~is_digit[3:])  # from the first separator's place on
    if not _is_regular(symbols, is_digit, ends, len(rows)):
        return None
    digits *= is_digit
    last_two = digits[2:-1] + digits[1:-2] * np.uint8(10)
    hundreds = digits[:-3] * is_digit[1:-2]
    values = np.multiply(hundreds[ends], 100, dtype=np.uint16) + last_two[ends]
    return values.astype(np.uint8).reshape(len(rows), _PIXELS) if values.max() <= 255 else None


def _is_regular(symbols: np.ndarray, is_digit: np.ndarray, ends: np.ndarray, rows: int) -> bool:
    """Whether the text is `rows` lines of 2304 numbers of one to three digits, one blank apart."""
    line_ends = ends[_PIXELS - 1 :: _PIXELS] + 3
    return bool(
        len(ends) == rows * _PIXELS
        and np.count_nonzero(symbols == ord(" ")) == rows * (_PIXELS - 1)
        and (symbols[line_ends] == ord("\n")).all()
        # no two separators side by side, no four digits
        and (is_digit[1:-1] | is_digit[2:]).all()
        and not (is_digit[:-3] & is_digit[1:-2] & is_digit[2:-1] & is_digit[3:]).any()
    )


def _describe_faults(emotion: str, pixels: str, usage: str) -> str:
    """What keeps a row from being parsed."""
    faults = []
    if emotion.strip() not in _EMOTION_CODES:
        last = len(EMOTIONS) - 1
        faults.append(f"emotion is {_shorten(emotion)!r}, expected an integer from 0 to {last}")
    values = pixels.split()
    if len(values) != _PIXELS:
        faults.append(f"{_count(len(values), 'pixel')}, expected {_PIXELS}")
    wrong = [(place, value) for place, value in enumerate(values, 1) if not _is_pixel(value)]
    if wrong:
        place, value = wrong[0]
        others = f" ({len(wrong)} such)" if len(wrong) > 1 else ""
        received = _shorten(value)
        faults.append(f"pixel {place} is {received!r}, expected an integer from 0 to 255{others}")
    if usage.strip() not in SPLITS:
        faults.append(f"Usage is {_shorten(usage)!r}, expected {', '.join(SPLITS)}")
    return "; ".join(faults)


def _is_pixel(value: str) -> bool:
    return re.fullmatch("[0-9]{1,3}", value) is not None and int(value) <= 255


def _shorten(text: str, length: int = 24) -> str:
    return text if len(text) <= length else text[:length] + "..."


def _by_split(blocks: list[_Block]) -> dict[str, Faces]:
    """The faces of each split that has any, in the file's order."""
    splits = {}
    for split, code in _SPLIT_CODES.items():
        masks = [block.codes == code for block in blocks]
        pairs = [pair for pair in zip(blocks, masks, strict=True) if pair[1].any()]
        if pairs:
            # A split fills most of its blocks: those are taken as they are, not copied twice.
            images = np.concatenate([b.images if m.all() else b.images[m] for b, m in pairs])
            labels = np.concatenate([b.labels[m] for b, m in pairs])
            splits[split] = Faces(images.reshape(-1, FACE_SIZE, FACE_SIZE), labels)
    return splits


# The cache ------------------------------------------------------------------------------------
#
#   <sha256 of the file>-v<version of the parser>/
#     Training.faces    2304 bytes an image, all of them, then one byte a label
#     table.json        first line: sha256 of the rest; the rest: the summary and the faces' crc32
#
# table.json is written last, so that its presence says that the folder is whole. Two processes that
# write at once write the same bytes.


def _cache_folder(digest: str) -> Path | None:
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # as the XDG base directory specification demands
        try:
            base = Path("~/.cache").expanduser()
        except RuntimeError:  # a user without a home
            return None
    return base / "ferspore" / f"{digest}-v{_PARSER_VERSION}"


def _from_cache(
    path: Path, digest: str, usages: Sequence[str], report: Callable[[str], None]
) -> tuple[_Summary, dict[str, Faces]] | None:
    """The summary and the faces that are asked for; None when the file must be parsed."""
    folder = _cache_folder(digest)
    if folder is None or not (folder / "table.json").exists():
        return None
    try:
        summary, checksums = _read_table(folder / "table.json")
        return summary, {
            usage: _read_faces(folder / f"{usage}.faces", summary.counts[usage], checksums[usage])
            for usage in usages
            if usage in summary.counts
        }
    except (_DamagedCacheError, OSError) as error:
        report(f"{path.name}: its cache is damaged ({error}), so the file is read again")
        return None


def _read_table(path: Path) -> tuple[_Summary, dict[str, int]]:
    checksum, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise _DamagedCacheError(f"{path.name}: wrong checksum")
    table = json.loads(body)
    first_bad = [(line, fault) for line, fault in table["first_bad"]]
    return _Summary(table["counts"], table["bad"], first_bad), table["crc32"]


def _read_faces(path: Path, count: int, checksum: int) -> Faces:
    size = count * (_PIXELS + 1)
    if path.stat().st_size != size:
        raise _DamagedCacheError(f"{path.name}: {path.stat().st_size} bytes, expected {size}")
    content = np.fromfile(path, np.uint8)
    if zlib.crc32(content) != checksum:
        raise _DamagedCacheError(f"{path.name}: wrong checksum")
    images = content[: count * _PIXELS].reshape(count, FACE_SIZE, FACE_SIZE)
    return Faces(images, content[count * _PIXELS :])


def _to_cache(
    path: Path,
    digest: str,
    summary: _Summary,
    splits: dict[str, Faces],
    report: Callable[[str], None],
) -> None:
    folder = _cache_folder(digest)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checksums = {}
        for split, faces in splits.items():
            checksums[split] = zlib.crc32(faces.labels, zlib.crc32(faces.images))
            _write_atomically(folder / f"{split}.faces", [faces.images, faces.labels])
        body = json.dumps({**asdict(summary), "crc32": checksums}, indent=1).encode()
        checksum = hashlib.sha256(body).hexdigest().encode()
        _write_atomically(folder / "table.json", [checksum, b"\n", body])
    except OSError as error:
        report(f"{path.name}: not cached, {folder} cannot be written ({error.strerror})")


def _write_atomically(path: Path, parts: Iterable[bytes | np.ndarray]) -> None:
    """Beside its place, flushed to the disk, then renamed over it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
