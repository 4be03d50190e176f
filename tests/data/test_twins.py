"""Twins are those that comparing every face with every other one finds."""

import numpy as np
import pytest

from ferspore.data import twins
from ferspore.data.twins import NEAR, constant, near_pairs, twins_in
from tests.data.planted import drawn, planted


def correlations(images, others):
    """The oracle: Pearson's correlation of 16x16 means, plain and mirrored, by numpy's corrcoef."""

    def means(faces):
        return faces.reshape(-1, 16, 3, 16, 3).mean(axis=(2, 4))

    count, theirs = len(images), means(others)
    ours = means(images).reshape(count, -1)
    return [
        np.corrcoef(ours, other.reshape(len(others), -1))[:count, count:]
        for other in (theirs, theirs[:, :, ::-1])
    ]


def variations(count, seed):
    """Eight faces, each at many degrees of noise, some mirrored."""
    rng = np.random.default_rng(seed)
    faces = drawn(8)[np.arange(count) % 8].astype(float)
    noise = np.kron(rng.normal(size=(count, 16, 16)), np.ones((3, 3)))
    faces += noise * rng.uniform(0, 30, (count, 1, 1))
    faces[::3] = faces[::3, :, ::-1]
    return faces.clip(0, 255).astype(np.uint8)


def found_pairs(images, others=None):
    blocks = list(near_pairs(images, others))
    return {
        (int(i), int(j)): (float(cosine), bool(mirrored))
        for pairs in blocks
        for i, j, cosine, mirrored in zip(*vars(pairs).values(), strict=True)
    }, sum(len(pairs.first) for pairs in blocks)


@pytest.mark.parametrize("block", [7, 1024])
@pytest.mark.parametrize("within", [True, False])
def test_near_pairs_are_those_of_brute_force(monkeypatch, block, within):
    monkeypatch.setattr(twins, "BLOCK", block)
    images = variations(60, 1)
    others = images if within else variations(45, 2)
    plain, mirrored = correlations(images, others)
    best = np.maximum(plain, mirrored)
    assert (abs(best - NEAR) > 1e-5).all()  # or rounding would decide
    expected = {(i, j) for i, j in np.argwhere(best >= NEAR).tolist() if not within or i < j}
    found, count = found_pairs(images, None if within else others)
    assert 50 < len(expected) < best.size / 4 and any(turned for _, turned in found.values())
    assert found.keys() == expected and count == len(expected)
    for (i, j), (cosine, turned) in found.items():
        assert cosine == pytest.approx(best[i, j], abs=1e-5)
        assert turned == (mirrored[i, j] > plain[i, j])


def test_planted_twins_are_found():
    splits = planted()
    found = twins_in(splits["PublicTest"].images, splits["Training"].images)
    assert np.flatnonzero(found.identical).tolist() == [0, 5]
    assert np.flatnonzero(found.near).tolist() == [0, 3, 4, 5]
    found = twins_in(splits["Training"].images, splits["PublicTest"].images)
    assert np.flatnonzero(found.near).tolist() == [0, 1, 2, 3, 6]


def test_constant_images_are_only_twins_of_identical_ones():
    grey = np.stack([np.full((48, 48), value, np.uint8) for value in (0, 0, 7, 255)])
    assert constant(np.concatenate([grey, drawn(1)])).tolist() == [True] * 4 + [False]
    assert found_pairs(grey) == ({}, 0)
    assert twins_in(grey[1:], grey[:1]).near.tolist() == [True, False, False]


def test_a_face_is_no_twin_of_its_own_even_if_it_is_symmetric():
    face = drawn(1)
    face = np.concatenate([face[:, :, :24], face[:, :, 23::-1]], axis=2)
    assert found_pairs(face) == ({}, 0)
    assert found_pairs(np.repeat(face, 3, axis=0))[0].keys() == {(0, 1), (0, 2), (1, 2)}
