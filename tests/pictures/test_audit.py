"""The picture of an audit shows each kind of finding, twins side by side."""

import numpy as np

from ferspore.data.audit import audit
from ferspore.data.faces import Faces
from ferspore.pictures.audit import audit_figure
from tests.data.planted import drawn, planted
from tests.pictures.drawing import drawn_words


def test_examples_stand_side_by_side_under_their_headings():
    splits = planted()
    figure = audit_figure(audit(splits), splits, "faces.csv")
    shown = [axes.images[0].get_array() for axes in figure.axes]
    places = [
        (0, 2),
        (1, 3),
        (0, 4),
        (0, 5),
        (0, 3),
        (1, 4),
        (0, 0),
        (1, 0),
        (0, 6),
        (1, 5),
        (1, 6),
    ]
    for image, (split, number) in zip(shown, places, strict=True):
        assert (image == list(splits.values())[split].images[number]).all()
    words = drawn_words(figure)
    headings = ["Near twins, in two splits", "Near twins, in one split"]
    headings += ["Near twins, one of them mirrored", "3 constant images"]
    headings += ["1 group of identical faces with different labels"]
    assert set(headings) <= set(words)
    assert words.count("angry") == 1 and "PublicTest, face 4" in words


def test_no_face_is_shown_twice_in_a_row_and_the_range_is_covered():
    faces = drawn(8).repeat(6, axis=0).astype(float)
    noise = np.kron(np.random.default_rng(3).normal(size=(48, 16, 16)), np.ones((3, 3)))
    faces += noise * (np.arange(48) % 6).reshape(-1, 1, 1)
    splits = {"Training": Faces(faces.clip(0, 255).astype(np.uint8), np.zeros(48, np.uint8))}
    found = audit(splits)
    figure = audit_figure(found, splits, "faces.csv")
    words = drawn_words(figure)
    numbers = [word for word in words if word.startswith("Training, face")]
    assert len(numbers) == len(set(numbers)) == 8
    assert f"angry, cosine {max(pair.cosine for pair in found.near):.3f}" in words


def test_nothing_found_is_said():
    splits = {"Training": Faces(drawn(3), np.arange(3, dtype=np.uint8))}
    words = drawn_words(audit_figure(audit(splits), splits, "\udcff.csv"))  # a name that is no text
    assert sum(word.endswith(": none") for word in words) == 5
    assert any(word.startswith(r"Twins in \udcff.csv") for word in words)
