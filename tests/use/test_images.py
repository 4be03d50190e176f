"""Image files of every kind give the picture that was put in, or one clear message."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferspore.use.images import ImageError, image_files, read_picture


def grey_values(height: int = 31, width: int = 53) -> np.ndarray:
    """uint8, no two rows or columns alike, so that every turn of it is another picture."""
    return (np.arange(height * width) * 7 % 251).astype(np.uint8).reshape(height, width)


def colours() -> np.ndarray:
    grey = grey_values()
    return np.stack([grey, 255 - grey, grey // 2], axis=2)


def read(path: Path) -> np.ndarray:
    picture = read_picture(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def saved(path: Path, image: Image.Image, **how) -> Path:
    image.save(path, **how)
    return path


# --- reading --------------------------------------------------------------------------------------


def test_colour_is_kept(tmp_path):
    image = Image.fromarray(colours())
    assert (read(saved(tmp_path / "a.png", image)) == colours()).all()
    assert (read(saved(tmp_path / "a.webp", image, lossless=True)) == colours()).all()
    assert (read(saved(tmp_path / "opaque.png", image.convert("RGBA"))) == colours()).all()


def test_grey_of_any_kind_is_the_same_grey(tmp_path):
    grey = grey_values()
    image = Image.fromarray(grey)
    deep = grey.astype(np.uint16) * 257  # 255 -> 65535
    palette = image.quantize(256)
    files = [
        saved(tmp_path / "l.png", image),
        saved(tmp_path / "la.png", image.convert("LA")),
        saved(tmp_path / "p.png", palette),
        saved(tmp_path / "p.gif", palette),
        saved(tmp_path / "deep.png", Image.fromarray(deep)),
        saved(tmp_path / "deep.tif", Image.fromarray(deep)),
        saved(tmp_path / "int32.tif", Image.fromarray(deep.astype(np.int32))),
        saved(tmp_path / "cmyk.tif", Image.fromarray(np.stack([grey] * 3, 2)).convert("CMYK")),
    ]
    for file in files:
        picture = read(file).astype(int)
        assert picture.shape == (*grey.shape, 3), file.name
        assert np.abs(picture - grey[..., None]).max() <= 1, file.name


def test_deep_values_without_a_known_white_are_stretched(tmp_path):
    ramp = np.linspace(-3.0, 5.0, 256, dtype=np.float32).reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    picture = read(saved(tmp_path / "float.tif", Image.fromarray(ramp)))
    assert (picture == expected[..., None]).all()
    large = (np.arange(256, dtype=np.int32) * 1_000_000).reshape(16, 16)
    assert (read(saved(tmp_path / "int.tif", Image.fromarray(large))) == expected[..., None]).all()
    flat = read(saved(tmp_path / "flat.tif", Image.fromarray(np.full((4, 4), 7.0, np.float32))))
    assert (flat == flat[0, 0]).all()


def test_values_that_are_no_numbers_are_refused(tmp_path):
    values = np.ones((4, 4), np.float32)
    values[1, 1] = np.nan
    with pytest.raises(ImageError, match=r"nan\.tif: .*not finite"):
        read_picture(saved(tmp_path / "nan.tif", Image.fromarray(values)))


def test_black_and_white(tmp_path):
    bits = grey_values() > 120
    picture = read(saved(tmp_path / "bits.png", Image.fromarray(bits)))
    assert (picture == np.where(bits, 255, 0)[..., None]).all()


def test_what_is_transparent_is_white(tmp_path):
    alpha = np.full(grey_values().shape, 255, np.uint8)
    alpha[:, 20:] = 0
    expected = colours()
    expected[:, 20:] = 255
    image = Image.fromarray(np.dstack([colours(), alpha]))
    assert (read(saved(tmp_path / "rgba.png", image)) == expected).all()
    palette = Image.fromarray(np.where(alpha > 0, 0, 1).astype(np.uint8), mode=None).convert("P")
    palette.putpalette([10, 20, 30, 200, 0, 0])
    picture = read(saved(tmp_path / "p.png", palette, transparency=1))
    assert (picture[:, :20] == (10, 20, 30)).all() and (picture[:, 20:] == 255).all()


def test_no_more_copies_than_needed(tmp_path):
    """A WebP file of 38 bytes may have 50 million pixels, 200 MB for each copy."""
    image = Image.new("RGBA", (9, 9), (9, 9, 9, 9))
    path = saved(tmp_path / "a.webp", image, lossless=True)
    Image.core.reset_stats()
    read_picture(path)
    assert Image.core.get_stats()["new_count"] == 2  # what is decoded, and the result


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_pictures_are_turned_upright_by_their_orientation(tmp_path, suffix):
    upright = grey_values()
    stored = {  # how the pixels lie in the file; EXIF 2.3, tag 0x0112
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }
    how = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(suffix, {})
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(np.stack([pixels] * 3, 2)))
        path = saved(tmp_path / f"{orientation}.{suffix}", image, exif=exif, **how)
        picture = read(path).astype(int)
        assert picture.shape == (*upright.shape, 3), orientation
        assert np.abs(picture - upright[..., None]).max() <= 12, orientation  # JPEG's loss


def test_the_first_frame_of_several(tmp_path):
    first, second = Image.new("L", (20, 10), 40), Image.new("L", (20, 10), 200)
    path = saved(tmp_path / "moving.gif", first, save_all=True, append_images=[second])
    assert (read(path) == 40).all()


# --- what is not an image -------------------------------------------------------------------------


def test_every_truncation_is_named_or_read(tmp_path):
    whole = {}
    for suffix in ("png", "jpg", "gif", "tif", "bmp", "webp"):
        file = saved(tmp_path / f"whole.{suffix}", Image.fromarray(colours()))
        whole[suffix] = file.read_bytes()
    refused = 0
    for suffix, content in whole.items():
        for length in range(0, len(content) - 1, 1 + len(content) // 25):
            path = tmp_path / f"cut.{suffix}"
            path.write_bytes(content[:length])
            try:
                assert read_picture(path).size == (53, 31)
            except ImageError as error:
                assert str(path) in str(error) and "\n" not in str(error)
                refused += 1
    assert refused > 100


def test_noise_in_an_image_is_named_or_read(tmp_path):
    rng = np.random.default_rng(3)
    for suffix in ("png", "jpg", "gif", "tif", "webp"):
        path = saved(tmp_path / f"noise.{suffix}", Image.fromarray(colours()))
        content = path.read_bytes()
        for _ in range(25):
            changed = bytearray(content)
            for place in rng.integers(0, len(content), 8):
                changed[place] = rng.integers(256)
            path.write_bytes(bytes(changed))
            try:
                read_picture(path)
            except ImageError as error:
                assert str(path) in str(error)


def test_other_files_are_named(tmp_path):
    (tmp_path / "notes.jpg").write_text("no image")
    with pytest.raises(ImageError, match=r"notes\.jpg: not an image, expected one of BMP"):
        read_picture(tmp_path / "notes.jpg")
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        read_picture(tmp_path / "none.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would block
    with pytest.raises(ImageError, match=r"pipe\.jpg: not a regular file"):
        read_picture(tmp_path / "pipe.jpg")


def test_a_decompression_bomb_is_refused_in_one_line(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    pixels = zlib.compress(b"\0" * 1000)
    path = tmp_path / "bomb.png"
    start = b"\x89PNG\r\n\x1a\n"
    for side, told in (
        (30_000, r".*900000000 pixels"),
        (8_000, r"8000 x 8000 pixels, expected at"),
    ):
        header = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
        parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
        path.write_bytes(start + b"".join(parts))
        with pytest.raises(ImageError, match=rf"bomb\.png: too large an image: {told}") as it:
            read_picture(path)
        assert "\n" not in str(it.value)


def test_postscript_is_not_executed(tmp_path):
    # Pillow would run it with Ghostscript: this one writes a file, and then never ends.
    made = tmp_path / "made"
    (tmp_path / "x.jpg").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
        f"({made}) (w) file closefile\n{{}} loop\n"
    )
    with pytest.raises(ImageError, match=r"x\.jpg: not an image, expected one of BMP"):
        read_picture(tmp_path / "x.jpg")
    assert not made.exists()
    (tmp_path / "x.eps").write_bytes((tmp_path / "x.jpg").read_bytes())
    assert [path.name for path in image_files(tmp_path)] == ["x.jpg"]


def test_a_folder_gives_its_images_by_name(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt", ".hidden.png", "d"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub.png").mkdir()
    assert image_files(tmp_path) == [tmp_path / "a.JPG", tmp_path / "b.png"]
    assert image_files(tmp_path / "c.txt") == [tmp_path / "c.txt"]
    with pytest.raises(ImageError, match=r"sub\.png: no image files .*--recursive"):
        image_files(tmp_path / "sub.png")
    for folder in ("sub.png", ".trash"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "e.png").write_bytes(b"")
    found = image_files(tmp_path, recursive=True)
    assert found == [tmp_path / name for name in ("a.JPG", "b.png", "sub.png/e.png")]
