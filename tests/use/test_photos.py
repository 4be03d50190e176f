"""Image files of every kind give the picture that was put in, or one clear message; faces are cut
out where they are."""

import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from ferspore.data.practice import draw_faces
from ferspore.pictures.style import BLUE
from ferspore.use.photos import (
    SHOWN_SIDES,
    DetectorError,
    FaceDetector,
    ImageError,
    Square,
    annotate,
    centre_square,
    cut_face,
    image_files,
    read_picture,
)


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


# --- what is no image -----------------------------------------------------------------------------


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
    with pytest.raises(ImageError, match=r"notes\.jpg: no image that Pillow can read"):
        read_picture(tmp_path / "notes.jpg")
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        read_picture(tmp_path / "none.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    with pytest.raises(ImageError, match=r"pipe\.jpg: not a regular file"):
        read_picture(tmp_path / "pipe.jpg")


def test_a_decompression_bomb_is_refused_in_one_line(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    path = tmp_path / "bomb.png"
    start = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    with pytest.raises(
        ImageError, match=r"bomb\.png: too large an image: .*900000000 pixels"
    ) as it:
        read_picture(path)
    assert "\n" not in str(it.value)


def test_a_folder_gives_its_images_by_name(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt", ".hidden.png", "d"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub.png").mkdir()
    assert image_files(tmp_path) == [tmp_path / "a.JPG", tmp_path / "b.png"]
    assert image_files(tmp_path / "c.txt") == [tmp_path / "c.txt"]
    with pytest.raises(ImageError, match=r"sub\.png: no image files"):
        image_files(tmp_path / "sub.png")


# --- faces ----------------------------------------------------------------------------------------


def test_a_48_pixel_face_is_cut_unchanged():
    values = np.random.default_rng(1).integers(0, 256, (60, 80), dtype=np.uint8)
    picture = Image.fromarray(values).convert("RGB")
    face = cut_face(picture, Square(left=9, top=5, side=48))
    assert face.dtype == np.uint8 and (face == values[5:53, 9:57]).all()


def test_a_larger_face_is_averaged_and_its_surroundings_stay_out():
    values = np.full((400, 500), 255, np.uint8)
    values[100:292, 200:392] = np.kron(np.eye(48, dtype=np.uint8) * 200, np.ones((4, 4), np.uint8))
    face = cut_face(Image.fromarray(values).convert("RGB"), Square(200, 100, 192))
    assert face.shape == (48, 48)
    diagonal = np.eye(48, dtype=bool)
    assert (face[diagonal] > 100).all() and (face[~diagonal] < 100).all()


def test_colour_becomes_luma():
    picture = Image.new("RGB", (48, 48), (200, 100, 50))
    expected = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert abs(int(cut_face(picture, Square(0, 0, 48))[0, 0]) - expected) <= 1


def test_the_centre_square():
    assert centre_square((100, 40)) == Square(30, 0, 40)
    assert centre_square((40, 101)) == Square(0, 30, 40)
    assert centre_square((7, 7)) == Square(0, 0, 7)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def face() -> Image.Image:
    """A drawn face that the cascade finds."""
    images, _ = draw_faces(60, np.random.default_rng(1))
    return Image.fromarray(images[15])


def canvas(size: tuple[int, int], face: Image.Image, places: list[Square]) -> Image.Image:
    picture = Image.new("RGB", size, (128, 128, 128))
    for place in places:
        enlarged = face.resize((place.side, place.side), Image.Resampling.BICUBIC)
        picture.paste(enlarged.convert("RGB"), (place.left, place.top))
    return picture


def near(found: Square, place: Square) -> bool:
    """Within a fifth of the face's side, in place and size."""
    moved = [
        abs(found.left + found.side / 2 - place.left - place.side / 2),
        abs(found.top + found.side / 2 - place.top - place.side / 2),
        abs(found.side - place.side),
    ]
    return max(moved) < place.side / 5


@pytest.mark.parametrize("zoom", [0.4, 1, 8], ids=["small", "middle", "large"])
def test_faces_are_found_where_they_are_from_left_to_right(detector, face, zoom):
    at = [Square(40, 60, 160), Square(260, 20, 160)]
    places = [Square(*(round(v * zoom) for v in (p.left, p.top, p.side))) for p in at]
    picture = canvas((round(480 * zoom), round(280 * zoom)), face, places)
    found = detector.find(picture)
    assert len(found) == 2
    assert all(near(own, place) for own, place in zip(found, places, strict=True))


@pytest.mark.parametrize("left,top", [(0, 0), (140, 0), (0, 100), (140, 100)])
def test_a_face_at_an_edge_is_cut_inside_the_picture(detector, face, left, top):
    picture = canvas((300, 260), face, [Square(left, top, 160)])
    (found,) = detector.find(picture)
    assert near(found, Square(left, top, 160))
    assert found.left >= 0 and found.left + found.side <= 300
    assert found.top >= 0 and found.top + found.side <= 260


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (640, 480)])
def test_no_face_in_an_empty_picture_of_any_size(detector, size):
    assert detector.find(Image.new("RGB", size, (90, 160, 90))) == []


def test_a_missing_opencv_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DetectorError, match=r"opencv-python-headless.*--no_detect") as it:
        FaceDetector()
    assert "\n" not in str(it.value)


# --- annotated copies -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(48, 48), (200, 900), (1400, 900), (4000, 600)])
def test_text_lies_inside_the_copy_at_every_corner(size):
    width, height = size
    picture = Image.new("RGB", size, (128, 128, 128))
    side = min(size) // 3
    for left in (0, width - side):
        for top in (0, height - side):
            copy = annotate(picture, [Square(left, top, side)], ["surprise 0.97"])
            assert SHOWN_SIDES[0] <= max(copy.size) <= SHOWN_SIDES[1]
            assert abs(copy.size[0] / copy.size[1] - width / height) < 0.05 * width / height
            white = np.argwhere((np.asarray(copy) > 240).all(2))
            (upper, first), (lower, last) = white.min(0), white.max(0)
            assert upper > 0 and first > 0  # a letter at the edge would be cut there
            assert lower < copy.size[1] - 1 and last < copy.size[0] - 1
            assert 80 < last - first < 250 and lower - upper >= 9  # the whole text, legible
    assert (np.asarray(picture) == 128).all()


@pytest.mark.parametrize("size", [(9, 900), (900, 9)])
def test_a_picture_too_narrow_for_its_text_gets_room(size):
    picture = Image.new("RGB", size, (128, 128, 128))
    copy = annotate(picture, [Square(0, 0, 9)], ["surprise 0.97"])
    label = np.argwhere((np.asarray(copy) == ImageColor.getrgb(BLUE)).all(2))
    (upper, first), (lower, last) = label.min(0), label.max(0)
    assert last - first > 100 and lower - upper > 16
    assert copy.size == (max(size[0], last + 1), max(size[1], lower + 1))


def test_the_frame_is_where_the_face_is():
    picture = Image.new("RGB", (600, 500), (128, 128, 128))
    copy = np.asarray(annotate(picture, [Square(200, 150, 240)], [""])).astype(int)
    blue = copy[..., 2] - copy[..., 0] > 60
    assert blue[300, 200] and blue[300, 439] and blue[150, 300] and blue[389, 300]
    assert not blue[300, 210:430].any() and not blue[160:380, 320].any()
