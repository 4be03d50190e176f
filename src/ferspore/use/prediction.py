"""Image files -> faces -> emotions -> a JSON value and annotated copies."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.labels import EMOTIONS, FACE_SIZE
from ferspore.pictures.style import EMOTION_COLOURS
from ferspore.use.annotation import Mark, annotate
from ferspore.use.detection import FaceDetector
from ferspore.use.faces import Square, centre_square, cut_face
from ferspore.use.images import ImageError, image_files, read_picture

UNCERTAIN = 0.5  # confidences below it are drawn faded


@dataclass(frozen=True)
class Prediction:
    """A face and its seven probabilities, in the order of EMOTIONS."""

    square: Square
    probabilities: list[float]

    @property
    def emotion(self) -> str:
        return EMOTIONS[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        return max(self.probabilities)

    def label(self, guesses: int) -> str:
        """The most probable emotions and their probabilities: "happy 0.61, neutral 0.22"."""
        best = np.argsort([-value for value in self.probabilities], kind="stable")[:guesses]
        return ", ".join(f"{EMOTIONS[code]} {self.probabilities[code]:.2f}" for code in best)


@dataclass(frozen=True)
class Unusable:
    """A file that could not be used, and why."""

    path: Path
    reason: str


def list_files(
    names: Iterable[str], *, recursive: bool = False
) -> tuple[list[Path], list[Unusable]]:
    """The files that are named and those in named folders (or below them), each once."""
    files: dict[Path, None] = {}  # a set that keeps its order
    unusable = []
    for path in map(Path, names):
        try:
            files |= dict.fromkeys(image_files(path, recursive=recursive))
        except OSError as error:
            unusable.append(Unusable(path, str(error)))
    return list(files), unusable


def find_faces(
    files: Iterable[Path], detector: FaceDetector | None
) -> tuple[dict[Path, list[Square]], np.ndarray, list[Unusable]]:
    """The squares of the faces by file; their pixels, uint8 (N,48,48), in the same order; the
    files that are not images. Without a detector the centred square of each image is its face."""
    squares, faces, unusable = {}, [], []
    for path in files:
        try:
            picture = read_picture(path)
        except ImageError as error:
            unusable.append(Unusable(path, str(error)))
            continue
        squares[path] = detector.find(picture) if detector else [centre_square(picture.size)]
        faces += [cut_face(picture, square) for square in squares[path]]
    return squares, np.array(faces, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE), unusable


def to_dict(
    ckpt: str, found: dict[Path, list[Prediction]], unusable: Sequence[Unusable]
) -> dict[str, Any]:
    """The predictions as JSON takes them."""
    images = [
        {
            "image": str(image),
            "faces": [
                {
                    **asdict(face.square),
                    "emotion": face.emotion,
                    "confidence": face.confidence,
                    "probabilities": dict(zip(EMOTIONS, face.probabilities, strict=True)),
                }
                for face in faces
            ],
        }
        for image, faces in found.items()
    ]
    failed = [{"image": str(item.path), "reason": item.reason} for item in unusable]
    return {"ckpt": ckpt, "images": images, "unusable": failed}


def write_copies(
    folder: Path, found: dict[Path, list[Prediction]], *, guesses: int = 1
) -> list[Path]:
    """Write an annotated PNG for each image with faces, and return their paths.

    A face is framed in its emotion's colour, faded below UNCERTAIN, and named with so many of the
    most probable emotions. Images of the same name get numbers, and no image is overwritten.

    Raises:
        OSError: an image cannot be read again, or a copy cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = set(map(os.path.realpath, found))
    written: list[Path] = []
    for path, faces in found.items():
        if not faces:
            continue
        target, number = folder / f"{path.stem}_emotions.png", 1
        while os.path.realpath(target) in taken:
            number += 1
            target = folder / f"{path.stem}_emotions_{number}.png"
        annotate(read_picture(path), [mark_of(face, guesses) for face in faces]).save(target)
        taken.add(os.path.realpath(target))
        written.append(target)
    return written


def mark_of(face: Prediction, guesses: int) -> Mark:
    """The frame of a face in its emotion's colour, with so many guesses in its label."""
    colour = EMOTION_COLOURS[face.emotion]
    return Mark(face.square, face.label(guesses), colour, face.confidence < UNCERTAIN)
