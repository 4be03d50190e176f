"""A photo counts once, however it was cut out; different faces stay."""

import numpy as np
import pytest
from PIL import Image

from ferspore.data.practice import draw_faces
from ferspore.data.same_photo import first_of_each_photo


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A face with some room around it, uint8 (72,72)."""
    small = draw_faces(1, np.random.default_rng(3))[0][0]
    noise = np.random.default_rng(4).integers(0, 256, (9, 9), np.uint8)
    around = np.array(Image.fromarray(noise).resize((72, 72), Image.Resampling.BICUBIC))
    around[12:60, 12:60] = small
    return around


def crop(photo, left=12, top=12, side=48):
    cut = Image.fromarray(photo[top : top + side, left : left + side])
    return np.asarray(cut.resize((48, 48), Image.Resampling.BILINEAR))


def test_other_cuts_of_a_photo_are_left_out(photo):
    whole = crop(photo)
    others = {
        "identical": whole,
        "moved": crop(photo, 15, 9),
        "scaled": crop(photo, 9, 9, 54),
        "mirrored": crop(photo, 14, 11)[:, ::-1],
        "paler": (whole // 2 + 90).astype(np.uint8),
    }
    for how, other in others.items():
        assert first_of_each_photo(np.stack([whole, other]), 5) == [0], how
        assert first_of_each_photo(np.stack([other, whole]), 5) == [0], how


def test_the_first_of_different_faces_are_kept_in_order(photo):
    noise = np.random.default_rng(5).integers(0, 256, (4, 48, 48), np.uint8)
    images = np.stack([noise[0], crop(photo), noise[0], noise[1], crop(photo, 13), *noise[2:]])
    assert first_of_each_photo(images, 10) == [0, 1, 3, 5, 6]
    assert first_of_each_photo(images, 3) == [0, 1, 3]
    assert first_of_each_photo(images[:0], 3) == []
    constant = np.zeros((2, 48, 48), np.uint8)
    assert first_of_each_photo(constant, 2) == [0, 1]  # they resemble nothing
