"""Frames and texts lie where they belong, inside the copy."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from ferspore.pictures.style import BLUE
from ferspore.use.annotation import SHOWN_SIDES, annotate
from ferspore.use.faces import Square


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
