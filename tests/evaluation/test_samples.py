"""Which faces are shown: rules checked against a brute-force reading of the definitions."""

import numpy as np
import pytest

from ferspore.evaluation.samples import (
    NO_PREDICTION,
    by_pair,
    choose_correct,
    confident_mistakes,
    predictions,
    without_repeats,
)
from ferspore.labels import EMOTIONS


@pytest.fixture
def judged():
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.ones(7) * 0.4, 300)
    labels = np.where(rng.random(300) < 0.5, probabilities.argmax(1), rng.integers(0, 7, 300))
    return probabilities, labels


def correct_of(probabilities, labels, code, at_least=0.0):
    """Faces of one emotion that are right, most confident first, by plain Python."""
    rows = [(i, row.tolist()) for i, row in enumerate(probabilities) if labels[i] == code]
    right = [(-row[code], i) for i, row in rows if row[code] == max(row) and row[code] >= at_least]
    return [i for _, i in sorted(right)]


def test_confident_takes_the_highest_and_hardest_the_lowest(judged):
    confident = choose_correct(*judged, num_samples=4, select="confident")
    hardest = choose_correct(*judged, num_samples=4, select="hardest")
    for code, emotion in enumerate(EMOTIONS):
        expected = correct_of(*judged, code)
        assert confident[emotion].chosen.tolist() == expected[:4]
        assert hardest[emotion].chosen.tolist() == expected[::-1][:4]
        assert confident[emotion].correct == len(expected)
        assert confident[emotion].shown == (judged[1] == code).sum()


def test_random_is_reproducible_and_differs_by_seed(judged):
    def draw(seed):
        choices = choose_correct(*judged, num_samples=5, select="random", seed=seed)
        return [choice.chosen.tolist() for choice in choices.values()]

    assert draw(1) == draw(1) != draw(2)
    for code, chosen in enumerate(draw(1)):
        assert len(set(chosen)) == 5
        assert set(chosen) <= set(correct_of(*judged, code))


def test_random_draw_of_an_emotion_does_not_depend_on_the_others(judged):
    probabilities, labels = judged
    others_wrong = np.where(labels == 3, 3, (probabilities.argmax(1) + 1) % 7)
    happy = labels == 3
    before = choose_correct(probabilities, labels, num_samples=3, select="random")["happy"]
    after = choose_correct(
        probabilities, np.where(happy, 3, np.where(others_wrong == 3, 4, others_wrong)),
        num_samples=3, select="random",
    )["happy"]  # fmt: skip
    assert before.chosen.tolist() == after.chosen.tolist()


@pytest.mark.parametrize("select", ["confident", "random", "hardest"])
def test_min_confidence_leaves_out_what_is_below(judged, select):
    choices = choose_correct(*judged, num_samples=300, select=select, min_confidence=0.7)
    for code, emotion in enumerate(EMOTIONS):
        assert sorted(choices[emotion].chosen) == sorted(correct_of(*judged, code, 0.7))
        assert choices[emotion].correct == len(choices[emotion].chosen)


def test_too_few_and_none_at_all():
    probabilities = np.eye(7)[[3, 3, 0]] * 0.7 + 0.3 / 7
    choices = choose_correct(probabilities, np.array([3, 3, 1]), num_samples=3)
    assert choices["happy"].chosen.tolist() == [0, 1]  # equal confidence: order of the split
    assert (choices["disgust"].correct, choices["disgust"].shown) == (0, 1)
    assert (choices["sad"].correct, choices["sad"].shown) == (0, 0)


def test_a_face_with_nan_is_neither_right_nor_wrong():
    probabilities = np.full((2, 7), 1 / 7)
    probabilities[0, 2] = np.nan
    labels = np.array([2, 5])  # argmax of a row with NaN is the NaN's place: must not count
    assert predictions(probabilities).tolist() == [NO_PREDICTION, 0]
    assert choose_correct(probabilities, labels, num_samples=1)["fear"].correct == 0
    assert confident_mistakes(probabilities, labels).tolist() == [1]


def test_with_the_images_no_photo_is_chosen_twice(judged):
    photos = np.random.default_rng(6).integers(0, 256, (10, 48, 48), np.uint8)
    images = photos[np.arange(300) % 10]
    for choice in choose_correct(*judged, images, num_samples=300).values():
        shown = [images[index].tobytes() for index in choice.chosen]
        assert len(set(shown)) == len(shown) < choice.correct
    mistakes = confident_mistakes(*judged)
    assert without_repeats(mistakes, images, 3).tolist()[0] == mistakes[0]
    shown = [images[index].tobytes() for index in without_repeats(mistakes, images, 300)]
    assert len(set(shown)) == len(shown) == 10 < len(mistakes)


def test_unknown_selection_is_refused(judged):
    with pytest.raises(ValueError, match="received 'best', expected one of confident"):
        choose_correct(*judged, num_samples=1, select="best")


def test_mistakes_are_all_mistakes_by_falling_confidence(judged):
    probabilities, labels = judged
    found = confident_mistakes(probabilities, labels)
    assert set(found) == {i for i in range(300) if probabilities[i].argmax() != labels[i]}
    confidences = probabilities[found].max(1)
    assert (np.diff(confidences) <= 0).all()


def test_pairs_partition_the_mistakes_the_most_frequent_first(judged):
    probabilities, labels = judged
    mistakes = confident_mistakes(probabilities, labels)
    pairs = by_pair(mistakes, labels, predictions(probabilities))
    sizes = [len(found) for found in pairs.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert sorted(np.concatenate(list(pairs.values()))) == sorted(mistakes)
    for (true, predicted), found in pairs.items():
        assert (labels[found] == true).all()
        assert (probabilities[found].argmax(1) == predicted).all()
        assert found.tolist() == [i for i in mistakes if i in set(found)]
