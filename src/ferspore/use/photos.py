"""Image files -> upright pictures -> faces cut out as FER2013's are; annotated copies.

FER2013's faces are tight square crops, found by OpenCV's face detector and then corrected by hand
(Goodfellow et al. 2013, "Challenges in Representation Learning", section 3.1): so the detector
here is its frontal cascade, and the crop hardly wider than what that finds.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ferspore.labels import FACE_SIZE
from ferspore.pictures.style import BLUE

CASCADE = "haarcascade_frontalface_default.xml"
# A crop's side over the detected box's: FER2013's frame is 1.05 times what the cascade finds on
# it (median of 125 of its faces, enlarged to 200 pixels on a grey canvas).
CROP_FACTOR = 1.05
# Pixels of the longer side while detecting: below 320 small faces are missed, above 1024 it takes
# seconds and finds faces where there are none.
DETECTION_SIDES = (320, 1024)
# Of the longer side, added around: of FER2013's own tight crops 77% are found (n=150), without it
# 59%.
BORDER = 1 / 8
SMALLEST_FACE = 32  # pixels of the picture that the detector sees
SHOWN_SIDES = (480, 1600)  # pixels of the longer side of an annotated copy


class ImageError(OSError):
    """A file is no image that can be used, as Pillow's own are OSErrors; the message names it."""


class DetectorError(RuntimeError):
    """The face detector cannot be had; the message says how to get it, or how to do without."""


@dataclass(frozen=True)
class Square:
    """Pixels of an upright picture, counted from its upper left corner."""

    left: int
    top: int
    side: int


# --- files ----------------------------------------------------------------------------------------


def image_files(path: Path) -> list[Path]:
    """The image files in a folder, by name; what is no folder is returned as it is.

    A folder's files count as images by their suffix, those whose name starts with a dot do not;
    its subfolders are not entered.

    Raises:
        ImageError: a folder without an image.
        OSError: a folder cannot be read.
    """
    return _images_in(path) if path.is_dir() else [path]


def _images_in(folder: Path) -> list[Path]:
    suffixes = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    ]
    if not found:
        raise ImageError(f"{folder}: no image files in this folder")
    return found


def read_picture(path: Path) -> Image.Image:
    """A picture of any mode and size as 8-bit RGB, upright by its EXIF orientation.

    The first frame of several; what is transparent lies on white; 16-bit grey values are scaled
    to 8 bits, other deep ones from their lowest to their highest.

    Raises:
        ImageError: no file, no image, a damaged one, or one with more pixels than Pillow allows.
    """
    if not path.is_file():
        raise ImageError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        # Pillow warns of much that it can read; what it refuses raises.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError:
        raise ImageError(f"{path}: no image that Pillow can read") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large an image: {error}") from None
    except Exception as error:  # on damaged data Pillow's decoders raise all sorts of them
        raise ImageError(f"{path}: the image cannot be decoded: {error}") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        image = Image.alpha_composite(white, picture)
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("it has values that are not finite")
    if image.mode != "F" and low >= 0 and high <= 0xFFFF:
        low, high = 0.0, float(0xFFFF)
    scaled = (values - low) * (255 / max(high - low, np.finfo(float).tiny))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


# --- faces ----------------------------------------------------------------------------------------


class FaceDetector:
    """OpenCV's bundled cascade for frontal faces (Viola & Jones 2001; Lienhart & Maydt 2002).

    Raises:
        DetectorError: OpenCV is not installed, or has no cascade.
    """

    def __init__(self):
        try:
            import cv2  # only here: all else works without it
        except ImportError as error:
            raise DetectorError(
                f"to find faces OpenCV is needed ({error}): python -m pip install "
                "'opencv-python-headless>=4.9,<4.12'; --no_detect takes whole images"
            ) from None
        self.cv2 = cv2
        cascade = Path(cv2.__file__).parent / "data" / CASCADE
        if not cascade.is_file():
            raise DetectorError(
                f"{cascade}: no such file, this OpenCV comes without its cascades; "
                "--no_detect takes whole images"
            )
        self.cascade = cv2.CascadeClassifier(str(cascade))

    def find(self, picture: Image.Image) -> list[Square]:
        """The frontal faces in a picture, from left to right, each with the margin of a crop."""
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
        """Grey uint8 with a border, the border's pixels, and its scale over the picture's."""
        longer = max(picture.size)
        low, high = DETECTION_SIDES
        zoom = min(max(longer, low), high) / longer
        size = tuple(max(1, round(side * zoom)) for side in picture.size)
        grey = picture.convert("L").resize(size, Image.Resampling.BILINEAR)
        border = round(max(size) * BORDER)
        seen = self.cv2.copyMakeBorder(
            np.asarray(grey), border, border, border, border, self.cv2.BORDER_REPLICATE
        )
        return seen, border, zoom


def _crop_around(x: float, y: float, side: float, size: tuple[int, int]) -> Square:
    """The square of a face with its centre at (x, y), moved and made smaller to lie inside."""
    width, height = size
    side = max(1, min(round(side * CROP_FACTOR), width, height))
    left = min(max(round(x - side / 2), 0), width - side)
    top = min(max(round(y - side / 2), 0), height - side)
    return Square(left, top, side)


def centre_square(size: tuple[int, int]) -> Square:
    """The largest square in the middle of a picture of (width, height)."""
    width, height = size
    side = min(size)
    return Square((width - side) // 2, (height - side) // 2, side)


def cut_face(picture: Image.Image, square: Square) -> np.ndarray:
    """The pixels in a square as a grey face, uint8 (48,48), by ITU-R 601's luma."""
    left, top, side = square.left, square.top, square.side
    face = picture.crop((left, top, left + side, top + side)).convert("L")
    return np.asarray(face.resize((FACE_SIZE, FACE_SIZE), Image.Resampling.BILINEAR))


# --- annotated copies -----------------------------------------------------------------------------


def annotate(picture: Image.Image, squares: Sequence[Square], texts: Sequence[str]) -> Image.Image:
    """A copy with a frame around each square and its text above it, or in it at the upper edge.

    Small pictures are enlarged and large ones made smaller, so that the text is legible; beside
    or below a picture too narrow for its text there is white.
    """
    low, high = SHOWN_SIDES
    longer = max(picture.size)
    zoom = min(max(longer, low), high) / longer
    shown = picture.resize([max(1, round(side * zoom)) for side in picture.size])
    font = ImageFont.truetype(findfont("DejaVu Sans"), max(16, max(shown.size) // 55))
    labels = [_label_size(text, font) for text in texts]
    room = [max(sides) for sides in zip(shown.size, *labels, strict=True)]
    copy = Image.new("RGB", room, "white")
    copy.paste(shown)
    draw = ImageDraw.Draw(copy)
    for square, text, label in zip(squares, texts, labels, strict=True):
        left, top, side = (round(v * zoom) for v in (square.left, square.top, square.side))
        draw.rectangle((left, top, left + side - 1, top + side - 1), outline=BLUE, width=3)
        x = max(0, min(left, copy.width - label[0]))
        y = max(0, min(top - label[1] if top >= label[1] else top, copy.height - label[1]))
        draw.rectangle((x, y, x + label[0] - 1, y + label[1] - 1), fill=BLUE)
        draw.text((x + _pad(font), y + _pad(font)), text, fill="white", font=font)
    return copy


def _label_size(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    _, _, right, bottom = font.getbbox(text)
    return round(right) + 2 * _pad(font), round(bottom) + 2 * _pad(font)


def _pad(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size) // 4
