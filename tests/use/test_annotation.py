"""Frames and texts lie where they belong, inside the copy."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from ferspore.labels import EMOTIONS
from ferspore.pictures.style import BLUE, EMOTION_COLOURS
from ferspore.use.annotation import SHOWN_SIDES, Mark, annotate
from ferspore.use.faces import Square


@pytest.mark.parametrize("size", [(48, 48), (200, 900), (1400, 900), (4000, 600)])
def test_text_lies_inside_the_copy_at_every_corner(size):
    width, height = size
    picture = Image.new("RGB", size, (128, 128, 128))
    side = min(size) // 3
    for left in (0, width - side):
        for top in (0, height - side):
            copy = annotate(picture, [Mark(Square(left, top, side), "surprise 0.97")])
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
    copy = annotate(picture, [Mark(Square(0, 0, 9), "surprise 0.97")])
    label = np.argwhere((np.asarray(copy) == ImageColor.getrgb(BLUE)).all(2))
    (upper, first), (lower, last) = label.min(0), label.max(0)
    assert last - first > 100 and lower - upper > 16
    assert copy.size == (max(size[0], last + 1), max(size[1], lower + 1))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_a_picture_of_a_single_row_is_framed(size):
    copy = annotate(Image.new("RGB", size), [Mark(Square(0, 0, 1), "happy 0.97")])
    assert max(copy.size) <= SHOWN_SIDES[1]


def test_the_frame_is_where_the_face_is():
    picture = Image.new("RGB", (600, 500), (128, 128, 128))
    copy = np.asarray(annotate(picture, [Mark(Square(200, 150, 240), "")])).astype(int)
    blue = copy[..., 2] - copy[..., 0] > 60
    assert blue[300, 200] and blue[300, 439] and blue[150, 300] and blue[389, 300]
    assert not blue[300, 210:430].any() and not blue[160:380, 320].any()


def test_the_frame_of_a_turned_face_is_turned():
    picture = Image.new("RGB", (600, 500), (128, 128, 128))
    copy = np.asarray(annotate(picture, [Mark(Square(200, 150, 200, 45.0), "")])).astype(int)
    blue = np.argwhere(copy[120:, :, 2] - copy[120:, :, 0] > 60)  # below the label
    sides = np.abs(blue + (120, 0) - (250, 300)).sum(1) / 2**0.5  # from the centre to a side
    assert abs(sides - 100).max() < 4 and len(blue) > 1500


def test_each_emotion_has_a_colour_and_an_uncertain_one_is_faded():
    picture = Image.new("RGB", (600, 500), (128, 128, 128))

    def frame(emotion, faded):
        mark = Mark(Square(200, 150, 240), emotion, EMOTION_COLOURS[emotion], faded)
        return annotate(picture, [mark]).getpixel((200, 380))

    plain = [frame(emotion, False) for emotion in EMOTIONS]
    assert plain == [ImageColor.getrgb(EMOTION_COLOURS[emotion]) for emotion in EMOTIONS]
    faded = [frame(emotion, True) for emotion in EMOTIONS]
    assert len({*plain, *faded}) == 14
    assert all(sum(pale) > sum(full) for pale, full in zip(faded, plain, strict=True))


@pytest.mark.parametrize("faded", [False, True])
def test_text_can_be_read_on_every_colour(faded):
    picture = Image.new("RGB", (600, 500), (128, 128, 128))
    for colour in EMOTION_COLOURS.values():
        mark = Mark(Square(100, 100, 300), "MMMMM", colour, faded)
        label = np.asarray(annotate(picture, [mark]))[80:99, 104:150] / 255
        light = label**2.2 @ (0.2126, 0.7152, 0.0722)  # nearly sRGB's luminance
        assert (light.max() + 0.05) / (light.min() + 0.05) > 4, colour  # WCAG 2.1's contrast
