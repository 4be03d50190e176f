"""Emotions over time are as high as their shares, and white where there is no face."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from ferspore.pictures.style import EMOTION_COLOURS, png
from ferspore.pictures.timeline import emotion_timeline

SHARES = {"angry": 0.5, "disgust": 0.0, "fear": 0.0, "happy": 0.25, "sad": 0.0, "surprise": 0.0,
          "neutral": 0.25}  # fmt: skip


def drawn(values: np.ndarray, title: str = "a clip") -> np.ndarray:
    figure = emotion_timeline({3: values}, 10.0, title)
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


def test_shares_are_heights_and_gaps_are_white():
    values = np.tile(list(SHARES.values()), (40, 1))
    values[20:] = np.nan
    picture = drawn(values)[60:170, 75:]  # right of the axis
    counts = {
        emotion: (picture == ImageColor.getrgb(colour)).all(2).sum(0)
        for emotion, colour in EMOTION_COLOURS.items()
    }
    column = int(np.flatnonzero(counts["angry"])[5])
    high = counts["angry"][column]
    assert abs(counts["happy"][column] - high / 2) <= 2
    assert abs(counts["neutral"][column] - high / 2) <= 2
    assert counts["sad"][column] == 0
    width = (counts["angry"] > 0).sum() / picture.shape[1]
    assert 0.4 < width < 0.55  # half of the time


def test_a_face_is_shown_over_every_part_in_which_it_is_seen():
    values = np.full((10, 7), np.nan)
    values[[1, 4, 5]] = list(SHARES.values())
    picture = drawn(values)[60:170, 75:]
    shown = (picture == ImageColor.getrgb(EMOTION_COLOURS["angry"])).all(2).any(0)
    (starts,) = np.nonzero(shown[1:] & ~shown[:-1])
    (ends,) = np.nonzero(shown[:-1] & ~shown[1:])
    np.testing.assert_allclose((ends - starts) / len(shown), [0.1, 0.2], atol=0.02)


def test_the_whole_legend_fits():
    picture = drawn(np.tile(list(SHARES.values()), (4, 1)), "long " * 40)
    assert (picture[-30:, -17:] == 255).all() and (picture[:, -12:] > 240).all()


def test_no_face_is_refused():
    with pytest.raises(ValueError, match="received no face"):
        emotion_timeline({}, 1.0, "")
