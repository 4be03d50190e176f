"""Both detectors find faces where they are; BlazeFace finds turned ones, and none in fur."""

import sys

import numpy as np
import pytest
from PIL import Image

from ferspore.data.practice import draw_faces
from ferspore.labels import DETECTORS
from ferspore.use import blazeface, cascade
from ferspore.use.blazeface import CENTRE, LEFT_EYE, MOUTH, RIGHT_EYE, SIZE, Boxes
from ferspore.use.detection import face_detector
from ferspore.use.faces import Square
from ferspore.use.opencv import OpenCVError
from tests.photographs import photograph


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    return face_detector(request.param)


@pytest.fixture(scope="module")
def blaze() -> blazeface.BlazeFace:
    return blazeface.BlazeFace()


@pytest.fixture(scope="module")
def face() -> Image.Image:
    """A drawn face that both find."""
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


@pytest.mark.parametrize("name", DETECTORS)
def test_a_missing_opencv_is_one_clear_line(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(OpenCVError, match=r"opencv-python-headless.*--no_detect") as it:
        face_detector(name)
    assert "\n" not in str(it.value)


@pytest.mark.parametrize("module,constant", [(blazeface, "MODEL"), (cascade, "CASCADE")])
def test_a_missing_file_is_one_clear_line(module, constant, monkeypatch, tmp_path):
    monkeypatch.setattr(module, constant, tmp_path / "none")
    name = module.__name__.rpartition(".")[2]
    with pytest.raises(OpenCVError, match=r"none: no such file.*--no_detect"):
        face_detector(name)


# --- BlazeFace ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,place", [("astronaut", Square(167, 59, 115)), ("admiral", Square(146, 96, 235))]
)
def test_faces_in_photographs_are_framed_as_fer2013_frames_them(blaze, name, place):
    (found,) = blaze.find(photograph(name))
    assert near(found, place) and found.angle == 0


@pytest.mark.parametrize("name", ["cat", "galaxies", "flower"])
def test_there_are_no_faces_in_fur_or_texture(blaze, name):
    assert blaze.find(photograph(name)) == []


def test_a_profile_is_found(blaze):
    (found,) = blaze.find(photograph("profile"))
    assert near(found, Square(198, 115, 83))


@pytest.mark.parametrize("angle", [-40, 60])
def test_a_turned_face_is_framed_at_its_angle(blaze, angle):
    photo = photograph("admiral")
    turned = photo.rotate(-angle, Image.Resampling.BILINEAR, expand=True)
    (found,) = blaze.find(turned)
    assert abs(found.angle - angle) < 15


def test_a_face_below_the_stated_size_is_ignored(blaze):
    for zoom, count in ((0.15, 0), (0.3, 1)):  # the square's side is 115 pixels at 1
        small = photograph("astronaut").resize((round(512 * zoom),) * 2)
        assert len(blaze.find(small)) == count, zoom


def test_a_face_is_found_at_any_place_of_its_cell():
    """The network's places are relative to the centres of cells of 4 x 4 pixels, row by row."""
    scores = np.full((1, 6, 1), -9.0, np.float32)  # 8 x 12 pixels: 2 rows of 3 cells
    scores[0, 5], scores[0, 1] = 9, 3
    boxes = np.zeros((1, 6, 16), np.float32)
    boxes[0, 5] = [1, -1, 7, 8, *range(12)]
    found = blazeface.decoded(scores, boxes, 12, 0.9)
    assert found.points[:, CENTRE].tolist() == [[6, 2], [11, 5]]
    assert found.points[1, SIZE].tolist() == [7, 8]
    assert found.points[1, RIGHT_EYE].tolist() == [10, 7]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-3.0, -9.0])))
    assert len(blazeface.decoded(scores, boxes, 12, 0.99).scores) == 1


def boxes_at(*places: tuple[float, float, float, float]) -> Boxes:
    """Boxes with a score, the centre and the side."""
    points = np.zeros((len(places), 8, 2))
    for own, (_, x, y, side) in zip(points, places, strict=True):
        own[:] = x, y
        own[SIZE] = side
    return Boxes(np.array([place[0] for place in places]), points)


def test_overlapping_boxes_are_one_face():
    found = blazeface.merged(
        boxes_at((0.5, 102, 100, 40), (0.9, 100, 100, 40), (0.8, 105, 105, 10), (0.7, 150, 100, 40))
    )
    assert found.scores.tolist() == [0.9, 0.7]  # the small one lies inside; the last is beside it
    x = (0.9 * 100 + 0.5 * 102) / 1.4
    np.testing.assert_allclose(found.points[:, CENTRE], [[x, 100], [150, 100]])
    assert blazeface.merged(boxes_at()).points.shape == (0, 8, 2)
    assert len(blazeface.merged(boxes_at((0.9, 5, 5, 0), (0.8, 5, 5, 0))).scores) == 2


@pytest.mark.parametrize("angle,kept", [(0, 0), (20, 0), (-30, -30), (150, 150)])
def test_the_frame_is_that_of_fer2013_in_the_direction_of_the_face(angle, kept):
    turn = np.radians(angle)
    right, down = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = np.zeros((8, 2)) + (500, 400)
    points[SIZE] = 100
    points[RIGHT_EYE] += -20 * right - 10 * down
    points[LEFT_EYE] += 20 * right - 10 * down
    points[MOUTH] += 30 * down
    found = blazeface.fer_square(points, (1000, 800))
    assert (found.side, found.angle) == (111, kept)
    up = -down if kept else np.array([0, -1])
    centre = np.array([500, 400]) + 0.043 * 111 * up
    assert np.abs(np.array([found.left, found.top]) + 55.5 - centre).max() <= 0.51
