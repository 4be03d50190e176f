"""The CSV of a video: a line for each face in each frame."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ferspore.files import beside, flush, flush_folder, remove, rename
from ferspore.labels import EMOTIONS
from ferspore.use.moving import Frame

SMOOTHED = tuple(f"smoothed_{emotion}" for emotion in EMOTIONS)
COLUMNS = ("frame", "time", "face", "left", "top", "side", "angle", *EMOTIONS, *SMOOTHED)


class EmotionCsv:
    """Frame for frame into a file that appears when it is left, or not at all if by an error.

    ``time`` is in seconds since the first frame, ``face`` the number of the person, ``angle`` in
    degrees clockwise, the rest of the square in pixels.
    """

    def __init__(self, path: Path):
        self.path, self.waiting = path, beside(path)

    def __enter__(self) -> "EmotionCsv":
        self.file: TextIO = self.waiting.open("w", newline="", encoding="ascii")
        self.writer: Any = csv.writer(self.file, lineterminator="\n")
        self.writer.writerow(COLUMNS)
        return self

    def add(self, frame: Frame) -> None:
        for seen in frame.faces:
            square = seen.square
            place = (square.left, square.top, square.side, square.angle)
            values = (f"{value:.6f}" for value in (*seen.probabilities, *seen.smoothed))
            self.writer.writerow([frame.number, f"{frame.time:.3f}", seen.face, *place, *values])

    def __exit__(self, kind, *_) -> None:
        try:
            self.file.close()
            if kind is None:
                flush(self.waiting)
                rename(self.waiting, self.path)
                flush_folder(self.path.parent)
        finally:
            remove(self.waiting)


def smoothed_over_time(
    path: Path, faces: Iterable[int], seconds: float, parts: int
) -> dict[int, np.ndarray]:
    """Face -> its mean smoothed probabilities float64 (parts,7) in equal parts of the time, NaN
    where it is not seen. The file is read line by line."""
    totals = {face: np.zeros((parts, len(EMOTIONS))) for face in faces}
    counts = {face: np.zeros((parts, 1)) for face in faces}
    with path.open(newline="", encoding="ascii") as file:
        for line in csv.DictReader(file):
            face = int(line["face"])
            if face in totals:
                part = min(int(float(line["time"]) / max(seconds, 1e-9) * parts), parts - 1)
                totals[face][part] += [float(line[name]) for name in SMOOTHED]
                counts[face][part] += 1
    with np.errstate(invalid="ignore"):
        return {face: totals[face] / counts[face] for face in totals}
