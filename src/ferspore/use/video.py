"""Video files and cameras -> upright frames with their times; annotated frames -> a video file.

OpenCV's FFmpeg decodes. It would follow a playlist that calls itself a video to any file or
address, so a file must begin as one of three containers that name no others.
"""

import itertools
import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ferspore.files import beside, flush, remove, rename
from ferspore.use.images import MAX_PIXELS
from ferspore.use.opencv import opencv

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
CONTAINERS = re.compile(  # ISO 14496-12 (MP4, QuickTime); EBML (Matroska, WebM); AVI
    rb".{4}(ftyp|moov|mdat|wide|free|skip)|\x1a\x45\xdf\xa3|RIFF.{4}AVI ", re.DOTALL
)
WRITTEN = {".mp4": "mp4v", ".avi": "MJPG"}  # suffix -> the codec it gets
RATES = (1.0, 60.0)  # frames a second of a written video
USUAL_RATE = 25.0  # where a file or a camera does not tell
LONGEST_STILL = 10.0  # seconds: a longer gap between two frames is shortened to it when written


class VideoError(OSError):
    """A video cannot be read or written; the message names it."""


def is_video(path: Path) -> bool:
    """By the suffix, as with images."""
    return path.suffix.lower() in SUFFIXES


class Clip:
    """The frames of a video file, or of a camera by its number; a context manager.

    ``rate``: frames a second, ``declared``: the number of frames, or None, ``pixels``: of a frame,
    all as the file declares them.

    Raises:
        VideoError: it cannot be opened, or its frames are too large.
        OpenCVError: OpenCV is not installed.
    """

    def __init__(self, source: Path | int):
        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        self.live = isinstance(source, int)
        self.cv2 = opencv("reading a video")
        self.capture = self._camera(source) if isinstance(source, int) else self._file(source)
        rate = self._property("FPS")
        self.rate = min(max(rate, RATES[0]), RATES[1]) if rate > 0 else USUAL_RATE
        frames = 0 if self.live else self._property("FRAME_COUNT")
        self.declared = int(frames) if 0 < frames < 2**31 else None
        self.pixels = int(self._property("FRAME_WIDTH") * self._property("FRAME_HEIGHT"))
        if self.pixels > MAX_PIXELS:
            self.close()
            raise VideoError(
                f"{self.name}: too large: {self.pixels:,} pixels a frame, expected at most "
                f"{MAX_PIXELS:,}"
            )

    def _file(self, path: Path):
        if not path.is_file():
            raise VideoError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            known = CONTAINERS.match(file.read(12))
        source = str(_openable(path))
        capture = self.cv2.VideoCapture(source, self.cv2.CAP_FFMPEG) if known else None
        if capture is None or not capture.isOpened():
            raise VideoError(
                f"{path}: not a video that can be read, expected MP4, MOV, MKV, WebM or AVI"
            )
        capture.set(self.cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return capture

    def _camera(self, number: int):
        capture = self.cv2.VideoCapture(number)
        if not capture.isOpened():
            raise VideoError(f"camera {number}: not found, or in use")
        return capture

    def _property(self, name: str) -> float:
        value = self.capture.get(getattr(self.cv2, f"CAP_PROP_{name}"))
        return value if math.isfinite(value) else 0.0

    def __iter__(self) -> Iterator[tuple[float, Image.Image]]:
        """Times in seconds since the first frame, which never decrease, and RGB pictures of one
        size. Ends where the file ends, or where it is damaged."""
        first: float | None = None
        last, size = 0.0, None
        for number in itertools.count():
            try:
                got, frame = self.capture.read()
            except self.cv2.error:
                return
            if not got or frame is None or frame.ndim != 3:
                return
            # Some files give their frames no times.
            told = self._property("POS_MSEC") / 1000 or number / self.rate
            now = time.monotonic() if self.live else told
            first = now if first is None else first
            last = max(last, now - first)
            picture = Image.fromarray(self.cv2.cvtColor(frame, self.cv2.COLOR_BGR2RGB))
            size = size or picture.size
            yield last, picture if picture.size == size else picture.resize(size)

    def close(self) -> None:
        self.capture.release()

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _openable(path: Path) -> Path:
    """``path`` for OpenCV: absolute, so that no part of it is taken for a protocol.

    Raises:
        VideoError: it is not UTF-8, at which OpenCV crashes.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise VideoError(f"{path}: OpenCV opens no path that is not UTF-8") from None
    return path.absolute()


class Film:
    """A video file of a constant rate; a frame is shown until the next one's time. A context
    manager: the file appears when it is left, or not at all if by an error."""

    def __init__(self, path: Path, rate: float):
        """Raises VideoError for a suffix that is not in WRITTEN, or a path that is not UTF-8."""
        if path.suffix.lower() not in WRITTEN:
            raise VideoError(f"{path}: expected the name of a video, {', '.join(WRITTEN)}")
        self.path, self.rate = path, rate
        self.waiting = beside(_openable(path))
        self.cv2 = opencv("writing a video")
        self.writer: Any = None
        self.held: Image.Image | None = None
        self.count = 0  # frames written
        self.cut = 0.0  # seconds taken out of gaps

    def add(self, moment: float, picture: Image.Image) -> None:
        """Show ``picture`` from ``moment`` on, in seconds; all pictures have one size.

        Raises:
            VideoError: the file cannot be written.
        """
        if self.held is not None:
            gap = moment - self.cut - self.count / self.rate
            self.cut += max(0.0, gap - LONGEST_STILL)
            while self.count < round((moment - self.cut) * self.rate):
                self._write(self.held)
        self.held = picture

    def _write(self, picture: Image.Image) -> None:
        even = np.asarray(picture)[: picture.height & -2, : picture.width & -2, ::-1]
        if self.writer is None:
            codec = self.cv2.VideoWriter_fourcc(*WRITTEN[self.path.suffix.lower()])
            size = even.shape[1::-1]
            self.writer = self.cv2.VideoWriter(str(self.waiting), codec, self.rate, size)
            if not self.writer.isOpened():
                raise VideoError(f"{self.path}: cannot be written")
        self.writer.write(np.ascontiguousarray(even))
        self.count += 1

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None and self.held is not None:
                self._write(self.held)
            if self.writer is not None:
                self.writer.release()
            if kind is None and self.writer is not None:
                self._publish()
        finally:
            remove(self.waiting)

    def _publish(self) -> None:
        whole = False  # OpenCV does not tell when the disk is full: is the last frame there?
        with suppress(VideoError), Clip(self.waiting) as written:
            written.capture.set(self.cv2.CAP_PROP_POS_FRAMES, self.count - 1)
            whole = written.capture.grab() and not written.capture.grab()
        if not whole:
            raise VideoError(f"{self.path}: could not be written, perhaps the disk is full")
        flush(self.waiting)
        rename(self.waiting, self.path)
