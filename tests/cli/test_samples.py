"""The tools over a small trained run: what they draw is checked by evaluating the faces again."""

import json
import re
import sys
from html.parser import HTMLParser

import pytest

from ferspore.config.schema import ConfigError
from ferspore.data.csv import load_csv
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS
from ferspore.pictures.faces import face_beside_bars
from ferspore.pictures.style import png
from tests import runs

sys.path.insert(0, str(runs.ROOT / "tools"))

import common
import generate_correct_samples
import generate_wrong_samples
import plot_confusion
import plot_history
import report


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data.csv and a run of two epochs in run/."""
    folder = tmp_path_factory.mktemp("trained")
    csv = runs.small_csv(folder / "data.csv")
    code, lines = runs.train(folder / "run", csv)
    assert code == 0, lines
    return folder


@pytest.fixture(scope="module")
def judged(trained):
    """Faces of PublicTest and their probabilities, evaluated apart from the tools."""
    faces = load_csv(trained / "data.csv", ("PublicTest",), cache=False).splits["PublicTest"]
    evaluator, _ = load_evaluator(trained / "run" / "best_model.ckpt")
    return faces, softmax(evaluator.logits(faces.images))


def words(trained, output, *more):
    ckpt = trained / "run" / "best_model.ckpt"
    return [*map(str, ("--csv", trained / "data.csv", "--ckpt", ckpt, "--output", output)), *more]


def work(tool, *arguments):
    """What the script does after its start, in this process."""
    tool.work(tool.parser().parse_args([str(argument) for argument in arguments]))


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
        assert ("(2 asked for)" in line) == (len(right) == 1)
        total += len(right)
    assert total > 0, "the small run has to get something right for this test to mean anything"
    assert (tmp_path / "out" / "grid.png").stat().st_size > 0


@pytest.mark.parametrize("select", ["confident", "random", "hardest"])
def test_grid_holds_only_correct_faces(trained, judged, tmp_path, monkeypatch, select):
    drawn = {}
    monkeypatch.setattr(
        "ferspore.pictures.faces.grid", lambda rows, title: drawn.update(rows=rows) or title
    )
    monkeypatch.setattr("ferspore.pictures.style.save", lambda figure, path: None)
    arguments = words(trained, tmp_path, "--select", select, "--num_samples", "50", "--seed", "4")
    work(generate_correct_samples, *arguments)
    evaluator, _ = load_evaluator(trained / "run" / "best_model.ckpt")
    for emotion, (label, tiles) in zip(EMOTIONS, drawn["rows"], strict=True):
        assert label.startswith(emotion)
        assert len(tiles) == len(correct_faces(judged, emotion))
        for tile in tiles:
            logits = evaluator.logits(tile.image[None])
            assert EMOTIONS[logits.argmax()] == emotion
            assert tile.caption == f"{emotion} {softmax(logits).max():.2f}"


def test_pictures_of_an_earlier_call_do_not_stay(trained, judged, tmp_path):
    emotion = next(name for name in EMOTIONS if correct_faces(judged, name))
    folder = tmp_path / emotion
    folder.mkdir()
    for name in ("correct_sample_99.png", "correct_sample_mine.png"):
        (folder / name).write_text("old")
    work(generate_correct_samples, *words(trained, tmp_path, "--num_samples", "1"))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["correct_sample_1.png", "correct_sample_mine.png"]


def test_nothing_confident_enough_is_said_for_each_emotion(trained, tmp_path, capsys):
    work(generate_correct_samples, *words(trained, tmp_path, "--min_confidence", "1"))
    said = capsys.readouterr().out
    assert all(f"{emotion}: none, 0 of " in said for emotion in EMOTIONS)
    assert not list(tmp_path.glob("*/*.png"))
    assert (tmp_path / "grid.png").exists()


def test_wrong_samples_are_the_most_confident_mistakes(trained, judged, tmp_path, capsys):
    work(generate_wrong_samples, *words(trained, tmp_path, "--num_samples", "3"))
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
    seen = common.judge(
        str(trained / "data.csv"),
        str(trained / "run" / "best_model.ckpt"),
        "PublicTest",
        common_arguments(),
    )
    mistakes = generate_wrong_samples.confident_mistakes(seen.probabilities, faces.labels)
    pairs = generate_wrong_samples.by_pair(mistakes, faces.labels, probabilities.argmax(1))
    tiles = generate_wrong_samples.pair_tiles(pairs, seen)
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


def common_arguments():
    parser = common.parser(None)
    common.add_split_arguments(parser)
    return parser.parse_args(["--csv", "x", "--ckpt", "y"])


def test_plot_confusion_draws_and_says_the_scores(trained, judged, tmp_path, capsys):
    faces, probabilities = judged
    work(plot_confusion, *words(trained, tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"confusion.png", "per_class.png", "calibration.png"}
    accuracy = (probabilities.argmax(1) == faces.labels).mean()
    assert f"accuracy {accuracy:.4f}" in capsys.readouterr().out


def test_plot_history_takes_folders_and_files(trained, tmp_path):
    run = trained / "run"
    work(plot_history, run, run / "metrics.jsonl", "--output", tmp_path / "new" / "two.png")
    assert (tmp_path / "new" / "two.png").stat().st_size > 0
    history = plot_history.history_of(run)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert history.name == "run"
    assert history.values("loss") == [json.loads(line)["loss"] for line in lines]


class Links(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self, page):
        super().__init__()
        self.links, self.tags, self.text = [], set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data


def test_report_is_self_contained_and_complete(trained, judged, tmp_path):
    faces, probabilities = judged
    run, path = trained / "run", tmp_path / "report.html"
    work(report, run, "--csv", trained / "data.csv", "--output", path)
    page = path.read_text(encoding="utf-8")
    links = Links(page)
    assert len(links.links) == 6
    assert all(link.startswith("data:image/png;base64,") for link in links.links)
    assert links.tags.isdisjoint({"script", "link", "iframe", "object"})
    assert not re.search(r"(https?:)?//[a-z]|url\(|@import", re.sub(r'src="data:[^"]*"', "", page))
    accuracy = (probabilities.argmax(1) == faces.labels).mean()
    assert f"Measured again for this page: accuracy {accuracy:.4f}" in links.text
    assert f"Best validation accuracy {accuracy:.4f} on PublicTest" in links.text
    assert "batch_size: 16" in links.text and "csv: data.csv" in links.text
    assert str(trained) not in page  # a page that is passed on tells no path


def test_report_of_a_damaged_best_model_says_so(trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "metrics.jsonl", "best_model.json"):
        (run / name).write_bytes((trained / "run" / name).read_bytes())
    content = (trained / "run" / "best_model.ckpt").read_bytes()
    (run / "best_model.ckpt").write_bytes(content[:-7])
    work(report, run, "--output", tmp_path / "report.html")
    links = Links((tmp_path / "report.html").read_text())
    assert "not sound: it has" in links.text
    assert len(links.links) == 1
    with pytest.raises(common.ToolError, match=re.escape(f"{run / 'best_model.ckpt'}: it has")):
        work(report, run, "--csv", trained / "data.csv", "--output", tmp_path / "report.html")


def test_bad_input_is_one_line_and_exit_code_2(trained, tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"not a checkpoint")
    done = runs.call(
        "--csv", trained / "data.csv", "--ckpt", "bad.ckpt", "--output", "out",
        cwd=tmp_path, script="tools/plot_confusion.py",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("plot_confusion.py: bad.ckpt: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--ckpt", "missing.ckpt"), "missing.ckpt: no such file"),
        (("--ckpt", "."), r"\.: is a folder, expected a .ckpt file"),
        (("--csv", "missing.csv"), "missing.csv: no such file"),
    ],
)
def test_what_is_missing_is_named(trained, tmp_path, changed, message):
    with pytest.raises(ValueError, match=message) as caught:
        work(plot_confusion, *words(trained, tmp_path / "out"), *changed)
    assert isinstance(caught.value, common.ToolError | common.DataError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_exit_codes(monkeypatch, capsys):
    monkeypatch.setattr(common.runtime, "prepare", lambda verbose: [])  # MindSpore is loaded here
    arguments = common_arguments()

    def code(error):
        def work(_):
            raise error

        return common.run(work, arguments)

    assert code(common.ToolError("a: wrong")) == code(common.DataError("b: wrong")) == 2
    assert code(PermissionError(13, "Permission denied", "out")) == 1
    assert common.run(lambda _: None, arguments) == 0
    assert all("wrong" in line or "denied" in line for line in capsys.readouterr().err.splitlines())


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
        generate_correct_samples.parser().parse_args(["--csv", "x", "--ckpt", "y", *more])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_history_and_report_refuse_what_is_no_run(trained, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    metrics = trained / "run" / "metrics.jsonl"
    for tool, arguments, message in [
        (plot_history, [tmp_path], "metrics.jsonl: it is empty"),
        (plot_history, [tmp_path / "none"], "none: no such file"),
        (plot_history, [metrics] * 8, "received 8 runs, expected at most 7"),
        (report, [tmp_path / "none"], "none: no such folder"),
        (report, [metrics], "metrics.jsonl: no such folder"),
        (report, [tmp_path], "config.yaml"),
    ]:
        with pytest.raises(common.ToolError, match=message) as caught:
            work(tool, *arguments)
        assert not isinstance(caught.value, ConfigError)
