"""Pictures -> faces, cut out as FER2013's are.

FER2013's faces are tight square crops, found by OpenCV's face detector and then corrected by hand
(Goodfellow et al. 2013, "Challenges in Representation Learning", section 3.1). So the detector
here is OpenCV's frontal cascade, and the crop is hardly wider than what it finds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ferspore.labels import FACE_SIZE

CASCADE = "haarcascade_frontalface_default.xml"
# A crop's side over the detected box's: FER2013's frame is 1.05 times what the cascade finds in
# it (median of 125 of its faces, enlarged to 200 pixels on a grey canvas).
CROP_FACTOR = 1.05
# Pixels of the longer side while detecting: below 320 small faces are missed; above 1024 it takes
# seconds and finds faces where there are none.
DETECTION_SIDES = (320, 1024)
# Added on each side, as a fraction of the longer side: it raises the share of FER2013's own tight
# crops in which a face is found from 59% to 77% (n=150).
BORDER = 1 / 8
SMALLEST_FACE = 32  # pixels of the picture that the detector sees


class DetectorError(RuntimeError):
    """There is no face detector; the message says how to get it, or how to do without."""


@dataclass(frozen=True)
class Square:
    """Pixels of an upright picture, counted from its upper left corner."""

    left: int
    top: int
    side: int


class FaceDetector:
    """OpenCV's bundled cascade for frontal faces (Viola & Jones 2001; Lienhart & Maydt 2002).

    Raises:
        DetectorError: OpenCV is not installed, or has no cascade.
    """

    def __init__(self):
        try:
            import cv2  # here, because everything else works without it
        except ImportError as error:
            raise DetectorError(
                f"finding faces needs OpenCV ({error}): python -m pip install "
                "'opencv-python-headless>=4.9,<4.12'; --no_detect uses whole images"
            ) from None
        self.cv2 = cv2
        cascade = Path(cv2.__file__).parent / "data" / CASCADE
        if not cascade.is_file():
            raise DetectorError(
                f"{cascade}: no such file, this OpenCV comes without its cascades; "
                "--no_detect uses whole images"
            )
        self.cascade = cv2.CascadeClassifier(str(cascade))

    def find(self, picture: Image.Image) -> list[Square]:
        """The frontal faces in an RGB picture, from left to right, each with a crop's margin."""
        seen, border, zoom = self._prepared(picture)
        found = self.cascade.detectMultiScale(
            seen, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST_FACE, SMALLEST_FACE)
        )
        faces = [
            _crop_around(
                (left + side / 2 - border) / zoom,
                (top + side / 2 - border) / zoom,
                side / zoom,
                picture.size,
            )
            for left, top, side, _ in found
        ]
        return sorted(faces, key=lambda face: (face.left, face.top, face.side))

    def _prepared(self, picture: Image.Image) -> tuple[np.ndarray, int, float]:
        """Grey uint8 (H,W) with a border, the border in pixels, and the scale to the picture."""
        longer = max(picture.size)
        low, high = DETECTION_SIDES
        zoom = min(max(longer, low), high) / longer
        size = [max(1, round(side * zoom)) for side in picture.size]
        grey = picture.convert("L").resize(size, Image.Resampling.BILINEAR)
        border = round(max(size) * BORDER)
        seen = self.cv2.copyMakeBorder(
            np.asarray(grey), border, border, border, border, self.cv2.BORDER_REPLICATE
        )
        return seen, border, zoom


def _crop_around(x: float, y: float, side: float, size: tuple[int, int]) -> Square:
    """The crop of a face centred at (x, y), moved and shrunk to lie inside the picture."""
    width, height = size
    side = max(1, min(round(side * CROP_FACTOR), width, height))
    left = min(max(round(x - side / 2), 0), width - side)
    top = min(max(round(y - side / 2), 0), height - side)
    return Square(left, top, side)


def centre_square(size: tuple[int, int]) -> Square:
    """The largest centred square of a picture of (width, height)."""
    width, height = size
    side = min(size)
    return Square((width - side) // 2, (height - side) // 2, side)


def cut_face(picture: Image.Image, square: Square) -> np.ndarray:
    """The pixels in a square as a grey face, uint8 (48,48), by the luma of ITU-R 601."""
    left, top, side = square.left, square.top, square.side
    face = picture.crop((left, top, left + side, top + side)).convert("L")
    return np.asarray(face.resize((FACE_SIZE, FACE_SIZE), Image.Resampling.BILINEAR))
