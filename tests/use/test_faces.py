"""Faces are found where they are, and cut out unchanged."""

import sys

import numpy as np
import pytest
from PIL import Image

from ferspore.data.practice import draw_faces
from ferspore.use.faces import DetectorError, FaceDetector, Square, centre_square, cut_face


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
