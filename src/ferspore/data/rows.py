"""Rows of FER2013's CSV -> arrays.

pandas and numpy parse a flawless file without quotes in bulk. At the first irregularity the whole
file is parsed again, row by row, which tells what is wrong and on which line.
"""

import copy
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ferspore.data.faces import Faces
from ferspore.labels import EMOTIONS, FACE_SIZE, SPLITS
from ferspore.tables import counted

PARSER_VERSION = 2  # raise it whenever the same file gives other arrays: it names the cache
PIXELS = FACE_SIZE * FACE_SIZE
MAX_BAD_ROWS = 100_000  # three times the rows of FER2013; a packed kilobyte may hold half a million

_NAMED_ROWS = 5  # bad rows that are kept by line and fault
_BLOCK = 256  # rows parsed at once: their text and its index fit the processor's cache
_EMOTION_CODES = {str(code): code for code in range(len(EMOTIONS))}
_SPLIT_CODES = {split: code for code, split in enumerate(SPLITS)}
_UNKNOWN = 255  # stands for an emotion or a split that is not in the tables above


class TooManyBadRowsError(ValueError):
    """The file is no FER2013 file: reading on would only take time and memory."""


@dataclass(frozen=True, eq=False)
class Parsed:
    """What a file holds.

    counts: good rows of each split in the file, in the order of `SPLITS`.
    bad: number of bad rows.
    first_bad: (line, fault) of the first few of them.
    splits: faces by split; from the cache, those of the requested splits only.
    """

    counts: dict[str, int]
    bad: int
    first_bad: list[tuple[int, str]]
    splits: dict[str, Faces]


@dataclass(frozen=True, eq=False)
class _Block:
    """Parsed rows: labels (n,), codes (n,) of their splits, images (n, 2304), all uint8."""

    labels: np.ndarray
    codes: np.ndarray
    images: np.ndarray


def read_records(text: bytes) -> Iterator[tuple[int, list[str] | str]]:
    """(first line, fields) of every row that is not blank, the header included.

    Lines count from 1. A quoted field may span lines. Where quotes are broken, a message stands in
    place of the fields and reading continues on the next line, so that one lost quote does not
    swallow the rows after it.
    """
    # Bytes that are not UTF-8 become U+FFFD, which no good row holds: they show up as bad rows.
    source = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8-sig", errors="replace", newline="")
    lines = itertools.tee(source, 1)[0]  # a tee, because its copies can read ahead
    number = hopeless = 0
    while (line := next(lines, None)) is not None:
        number += 1
        if not line.strip():
            continue
        if '"' not in line:
            yield number, line.rstrip("\r\n").split(",")
            continue
        # A broken row that read ahead to line `hopeless` was inside quotes at the start of every
        # line on the way. A row that enters them there meets the same end, so it does not read
        # ahead again: that keeps the time linear.
        ahead = copy.copy(lines)
        fields, taken = _read_quoted(line, ahead if number >= hopeless else ())
        yield number, fields
        if isinstance(fields, str):
            hopeless = max(hopeless, number + taken - 1)
        else:
            lines = ahead
            number += taken - 1
        del ahead  # a copy that stays behind would keep all lines after it in memory


def _read_quoted(line: str, following: Iterable[str]) -> tuple[list[str] | str, int]:
    """The fields of the row that begins with `line`, or what is wrong; and the lines it took."""
    reader = csv.reader(itertools.chain([line], following), strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error as error:
        return f"broken quotes ({error})", reader.line_num


def parse_rows(
    text: bytes,
    records: Iterable[tuple[int, list[str] | str]],
    columns: tuple[int, ...],
    width: int,
) -> Parsed:
    """Parse the rows below the header.

    text: the whole file.
    records: what `read_records` gives of it after the header.
    columns: positions of emotion, pixels and Usage among the `width` fields of a row.
    """
    blocks = _parse_in_bulk(text, columns, width)
    bad: list[tuple[int, str]] = []
    if blocks is None:
        blocks, bad = _parse_row_by_row(records, columns, width)
    splits = _by_split(blocks)
    counts = {split: len(faces) for split, faces in splits.items()}
    return Parsed(counts, len(bad), bad[:_NAMED_ROWS], splits)


def _parse_in_bulk(text: bytes, columns: tuple[int, ...], width: int) -> list[_Block] | None:
    """All rows of a flawless file without quotes; None when anything is irregular."""
    if b"\0" in text or b'"' in text:  # pandas ends a field at a zero byte, and mends broken quotes
        return None
    import pandas as pd  # here, because it takes 0.4 s that a start from the cache need not spend

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
    # pandas silently drops surplus fields, but a row of good values has no other commas.
    rows = sum(len(block.labels) for block in blocks)
    return blocks if text.count(b",") == (width - 1) * (rows + 1) else None


def _parse_row_by_row(
    records: Iterable[tuple[int, list[str] | str]], columns: tuple[int, ...], width: int
) -> tuple[list[_Block], list[tuple[int, str]]]:
    """The good rows in blocks, and (line, fault) of every bad one, in the file's order.

    Raises:
        TooManyBadRowsError: see there.
    """
    blocks: list[_Block] = []
    bad: list[tuple[int, str]] = []
    rows = iter(records)
    while batch := list(itertools.islice(rows, _BLOCK)):
        whole: list[tuple[int, str, str, str]] = []  # line, emotion, pixels, usage
        for line, fields in batch:
            if isinstance(fields, str):
                bad.append((line, fields))
            elif len(fields) != width:
                bad.append((line, f"{counted(len(fields), 'field')}, expected {width}"))
            else:
                emotion, pixels, usage = (fields[column] for column in columns)
                whole.append((line, emotion, " ".join(pixels.split()), usage))
        block = _parse_block(*list(zip(*whole, strict=True))[1:]) if whole else None
        if block is not None:
            blocks.append(block)
            whole = []
        for line, *row in whole:
            block = _parse_block(*([value] for value in row))
            if block is None:
                bad.append((line, _describe_faults(*row)))
            else:
                blocks.append(block)
        if len(bad) > MAX_BAD_ROWS:
            raise TooManyBadRowsError(f"more than {MAX_BAD_ROWS:,} bad rows")
    return blocks, sorted(bad)


def _parse_block(
    emotions: Sequence[str], pixels: Sequence[str], usages: Sequence[str]
) -> _Block | None:
    """The rows as arrays; None when one of them is bad, or has irregular blanks in its pixels."""
    labels = _encode(emotions, _EMOTION_CODES)
    codes = _encode(usages, _SPLIT_CODES)
    images = _parse_pixels(pixels)
    if images is None or _UNKNOWN in labels or _UNKNOWN in codes:
        return None
    return _Block(labels, codes, images)


def _encode(values: Sequence[str], codes: dict[str, int]) -> np.ndarray:
    return np.fromiter((codes.get(value.strip(), _UNKNOWN) for value in values), np.uint8)


def _parse_pixels(rows: Sequence[str]) -> np.ndarray | None:
    """Rows of numbers with exactly one blank between them -> uint8 (n, 2304), or None.

    A number of one to three digits ends before a separator, so the three bytes before the
    separator give its value: all numbers are read at once.
    """
    # Two separators ahead, so that three bytes stand before the first separator that ends a number.
    text = ("\n\n" + "\n".join(rows) + "\n").encode("ascii", "replace")
    symbols = np.frombuffer(text, np.uint8)
    digits = symbols - np.uint8(ord("0"))  # whatever is not a digit wraps around to more than 9
    is_digit = digits < 10
    ends = np.flatnonzero(~is_digit[3:])  # counted from the first separator that ends a number
    if not _is_regular(symbols, is_digit, ends, len(rows)):
        return None
    digits *= is_digit
    last_two = digits[2:-1] + digits[1:-2] * np.uint8(10)
    hundreds = digits[:-3] * is_digit[1:-2]
    values = np.multiply(hundreds[ends], 100, dtype=np.uint16) + last_two[ends]
    return values.astype(np.uint8).reshape(len(rows), PIXELS) if values.max() <= 255 else None


def _is_regular(symbols: np.ndarray, is_digit: np.ndarray, ends: np.ndarray, rows: int) -> bool:
    """Whether the text is `rows` lines of 2304 numbers of one to three digits, one blank apart."""
    line_ends = ends[PIXELS - 1 :: PIXELS] + 3
    return bool(
        len(ends) == rows * PIXELS
        and np.count_nonzero(symbols == ord(" ")) == rows * (PIXELS - 1)
        and (symbols[line_ends] == ord("\n")).all()
        # no two separators side by side, no four digits
        and (is_digit[1:-1] | is_digit[2:]).all()
        and not (is_digit[:-3] & is_digit[1:-2] & is_digit[2:-1] & is_digit[3:]).any()
    )


def _describe_faults(emotion: str, pixels: str, usage: str) -> str:
    """What is wrong with a bad row."""
    faults = []
    if emotion.strip() not in _EMOTION_CODES:
        last = len(EMOTIONS) - 1
        faults.append(f"emotion is {shorten(emotion)!r}, expected an integer from 0 to {last}")
    values = pixels.split()
    if len(values) != PIXELS:
        faults.append(f"{counted(len(values), 'pixel')}, expected {PIXELS:,}")
    wrong = [(place, value) for place, value in enumerate(values, 1) if not _is_pixel(value)]
    if wrong:
        place, value = wrong[0]
        others = f" ({len(wrong)} such)" if len(wrong) > 1 else ""
        received = shorten(value)
        faults.append(f"pixel {place} is {received!r}, expected an integer from 0 to 255{others}")
    if usage.strip() not in SPLITS:
        faults.append(f"Usage is {shorten(usage)!r}, expected {', '.join(SPLITS)}")
    return "; ".join(faults)


def _is_pixel(value: str) -> bool:
    return re.fullmatch("[0-9]{1,3}", value) is not None and int(value) <= 255


def shorten(text: str, length: int = 24) -> str:
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
