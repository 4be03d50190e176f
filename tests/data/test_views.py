"""The views of a face, against scipy's shifts and numpy's mirror image."""

import numpy as np
import pytest
from scipy import ndimage

from ferspore.data.views import MOVES, views, with_views
from ferspore.labels import VIEWS

SHIFTS = {"flip": [(0, 0)], "10": [(0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)]}  # down, right


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("tta", "size"), [("flip", 48), ("10", 48), ("10", 24)])
def test_views_are_shifts_with_reflected_borders_each_with_its_mirror_image(tta, size, dtype):
    faces = np.random.default_rng(1).integers(0, 256, (3, size, size)).astype(dtype)
    before = faces.copy()
    expected = []
    for shift in SHIFTS[tta]:
        moved = ndimage.shift(faces, (0, *shift), order=0, mode="mirror")
        expected += [moved, np.flip(moved, axis=2)]
    found = list(views(faces, tta))
    assert {view.dtype for view in found} == {np.dtype(dtype)}
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(faces, before)


def test_without_tta_the_faces_themselves_are_the_view():
    faces = np.zeros((2, 48, 48), np.uint8)
    (only,) = views(faces, None)
    assert only is faces
    assert with_views("PublicTest", None) == "PublicTest"


def test_each_kind_says_how_many_views_it_has():
    assert VIEWS.keys() == MOVES.keys()
    for tta, text in VIEWS.items():
        count = len(list(views(np.zeros((1, 48, 48), np.uint8), tta)))
        assert with_views("PublicTest", tta) == f"PublicTest ({text})"
        assert text.startswith(f"{count} views: the face and its ")
