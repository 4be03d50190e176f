"""BlazeFace, full range: a small network that finds faces, also turned and in profile.

Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs"; weights
of Google's MediaPipe (Apache 2.0), as weights/README.md tells. `benchmarks/detector.py` measures
the figures below.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ferspore.use.faces import Square, square_around
from ferspore.use.opencv import OpenCVError, opencv

MODEL = Path(__file__).parent / "weights" / "blazeface.onnx"
STRIDE = 4  # pixels of the input between two cells of the output
MULTIPLE = 32  # pixels; the sides of an input are multiples of it

# The picture is seen in several sizes (pixels of its longer side), because faces of 16 to 100
# pixels are found. The first is for tight crops, so its threshold is lower. In the others it is
# MediaPipe's for this model: galaxies scored up to 0.54, the cameraman's profile 0.77.
LEVELS = (96, 192, 384, 768)
COARSE_SCORE, FINE_SCORE = 0.4, 0.6
MOVING_LEVELS = LEVELS[:3]  # for video: in large frames a third of the time
SAME, ALIKE = 0.4, 0.5  # shares of the smaller box, and of the union: see `merged`

# FER2013's frame around what is found in it: medians of 255 faces of Training.
SIDE, UP = 1.11, 0.043  # times the box's side; of the frame's side, above the box's centre
UPRIGHT = 23.0  # degrees: 95% of FER2013's faces are turned by less; others are set upright
SMALLEST_FACE = 24  # pixels of the picture: a smaller square holds too little to judge
CENTRE, SIZE, RIGHT_EYE, LEFT_EYE, MOUTH = 0, 1, 2, 3, 5  # rows of a box's points


class Boxes(NamedTuple):
    """What was found: scores float (N,) and, in pixels, points float (N,8,2): centre, width and
    height, right eye, left eye, nose, mouth, right ear, left ear (the person's own right)."""

    scores: np.ndarray
    points: np.ndarray


class BlazeFace:
    """Finds faces, also in profile and turned in the plane by up to 90 degrees.

    Raises:
        OpenCVError: OpenCV is not installed.
    """

    def __init__(self, levels: tuple[int, ...] = LEVELS):
        instead = "; --no_detect uses whole images"
        cv2 = opencv("finding faces", instead)
        if not MODEL.is_file():
            raise OpenCVError(f"{MODEL}: no such file, the installation is incomplete{instead}")
        self._net = cv2.dnn.readNetFromONNX(str(MODEL))
        self._levels = levels

    def find(self, picture: Image.Image) -> list[Square]:
        """The faces in an RGB picture, from left to right, each framed as FER2013's are."""
        first, *more = self._levels
        found = [self._look(picture, first, COARSE_SCORE)]
        found += [self._look(picture, n, FINE_SCORE) for n in more if n <= max(picture.size)]
        faces = merged(Boxes(*map(np.concatenate, zip(*found, strict=True))))
        squares = [fer_square(points, picture.size) for points in faces.points]
        return sorted(
            (square for square in squares if square.side >= SMALLEST_FACE),
            key=lambda face: (face.left, face.top, face.side),
        )

    def _look(self, picture: Image.Image, level: int, least: float) -> Boxes:
        """What scores at least ``least`` with the longer side at ``level`` pixels."""
        zoom = level / max(picture.size)
        seen, (left, top) = network_input(picture, level)
        self._net.setInput(seen)
        scores, boxes = self._net.forward(("scores", "boxes"))
        found = decoded(scores, boxes, seen.shape[3], least)
        places = found.points - np.where(np.arange(8) == SIZE, 0, 1)[:, None] * (left, top)
        return Boxes(found.scores, places / zoom)


def network_input(picture: Image.Image, level: int) -> tuple[np.ndarray, tuple[int, int]]:
    """An RGB picture, its longer side ``level`` pixels, in the middle of grey: float32 (1,3,H,W)
    from -1 to 1; and where its upper left corner is."""
    zoom = level / max(picture.size)
    width, height = size = [max(1, round(side * zoom)) for side in picture.size]
    small = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
    wide, high = (-(-side // MULTIPLE) * MULTIPLE for side in size)
    left, top = (wide - width) // 2, (high - height) // 2
    seen = np.zeros((1, 3, high, wide), np.float32)
    seen[0, :, top : top + height, left : left + width] = (small / 127.5 - 1).transpose(2, 0, 1)
    return seen, (left, top)


def decoded(scores: np.ndarray, boxes: np.ndarray, width: int, least: float) -> Boxes:
    """What scores at least ``least`` in the network's output for an input of that width: scores
    are logits there, places relative to the centres of their cells."""
    probabilities = 1 / (1 + np.exp(-np.clip(scores.reshape(-1).astype(np.float64), -80, 80)))
    chosen = np.flatnonzero(probabilities >= least)
    points = boxes.reshape(-1, 8, 2)[chosen].astype(np.float64)
    rows, columns = np.divmod(chosen, width // STRIDE)
    centres = STRIDE * (np.stack([columns, rows], 1) + 0.5)
    points[:, np.arange(8) != SIZE] += centres[:, None]
    return Boxes(probabilities[chosen], points)


def merged(boxes: Boxes) -> Boxes:
    """One box a face, best first: of boxes that share more than ``SAME`` of the smaller one the
    best stays, as the mean, by score, of those that share more than ``ALIKE`` of their union."""
    faces = []
    left = np.argsort(-boxes.scores, kind="stable")
    while len(left):
        best = boxes.points[left[0]]
        others = boxes.points[left]
        half = others[:, SIZE] / 2
        high = np.minimum(best[CENTRE] + best[SIZE] / 2, others[:, CENTRE] + half)
        low = np.maximum(best[CENTRE] - best[SIZE] / 2, others[:, CENTRE] - half)
        shared = np.clip(high - low, 0, None).prod(1)
        own, areas = best[SIZE].prod(), others[:, SIZE].prod(1)
        alike = left[shared > ALIKE * (own + areas - shared)]
        alike = alike if len(alike) else left[:1]
        faces.append((left[0], np.average(boxes.points[alike], 0, boxes.scores[alike])))
        same = shared > SAME * np.minimum(own, areas)
        same[0] = True  # a box without an area shares nothing with itself
        left = left[~same]
    return Boxes(
        boxes.scores[[number for number, _ in faces]],
        np.array([points for _, points in faces]).reshape(-1, 8, 2),
    )


def fer_square(points: np.ndarray, size: tuple[int, int]) -> Square:
    """FER2013's frame of a face found in a picture of (width, height): see SIDE and UP.

    The face's angle is that of the line from between the eyes to the mouth, which a profile shows
    too.
    """
    right, down = points[MOUTH] - (points[RIGHT_EYE] + points[LEFT_EYE]) / 2
    turned = math.degrees(math.atan2(-right, down))
    angle = round(turned, 1) if abs(turned) > UPRIGHT else 0.0
    side = SIDE * points[SIZE].mean()
    x, y = points[CENTRE] - side * UP * np.array(
        [-math.sin(math.radians(angle)), math.cos(math.radians(angle))]
    )
    return square_around(x, y, side, size, angle)
