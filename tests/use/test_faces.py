"""Squares lie where they should, and faces are cut out unchanged."""

import numpy as np
import pytest
from PIL import Image

from ferspore.use.faces import OUTSIDE, Square, centre_square, cut_face, square_around


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


@pytest.mark.parametrize("angle", [90.0, -90.0, 180.0])
def test_a_face_turned_by_quarters_is_cut_unchanged(angle):
    values = np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8)
    turned = np.pad(np.rot90(values, round(-angle / 90)), ((5, 7), (9, 3)))
    picture = Image.fromarray(turned).convert("RGB")
    face = cut_face(picture, Square(9, 5, 48, angle)).astype(int)
    assert abs(face - values).max() <= 1  # an angle's sine and cosine are rounded


def test_a_face_turned_by_any_angle_is_set_upright():
    values = np.full((300, 300), 90, np.uint8)
    values[100:200, 100:200] = np.kron([[0, 60], [120, 250]], np.ones((50, 50))).astype(np.uint8)
    for angle in (35.0, -70.0):
        turned = Image.fromarray(values).rotate(-angle, Image.Resampling.BICUBIC).convert("RGB")
        face = cut_face(turned, Square(100, 100, 100, angle)).astype(int)
        quarters = face.reshape(2, 24, 2, 24)[:, 3:-3, :, 3:-3]
        assert abs(quarters.mean((1, 3)) - [[0, 60], [120, 250]]).max() < 3, angle


def test_what_a_turned_square_has_beyond_its_picture_is_grey():
    face = cut_face(Image.new("RGB", (40, 40), "white"), Square(-40, 0, 80, 180.0))
    assert (face[:, -20:] == OUTSIDE[0]).all() and (face[26:, 2:22] == 255).all()


def test_the_corners_of_a_square():
    upright = Square(10, 20, 30)
    assert upright.corners == [(10, 20), (40, 20), (40, 50), (10, 50)]
    quarter = Square(10, 20, 30, 90.0)  # clockwise: the upper left corner is at the upper right
    np.testing.assert_allclose(quarter.corners, [(40, 20), (40, 50), (10, 50), (10, 20)])


def test_an_upright_square_is_moved_into_its_picture_and_a_turned_one_is_not():
    assert square_around(50, 40, 20, (100, 80)) == Square(40, 30, 20)
    assert square_around(3, 79, 20, (100, 80)) == Square(0, 60, 20)
    assert square_around(50, 40, 200, (100, 80)) == Square(10, 0, 80)
    assert square_around(3, 79, 20, (100, 80), 30.0) == Square(-7, 69, 20, 30.0)
