"""Faces in memory, and the table of them that a file gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Faces:
    """Grey faces and their emotions.

    images: uint8 (N, H, W), 0 is black; 48x48 as they come from a file.
    labels: uint8 (N,), an index into `EMOTIONS`.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class FaceTable:
    """The faces of a file.

    path: the file.
    sha256: of the file as it lies on disk, compressed or not, in hexadecimal.
    counts: good rows of each split in the file, in the order of `SPLITS`.
    skipped: bad rows that were dropped.
    splits: the faces of the requested splits.
    """

    path: Path
    sha256: str
    counts: dict[str, int]
    skipped: int
    splits: dict[str, Faces]
