"""An audit counts what was planted, and what plain comparison finds."""

import numpy as np
import pytest

from ferspore.data import audit as audit_module
from ferspore.data.audit import Overlap, Place, audit
from ferspore.data.audit_text import format_balance, format_summary, format_twins, to_dict
from ferspore.data.faces import Faces
from tests.data.planted import drawn, planted


@pytest.fixture(scope="module")
def found():
    return audit(planted())


def test_planted_twins_are_counted(found):
    assert found.overlaps == [
        Overlap("Training", "Training", 10, 2, 0, 4, 2),
        Overlap("Training", "PublicTest", 10, 3, 2, 5, 2),
        Overlap("PublicTest", "Training", 8, 2, 1, 4, 1),
        Overlap("PublicTest", "PublicTest", 8, 2, 0, 2, 0),
    ]


def test_groups_conflicts_and_constant_images_are_named(found):
    conflict = [Place("Training", 0, 0), Place("Training", 1, 0), Place("PublicTest", 0, 3)]
    dark = [Place("Training", 6, 6), Place("PublicTest", 5, 6)]
    assert found.conflicts == [conflict]
    alike = [Place("PublicTest", 1, 2), Place("PublicTest", 2, 2)]
    assert found.groups == [conflict, dark, alike]
    assert found.constant == [*dark, Place("PublicTest", 6, 4)]


def test_near_pairs_leave_out_identical_faces(found):
    pairs = [(pair.first[:2], pair.second[:2], pair.mirrored) for pair in found.near]
    assert pairs == [
        (("Training", 4), ("Training", 5), False),
        (("Training", 2), ("PublicTest", 3), False),
        (("Training", 3), ("PublicTest", 4), True),
    ]


def test_balance_is_of_each_split(found):
    for split, faces in planted().items():
        assert sum(found.balance[split].values()) == len(faces)
        assert found.balance[split]["surprise"] == faces.labels.tolist().count(5)


def test_identical_faces_are_counted_as_by_brute_force():
    rng = np.random.default_rng(5)
    kinds = drawn(6)
    splits = {
        split: Faces(kinds[rng.integers(0, 6, count)], rng.integers(0, 3, count).astype(np.uint8))
        for split, count in (("Training", 12), ("PublicTest", 5), ("PrivateTest", 4))
    }
    for one in audit(splits).overlaps:
        mine, theirs = splits[one.split], splits[one.other]
        twins = [
            [
                theirs.labels[j] != mine.labels[i]
                for j in range(len(theirs))
                if (i != j or mine is not theirs) and (mine.images[i] == theirs.images[j]).all()
            ]
            for i in range(len(mine))
        ]
        assert one.identical == one.near == sum(map(bool, twins))
        assert one.identical_conflicting == one.near_conflicting == sum(map(any, twins))


def test_no_more_pairs_are_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(audit_module, "KEPT", 3)
    faces = np.repeat(drawn(1), 8, axis=0)
    faces[:, 0, 0] = range(8)  # near twins, 28 pairs
    found = audit({"Training": Faces(faces, np.zeros(8, np.uint8))})
    assert len(found.near) == 3 and found.overlaps[0].near == 8


def test_the_text_says_what_was_found(found):
    rows = [line.split() for line in format_twins(found).splitlines()]
    assert rows[3] == ["PublicTest", "Training", "2", "25.0%", "1", "4", "50.0%", "1"]
    balance = [line.split() for line in format_balance(found).splitlines()]
    assert balance[0] == ["emotion", "Training", "share", "PublicTest", "share"]
    assert balance[1] == ["angry", "2", "20.0%", "1", "12.5%"] and balance[-1] == ["all", "10", "8"]
    assert format_summary(found).splitlines() == [
        "3 groups of identical faces (7 faces); 1 with more than one label (3 faces)",
        "constant images: 1 in Training, 2 in PublicTest",
    ]


def test_json_counts_faces_from_1(found):
    content = to_dict(found)
    assert content["identical_groups"] == 3
    [[first, _, third]] = content["conflicting_groups"]
    assert first == {"split": "Training", "face": 1, "emotion": "angry"}
    assert third == {"split": "PublicTest", "face": 1, "emotion": "happy"}
    assert content["constant"][0]["face"] == 7
    assert content["twins"][2]["near"] == 4
