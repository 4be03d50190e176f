"""The face detectors by their names."""

from typing import Protocol

from PIL import Image

from ferspore.use.blazeface import LEVELS, MOVING_LEVELS, BlazeFace
from ferspore.use.cascade import Cascade
from ferspore.use.faces import Square


class FaceDetector(Protocol):
    def find(self, picture: Image.Image) -> list[Square]:
        """The faces in an RGB picture, from left to right, each framed as FER2013's are."""


def face_detector(name: str, *, moving: bool = False) -> FaceDetector:
    """The detector of a name in DETECTORS. ``moving``: for the frames of a video, where the time
    matters more than the smallest faces.

    Raises:
        OpenCVError: OpenCV is not installed, or a file is missing.
    """
    if name == "cascade":
        return Cascade()
    return BlazeFace(MOVING_LEVELS if moving else LEVELS)
