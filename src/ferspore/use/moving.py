"""Frames -> the faces in them with their numbers and emotions, in constant memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from PIL import Image

from ferspore.labels import EMOTIONS
from ferspore.use.detection import FaceDetector
from ferspore.use.faces import Square, centre_square, cut_face
from ferspore.use.smoothing import Smoothing
from ferspore.use.tracking import Tracker

AT_ONCE = 8  # frames of a file that are judged together, or fewer if they are large:
PIXELS_AT_ONCE = 2**25
MOST_FACES = 1000  # that a summary keeps: those seen longest


@dataclass(frozen=True)
class Seen:
    """A face in a frame; probabilities float64 (7,) in the order of EMOTIONS."""

    face: int
    square: Square
    probabilities: np.ndarray
    smoothed: np.ndarray


@dataclass(frozen=True)
class Frame:
    """``number`` counts from 1, ``time`` is in seconds since the first frame."""

    number: int
    time: float
    picture: Image.Image
    faces: list[Seen]


def judged_frames(
    clip: Iterable[tuple[float, Image.Image]],
    detector: FaceDetector | None,
    judge: Callable[[np.ndarray], np.ndarray],
    at_once: int = AT_ONCE,
) -> Iterator[Frame]:
    """Times and pictures -> frames. Without a detector the centred square of each is a face.

    judge: faces uint8 (N,48,48) -> probabilities (N,7); called once for ``at_once`` frames.
    """
    tracker, smoothing = Tracker(), Smoothing()
    frames, number = iter(clip), 0
    while chunk := list(islice(frames, at_once)):
        squares = [
            detector.find(picture) if detector else [centre_square(picture.size)]
            for _, picture in chunk
        ]
        faces = [
            cut_face(picture, square)
            for (_, picture), own in zip(chunk, squares, strict=True)
            for square in own
        ]
        rows = iter(judge(np.array(faces)) if faces else ())
        for (time, picture), own in zip(chunk, squares, strict=True):
            number += 1
            ids = tracker.update(time, own)
            values = {face: next(rows) for face in ids}
            smoothing.keep(set(tracker.people))
            smoothed = smoothing.update(time, values)
            seen = [Seen(i, s, values[i], smoothed[i]) for i, s in zip(ids, own, strict=True)]
            yield Frame(number, time, picture, seen)


@dataclass
class FaceSummary:
    first: float  # seconds
    last: float = 0.0
    frames: int = 0
    total: np.ndarray = field(default_factory=lambda: np.zeros(len(EMOTIONS)))

    @property
    def mean(self) -> np.ndarray:
        """Of the smoothed probabilities, over the frames with this face."""
        return self.total / self.frames


@dataclass
class Summary:
    """What is told of a whole video."""

    frames: int = 0
    seconds: float = 0.0
    faces: dict[int, FaceSummary] = field(default_factory=dict)

    def add(self, frame: Frame) -> None:
        self.frames, self.seconds = frame.number, frame.time
        for seen in frame.faces:
            own = self.faces.setdefault(seen.face, FaceSummary(frame.time))
            own.last, own.frames = frame.time, own.frames + 1
            own.total += seen.smoothed
        if len(self.faces) > 2 * MOST_FACES:
            present = {seen.face for seen in frame.faces}
            longest = set(self.longest(MOST_FACES))
            self.faces = {n: own for n, own in self.faces.items() if n in longest | present}

    def longest(self, count: int) -> list[int]:
        """The faces that are seen in most frames, the most first."""
        return sorted(self.faces, key=lambda face: (-self.faces[face].frames, face))[:count]
