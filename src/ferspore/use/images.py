"""Image files -> upright RGB pictures."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


class ImageError(OSError):
    """A file is not a usable image; the message names it. An OSError, as Pillow's errors are."""


def image_files(path: Path) -> list[Path]:
    """The image files in a folder, sorted by name; ``[path]`` if it is not a folder.

    The suffix decides what is an image. Hidden files and subfolders are left out.

    Raises:
        ImageError: the folder holds no image.
        OSError: the folder cannot be read.
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
    """An image of any mode and size as 8-bit RGB, turned upright by its EXIF orientation.

    Only the first frame is read. Transparent areas become white. 16-bit grey is scaled to 8 bits;
    other deep values are stretched from their lowest to their highest.

    Raises:
        ImageError: the file is missing, not an image, damaged, or has more pixels than Pillow
            allows.
    """
    if not path.is_file():
        raise ImageError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        # Pillow warns about images that it can read; those that it cannot read raise.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that Pillow can read") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large an image: {error}") from None
    except Exception as error:  # damaged data makes Pillow's decoders raise almost anything
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
