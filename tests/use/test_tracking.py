"""Faces keep their numbers by overlap; smoothing is that of its formula at every rate."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferspore.use.faces import Square
from ferspore.use.smoothing import TIME_CONSTANT, Smoothing
from ferspore.use.tracking import FORGOTTEN, LEAST_IOU, Tracker, iou

SQUARES = st.builds(Square, st.integers(0, 12), st.integers(0, 12), st.integers(1, 9))
FRAMES = st.lists(st.lists(SQUARES, max_size=4), min_size=1, max_size=6)


def pixels(square: Square) -> set[tuple[int, int]]:
    return {
        (x, y)
        for x in range(square.left, square.left + square.side)
        for y in range(square.top, square.top + square.side)
    }


@given(SQUARES, SQUARES)
@settings(max_examples=40, deadline=None)
def test_the_overlap_is_that_of_the_pixels(one, other):
    a, b = pixels(one), pixels(other)
    assert iou(one, other) == pytest.approx(len(a & b) / len(a | b))


@given(FRAMES)
@settings(max_examples=40, deadline=None)
def test_numbers_are_unique_and_new_ones_count_on(frames):
    tracker, known = Tracker(), 0
    for time, faces in enumerate(frames):
        found = tracker.update(time / 10, faces)
        assert len(found) == len(set(found)) == len(faces)
        new = sorted(number for number in found if number > known)
        assert new == list(range(known + 1, known + len(new) + 1))
        known += len(new)


@given(st.lists(SQUARES, max_size=4), st.lists(SQUARES, max_size=4))
@settings(max_examples=40, deadline=None)
def test_the_largest_overlaps_are_matched_first(before, after):
    """No pair that was not matched overlaps more than the pairs that its two faces are in."""
    tracker = Tracker()
    tracker.update(0, before)
    numbers = tracker.update(0.1, after)
    place = dict(enumerate(before, 1))
    matched = {n: iou(place[n], face) for n, face in zip(numbers, after, strict=True) if n in place}
    assert all(overlap >= LEAST_IOU for overlap in matched.values())
    for number, one in place.items():
        for own, other in zip(numbers, after, strict=True):
            better = max(matched.get(number, 0), matched.get(own, 0))
            assert iou(one, other) < LEAST_IOU or better >= iou(one, other)


def test_a_face_that_is_gone_for_long_gets_a_new_number():
    place = Square(10, 10, 20)
    for gap, number in ((0.9 * FORGOTTEN, 1), (1.1 * FORGOTTEN, 2)):
        tracker = Tracker()
        assert tracker.update(5, [place]) == [1]
        assert tracker.update(5 + gap / 2, []) == []
        assert tracker.update(5 + gap, [place]) == [number]


def test_two_who_walk_side_by_side_keep_their_numbers_in_any_order():
    tracker = Tracker()
    assert tracker.update(0, [Square(0, 0, 40), Square(100, 0, 40)]) == [1, 2]
    for step in range(1, 10):
        left, right = Square(8 * step, 0, 40), Square(100 + 8 * step, 0, 40)
        assert tracker.update(step / 10, [right, left]) == [2, 1]


# --- smoothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [5, 30, 120])
def test_a_step_is_followed_with_the_time_constant_at_every_rate(rate):
    smoothing = Smoothing()
    smoothing.update(0, {1: np.array([0.0])})
    for number in range(1, 2 * rate + 1):
        time = number / rate
        (value,) = smoothing.update(time, {1: np.array([1.0])})[1]
        assert value == pytest.approx(1 - np.exp(-time / TIME_CONSTANT))


def test_at_irregular_times_it_is_the_weighted_mean_of_all_values():
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(0, 0.4, 12))
    values = rng.dirichlet(np.ones(7), 12)
    smoothing = Smoothing()
    found = [smoothing.update(t, {4: v})[4] for t, v in zip(times, values, strict=True)]
    gained = [1.0, *(1 - np.exp(-(b - a) / TIME_CONSTANT) for a, b in pairwise(times))]
    for last in range(12):
        weights = np.array(gained[: last + 1]) * np.exp(
            -(times[last] - times[: last + 1]) / TIME_CONSTANT
        )
        np.testing.assert_allclose(found[last], weights @ values[: last + 1])
        assert found[last].sum() == pytest.approx(1)


def test_faces_are_smoothed_apart_and_forgotten():
    smoothing = Smoothing()
    smoothing.update(0, {1: np.array([1.0]), 2: np.array([0.0])})
    both = smoothing.update(0.1, {1: np.array([1.0]), 2: np.array([0.0])})
    assert both == {1: 1.0, 2: 0.0}
    smoothing.keep({2})
    assert smoothing.update(0.2, {1: np.array([0.5])})[1] == 0.5
