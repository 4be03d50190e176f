"""Hand-made FER2013 files for the tests, and what they hold by plain Python."""

import random
from pathlib import Path

import numpy as np
import pytest

from ferspore.data.csv import DataError, load_csv
from ferspore.data.faces import FaceTable

HEADER = "emotion,pixels,Usage"


def draw_pixels(seed: int) -> str:
    generator = random.Random(seed)
    return " ".join(str(generator.randrange(256)) for _ in range(2304))


def make_rows() -> list[tuple[str, str, str]]:
    """Nine rows whose splits alternate, with the extremes 0 and 255 among the pixels."""
    splits = ("Training", "PublicTest", "PrivateTest")
    rows = [(str(i % 7), draw_pixels(i), splits[i * i % 3 if i < 7 else 2]) for i in range(9)]
    rows[0] = ("0", " ".join(["0"] * 2304), "Training")
    rows[1] = ("1", " ".join(["255"] * 2304), "PublicTest")
    return rows


ROWS = make_rows()
PX = ROWS[3][1]  # the pixels of a good row
ALL = ("Training", "PublicTest", "PrivateTest")


def official(rows=ROWS) -> str:
    return "\n".join([HEADER, *(",".join(row) for row in rows)]) + "\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def expected(split: str, rows=ROWS) -> tuple[list[int], list[list[int]]]:
    """The oracle: labels and pixels of a split by str.split and int alone."""
    chosen = [row for row in rows if row[2] == split]
    labels = [int(emotion) for emotion, _, _ in chosen]
    return labels, [[int(value) for value in pixels.split()] for _, pixels, _ in chosen]


def check(table: FaceTable, rows=ROWS, splits=ALL) -> None:
    assert list(table.splits) == list(splits)
    for split, faces in table.splits.items():
        labels, pixels = expected(split, rows)
        assert faces.images.dtype == faces.labels.dtype == np.uint8
        assert faces.images.shape == (len(labels), 48, 48)
        assert len(faces) == len(labels)
        assert faces.labels.tolist() == labels
        assert faces.images.reshape(-1, 2304).tolist() == pixels


def error_of(path: Path, usages=("Training",), **options) -> str:
    with pytest.raises(DataError) as caught:
        load_csv(path, usages, report=lambda line: None, **options)
    return str(caught.value)


def quiet(path: Path, usages=ALL, **options) -> tuple[FaceTable, list[str]]:
    lines: list[str] = []
    return load_csv(path, usages, report=lines.append, **options), lines
