"""Scores without twins are those of the faces that are alone."""

import numpy as np

from ferspore.data.faces import Faces
from ferspore.evaluation.scores import score, to_dict
from ferspore.evaluation.without_twins import (
    format_without_twins,
    score_without_twins,
    without_twins_dict,
)
from tests.data.planted import planted

ALONE = [1, 2, 6, 7]  # of PublicTest
SPLITS = planted()
LOGITS = np.eye(7)[[3, 2, 0, 1, 2, 6, 4, 1]]  # right but for faces 2 and 7


def test_twins_are_left_out():
    public = SPLITS["PublicTest"]
    found = score_without_twins(LOGITS, public, SPLITS["Training"])
    assert (found.identical, found.near) == (2, 4)
    assert found.scores.accuracy == 0.5 and found.scores.count == 4
    expected = to_dict(score(LOGITS[ALONE], public.labels[ALONE]))
    assert without_twins_dict(found) == {"identical": 2, "near": 4, "scores": expected}
    assert format_without_twins(found) == (
        "without twins: accuracy 0.5000, 95% interval 0.1500 to 0.8500, "
        "4 faces (left out: 4 with a twin in Training, 2 of them identical)"
    )


def test_every_face_may_have_a_twin():
    public = SPLITS["PublicTest"]
    twins = Faces(public.images[:1], public.labels[:1])
    found = score_without_twins(LOGITS[:1], twins, SPLITS["Training"])
    assert without_twins_dict(found) == {"identical": 1, "near": 1, "scores": None}
    assert format_without_twins(found).startswith("without twins: no faces are left (1 with")
