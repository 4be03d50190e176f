"""Calibration against values worked out by hand."""

import numpy as np
import pytest

from ferspore.evaluation.calibration import BINS, reliability


def error_of(probabilities, labels, bins=BINS):
    return reliability(probabilities, labels, bins).expected_calibration_error


def rows(*confidences):
    """Two-class probabilities whose first class is predicted with these confidences."""
    return np.array([[c, 1 - c] for c in confidences])


def test_error_worked_out_by_hand():
    # Five bins: (0.4,0.6] holds 0.55 and 0.60, one of two right: |0.5 - 0.575| = 0.075
    # (0.6,0.8] holds 0.70, right: |1 - 0.70| = 0.30; (0.8,1] holds 0.9, wrong: 0.9
    probabilities, labels = rows(0.55, 0.60, 0.70, 0.90), np.array([0, 1, 0, 1])
    expected = 2 / 4 * 0.075 + 1 / 4 * 0.30 + 1 / 4 * 0.90
    assert error_of(probabilities, labels, bins=5) == pytest.approx(expected)


def test_bins_are_closed_above_and_empty_ones_are_nan():
    bins = reliability(rows(0.75, 0.76, 1.0), np.array([0, 1, 0]), bins=4)
    assert bins.count.tolist() == [0, 0, 1, 2]
    assert np.isnan(bins.accuracy[:2]).all() and np.isnan(bins.confidence[:2]).all()
    assert bins.accuracy[2:].tolist() == [1.0, 0.5]
    assert bins.confidence[2:] == pytest.approx([0.75, 0.88])


def test_drawn_from_its_own_probabilities_a_model_is_nearly_calibrated():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(7), 40_000)
    labels = (probabilities.cumsum(1) > rng.random((40_000, 1))).argmax(1)
    assert error_of(probabilities, labels) < 0.015
    over = probabilities**4 / (probabilities**4).sum(1, keepdims=True)
    assert error_of(over, labels) > 0.2


def test_certain_and_right_is_zero_certain_and_wrong_is_one():
    assert error_of(np.eye(7), np.arange(7)) == 0.0
    assert error_of(np.eye(7), (np.arange(7) + 1) % 7) == 1.0


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(ValueError, match="not all in"):
        reliability(np.array([[value, 0.1]]), np.array([0]))
    with pytest.raises(ValueError, match="no faces"):
        reliability(np.empty((0, 7)), np.empty(0, int))
