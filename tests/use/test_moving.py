"""Frames become faces with numbers and probabilities; the CSV holds them as they are."""

import csv

import numpy as np
import pytest
from PIL import Image

from ferspore.labels import EMOTIONS
from ferspore.use import moving
from ferspore.use.emotion_csv import COLUMNS, EmotionCsv, smoothed_over_time
from ferspore.use.faces import Square
from ferspore.use.moving import Frame, Seen, Summary, judged_frames
from ferspore.use.smoothing import TIME_CONSTANT

LEFT, RIGHT = Square(0, 0, 20), Square(40, 0, 20, 30.0)


class Detector:
    """Finds what it is told for the picture's grey."""

    places = ([LEFT], [LEFT, RIGHT], [], [RIGHT, LEFT], [Square(2, 1, 20)])

    def find(self, picture):
        return self.places[picture.getpixel((0, 0))[0]]


def clip():
    return ((n / 10, Image.new("RGB", (64, 32), (n, n, n))) for n in range(5))


def judge(faces):
    """A face of grey n is angry by n/10, else neutral."""
    angry = faces[:, 24, 24].astype(float) / 10
    return np.stack([angry, *np.zeros((5, len(faces))), 1 - angry], 1)


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_faces_keep_their_numbers_and_are_smoothed(at_once):
    sizes = []

    def counted(faces):
        sizes.append(len(faces))
        return judge(faces)

    frames = list(judged_frames(clip(), Detector(), counted, at_once))
    assert [(f.number, f.time) for f in frames] == [(n + 1, n / 10) for n in range(5)]
    assert [[s.face for s in f.faces] for f in frames] == [[1], [1, 2], [], [2, 1], [1]]
    assert frames[3].faces[0].square == RIGHT
    assert sizes == {1: [1, 2, 2, 1], 3: [3, 3], 8: [6]}[at_once]
    angry = [f.faces[0].probabilities[0] for f in frames if f.faces]
    np.testing.assert_allclose(angry, [0, 0.1, 0.3, 0.4])
    kept = np.exp(-0.1 / TIME_CONSTANT)
    first = 0.1 * (1 - kept)  # face 1 in frame 2; in frame 4 it was unseen for 0.2 s
    expected = [0, first, 0.3 + (first - 0.3) * kept**2]
    found = [s.smoothed[0] for f in frames[:4] for s in f.faces if s.face == 1]
    np.testing.assert_allclose(found, expected)


def test_without_a_detector_the_middle_of_each_frame_is_a_face():
    frames = list(judged_frames(clip(), None, judge))
    assert {seen.square for f in frames for seen in f.faces} == {Square(16, 0, 32)}
    assert {seen.face for f in frames for seen in f.faces} == {1}


def test_the_csv_has_a_line_for_each_face_and_frame(tmp_path):
    path = tmp_path / "out.csv"
    frames = list(judged_frames(clip(), Detector(), judge))
    with EmotionCsv(path) as table:
        for frame in frames:
            table.add(frame)
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    keys = ["frame", "time", "face", "left", "top", "side", "angle"]
    assert [lines[2][key] for key in keys] == ["2", "0.100", "2", "40", "0", "20", "30.0"]
    seen = [one for frame in frames for one in frame.faces]
    for line, one in zip(lines, seen, strict=True):
        for emotion, plain, smoothed in zip(EMOTIONS, one.probabilities, one.smoothed, strict=True):
            assert float(line[emotion]) == pytest.approx(plain, abs=1e-6)
            assert float(line[f"smoothed_{emotion}"]) == pytest.approx(smoothed, abs=1e-6)


def test_a_csv_that_is_not_whole_does_not_appear(tmp_path):
    with pytest.raises(KeyboardInterrupt), EmotionCsv(tmp_path / "out.csv") as table:
        table.add(next(judged_frames(clip(), Detector(), judge)))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_csv_gives_the_means_over_time(tmp_path):
    with EmotionCsv(tmp_path / "out.csv") as table:
        for frame in judged_frames(clip(), Detector(), judge):
            table.add(frame)
    found = smoothed_over_time(tmp_path / "out.csv", [1, 2], 0.4, 2)
    frames = list(judged_frames(clip(), Detector(), judge))
    early = [s.smoothed for f in frames if f.time < 0.2 for s in f.faces if s.face == 1]
    np.testing.assert_allclose(found[1][0], np.mean(early, 0), atol=1e-6)
    assert found[1].shape == found[2].shape == (2, 7)
    assert np.isnan(smoothed_over_time(tmp_path / "out.csv", [2], 0.5, 5)[2][[0, 2, 4]]).all()


def seen_in(number: int, faces: list[int]) -> Frame:
    one = np.eye(7)[3]
    seen = [Seen(face, LEFT, one, one) for face in faces]
    return Frame(number, number / 10, Image.new("RGB", (1, 1)), seen)


def test_the_summary_keeps_the_faces_seen_longest(monkeypatch):
    monkeypatch.setattr(moving, "MOST_FACES", 3)
    summary = Summary()
    for number in range(1, 50):
        summary.add(seen_in(number, [1, 2, number + 2] if number > 9 else [1, number + 2]))
    assert summary.longest(2) == [1, 2] and len(summary.faces) <= 7
    assert (summary.frames, summary.seconds) == (49, 4.9)
    first = summary.faces[1]
    assert (first.first, first.last, first.frames) == (0.1, 4.9, 49)
    assert first.mean.tolist() == np.eye(7)[3].tolist()
