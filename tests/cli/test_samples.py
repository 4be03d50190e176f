"""`samples` and `mistakes` over a small run: what they draw is checked by a second evaluation."""

import numpy as np
import pytest

from ferspore.cli import mistakes, samples
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.evaluation.judged import judged as judged_split
from ferspore.evaluation.samples import by_pair, confident_mistakes
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS
from ferspore.pictures.faces import face_beside_bars
from ferspore.pictures.judged import pair_tiles
from ferspore.pictures.style import png
from tests import runs
from tests.cli.calls import words, work


def correct_faces(judged, emotion):
    """Indices of an emotion's correct faces, most confident first."""
    faces, probabilities = judged
    code = EMOTIONS.index(emotion)
    right = [i for i in range(len(faces)) if faces.labels[i] == code == probabilities[i].argmax()]
    return sorted(right, key=lambda i: -probabilities[i, code])


def test_correct_samples_show_exactly_the_correct_faces(trained, judged, tmp_path):
    """The pictures are those of faces that a second evaluation finds correct, byte by byte."""
    done = runs.call(
        *words(trained, "out", "--num-samples", "2"),
        cwd=tmp_path,
        script="tools/generate_correct_samples.py",
    )
    assert (done.returncode, done.stderr) == (0, "")
    faces, probabilities = judged
    total = 0
    for code, emotion in enumerate(EMOTIONS):
        right = correct_faces(judged, emotion)
        pictures = sorted((tmp_path / "out" / emotion).iterdir())
        assert len(pictures) == min(2, len(right))
        for number, (index, picture) in enumerate(zip(right, pictures, strict=False), 1):
            assert picture.name == f"correct_sample_{number}.png"
            title = f"{emotion}, correct sample {number}: face {index + 1} of PublicTest"
            expected = face_beside_bars(faces.images[index], probabilities[index], code, title)
            assert picture.read_bytes() == png(expected)
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{emotion}:"))
        assert f"{len(right)} of {(faces.labels == code).sum()} faces" in line
        assert line.startswith(f"{emotion}: none") == (not right)
        assert ("(2 requested)" in line) == (len(right) == 1)
        total += len(right)
    assert total > 0, "the small run has to get something right for this test to mean anything"
    assert (tmp_path / "out" / "grid.png").stat().st_size > 0


def test_grid_holds_only_correct_faces(trained, judged, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "ferspore.pictures.faces.labelled_rows",
        lambda rows, title: drawn.update(rows=rows) or title,
    )
    monkeypatch.setattr("ferspore.pictures.style.save", lambda figure, path: None)
    arguments = words(trained, tmp_path, "--select", "random", "--num_samples", "50", "--seed", "4")
    work(samples, *arguments)
    evaluator, _ = load_evaluator(trained / "run" / "best_model.ckpt")
    for emotion, (label, tiles) in zip(EMOTIONS, drawn["rows"], strict=True):
        assert label.startswith(emotion)
        assert len(tiles) == len(correct_faces(judged, emotion))
        for tile in tiles:
            logits = evaluator.logits(tile.image[None])
            assert EMOTIONS[logits.argmax()] == emotion
            assert tile.caption == f"{softmax(logits).max():.2f}"


def test_pictures_of_an_earlier_call_do_not_stay(trained, judged, tmp_path):
    emotion = next(name for name in EMOTIONS if correct_faces(judged, name))
    folder = tmp_path / emotion
    folder.mkdir()
    for name in ("correct_sample_99.png", "correct_sample_mine.png"):
        (folder / name).write_text("old")
    work(samples, *words(trained, tmp_path, "--num_samples", "1"))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["correct_sample_1.png", "correct_sample_mine.png"]


def test_nothing_confident_enough_is_said_for_each_emotion(trained, tmp_path, capsys):
    work(samples, *words(trained, tmp_path, "--min_confidence", "1"))
    said = capsys.readouterr().out
    title = "Correctly classified faces of PublicTest with confidence >= 1: the most confident"
    assert title in said.splitlines()  # and above the grid, whose rows count these alone
    assert all(f"{emotion}: none, 0 of " in said for emotion in EMOTIONS)
    assert not list(tmp_path.glob("*/*.png"))
    assert (tmp_path / "grid.png").exists()


def test_wrong_samples_are_the_most_confident_mistakes(trained, judged, tmp_path, capsys):
    work(mistakes, *words(trained, tmp_path, "--num_samples", "3"))
    faces, probabilities = judged
    wrong = [i for i in range(len(faces)) if probabilities[i].argmax() != faces.labels[i]]
    wrong.sort(key=lambda i: -probabilities[i].max())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"grid.png", "pairs.png", *(f"wrong_sample_{n}.png" for n in (1, 2, 3))}
    for number, index in enumerate(wrong[:3], 1):
        title = f"wrong sample {number}: face {index + 1} of PublicTest"
        truth = int(faces.labels[index])
        expected = face_beside_bars(faces.images[index], probabilities[index], truth, title)
        assert (tmp_path / f"wrong_sample_{number}.png").read_bytes() == png(expected)
    assert f"3 drawn, {len(wrong)} of {len(faces)} faces" in capsys.readouterr().out


def test_pair_tiles_show_a_face_of_their_pair(trained, judged):
    faces, probabilities = judged
    seen = judged_split("PublicTest", faces, np.log(probabilities))
    wrong = confident_mistakes(probabilities, faces.labels)
    pairs = by_pair(wrong, faces.labels, probabilities.argmax(1))
    tiles = pair_tiles(pairs, seen)
    evaluator, _ = load_evaluator(trained / "run" / "best_model.ckpt")
    assert set(tiles) == {pair for pair in pairs} | {
        (code, code) for code, name in enumerate(EMOTIONS) if correct_faces(judged, name)
    }
    for (true, predicted), tile in tiles.items():
        assert evaluator.logits(tile.image[None]).argmax() == predicted
        labels = [
            faces.labels[i] for i in range(len(faces)) if (faces.images[i] == tile.image).all()
        ]
        assert true in labels


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--num_samples", "0"), "received '0', expected a whole number from 1 to 100"),
        (("--num_samples", "-3"), "received '-3', expected a whole number"),
        (("--min_confidence", "nan"), "received 'nan', expected a number from 0 to 1"),
        (("--min_confidence", "50%"), "received '50%', expected a number from 0 to 1"),
        (("--select", "best"), "invalid choice: 'best'"),
        (("--usage", "Test"), "invalid choice: 'Test'"),
    ],
)
def test_bad_options_are_refused(tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as caught:
        samples.parser().parse_args(["--csv", "x", "--ckpt", "y", *more])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
