"""OpenCV's cascade for frontal faces (Viola & Jones 2001; Lienhart & Maydt 2002).

FER2013's faces were found by OpenCV's detector and corrected by hand (Goodfellow et al. 2013,
"Challenges in Representation Learning", section 3.1), so a crop is hardly wider than its box.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ferspore.use.faces import Square, square_around
from ferspore.use.opencv import OpenCVError, opencv

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


class Cascade:
    """Finds frontal, upright faces.

    Raises:
        OpenCVError: OpenCV is not installed, or has no cascade.
    """

    def __init__(self):
        self.cv2 = opencv("finding faces", "; --no_detect uses whole images")
        cascade = Path(self.cv2.data.haarcascades) / CASCADE
        if not cascade.is_file():
            raise OpenCVError(
                f"{cascade}: no such file, this OpenCV comes without its cascades; "
                "--no_detect uses whole images"
            )
        self.cascade = self.cv2.CascadeClassifier(str(cascade))

    def find(self, picture: Image.Image) -> list[Square]:
        """The frontal faces in an RGB picture, from left to right, each with a crop's margin."""
        seen, border, zoom = self._prepared(picture)
        found = self.cascade.detectMultiScale(
            seen, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST_FACE, SMALLEST_FACE)
        )
        faces = [
            square_around(
                (left + side / 2 - border) / zoom,
                (top + side / 2 - border) / zoom,
                side / zoom * CROP_FACTOR,
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
