"""OpenCV, imported where it is used: everything else works without it."""

import os
from types import ModuleType


class OpenCVError(RuntimeError):
    """OpenCV, or a part of it, is missing; the message says how to get it, or to do without."""


def opencv(purpose: str, instead: str = "") -> ModuleType:
    """The module ``cv2``, silent: what it would print is told by our own messages.

    Raises:
        OpenCVError: it is not installed. The message names the purpose and, at its end, what to
            do instead.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    try:
        import cv2
    except ImportError as error:
        raise OpenCVError(
            f"{purpose} needs OpenCV ({error}): python -m pip install "
            f"'opencv-python-headless>=4.9,<4.12'{instead}"
        ) from None
    cv2.setLogLevel(0)
    return cv2
