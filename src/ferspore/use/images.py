"""Image files -> upright RGB pictures."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ferspore.tables import one_line

# Not all that Pillow reads: it hands PostScript, whatever the file is called, to Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000  # a file of a kilobyte can declare any size


class ImageError(OSError):
    """A file is not a usable image; the message names it. An OSError, as Pillow's errors are."""


def image_files(path: Path, *, recursive: bool = False) -> list[Path]:
    """The image files in a folder, sorted by name; ``[path]`` if it is not a folder.

    The suffix decides what is an image. Hidden files are left out, and so are subfolders unless
    ``recursive`` is set (hidden ones always).

    Raises:
        ImageError: the folder holds no image.
        OSError: the folder cannot be read.
    """
    return _images_in(path, recursive) if path.is_dir() else [path]


def _images_in(folder: Path, recursive: bool) -> list[Path]:
    suffixes = {end for end, kind in Image.registered_extensions().items() if kind in FORMATS}
    found = [
        path
        for path in sorted(folder.rglob("*") if recursive else folder.iterdir())
        if path.suffix.lower() in suffixes and path.is_file() and not _is_hidden(path, folder)
    ]
    if not found:
        where = "or below it" if recursive else "(--recursive looks into its subfolders)"
        raise ImageError(f"{folder}: no image files in this folder {where}")
    return found


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def read_picture(path: Path) -> Image.Image:
    """An image of any mode and size as 8-bit RGB, turned upright by its EXIF orientation.

    Only the first frame is read. Transparent areas become white. 16-bit grey is scaled to 8 bits;
    other deep values are stretched from their lowest to their highest.

    Raises:
        ImageError: the file is missing, of none of ``FORMATS``, damaged, or has more than
            ``MAX_PIXELS`` pixels.
    """
    if not path.is_file():
        raise ImageError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        # Pillow warns about images that it can read; those that it cannot read raise.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            _refuse_too_large(path, image.size)
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Image.UnidentifiedImageError:
        expected = ", ".join(FORMATS)
        raise ImageError(f"{path}: not an image, expected one of {expected}") from None
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large an image: {error}") from None
    except Exception as error:  # damaged data makes Pillow's decoders raise almost anything
        fault = one_line(str(error), 200)
        raise ImageError(f"{path}: the image cannot be decoded: {fault}") from None


def _refuse_too_large(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: too large an image: {width} x {height} pixels, expected at most "
            f"{MAX_PIXELS:,} pixels"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        # No copy more than needed: they have 200 MB each, and the file may have 38 bytes.
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        return white
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.array(image, np.float32)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("it has values that are not finite")
    if image.mode != "F" and low >= 0 and high <= 0xFFFF:
        low, high = 0.0, float(0xFFFF)
    values -= low
    values *= 255 / max(high - low, np.finfo(np.float32).tiny)
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))
