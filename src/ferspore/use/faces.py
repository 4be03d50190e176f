"""Where faces are in a picture, and their pixels as FER2013 has them."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ferspore.labels import FACE_SIZE

OUTSIDE = (128, 128, 128)  # what a turned square that reaches beyond its picture shows there


@dataclass(frozen=True)
class Square:
    """Pixels of an upright picture, counted from its upper left corner."""

    left: int
    top: int
    side: int
    angle: float = 0.0  # degrees that it is turned about its centre, clockwise

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The face's upper left, upper right, lower right and lower left corner."""
        half, angle = self.side / 2, math.radians(self.angle)
        right, down = half * math.cos(angle), half * math.sin(angle)
        x, y = self.left + half, self.top + half
        return [
            (x + across * right - along * down, y + across * down + along * right)
            for across, along in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]


def square_around(
    x: float, y: float, side: float, size: tuple[int, int], angle: float = 0.0
) -> Square:
    """The square centred at (x, y) in a picture of (width, height).

    An upright one is moved and shrunk to lie inside the picture.
    """
    width, height = size
    side = max(1, min(round(side), width, height) if angle == 0 else round(side))
    left, top = round(x - side / 2), round(y - side / 2)
    if angle == 0:
        left, top = min(max(left, 0), width - side), min(max(top, 0), height - side)
    return Square(left, top, side, angle)


def centre_square(size: tuple[int, int]) -> Square:
    """The largest centred square of a picture of (width, height)."""
    width, height = size
    side = min(size)
    return Square((width - side) // 2, (height - side) // 2, side)


def cut_face(picture: Image.Image, square: Square) -> np.ndarray:
    """The pixels in a square as an upright grey face, uint8 (48,48), by the luma of ITU-R 601."""
    left, top, side = square.left, square.top, square.side
    if square.angle:
        (x, y), (right, below), _, (left_x, left_y) = square.corners
        steps = (right - x, left_x - x, side * x, below - y, left_y - y, side * y)
        face = picture.transform(
            (side, side),
            Image.Transform.AFFINE,
            [step / side for step in steps],
            Image.Resampling.BILINEAR,
            fillcolor=OUTSIDE,
        )
    else:
        face = picture.crop((left, top, left + side, top + side))
    small = face.convert("L").resize((FACE_SIZE, FACE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(small)
