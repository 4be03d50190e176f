"""--tta in every command that judges faces: the views it averages, and that they are named."""

import json

import pytest
from PIL import Image

from ferspore.cli import (
    common,
    compare,
    confusion,
    evaluate,
    mistakes,
    predict,
    report,
    samples,
    verify,
)
from ferspore.config.yaml_text import config_yaml
from ferspore.data.csv import load_csv
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.scores import softmax
from ferspore.labels import VIEWS
from ferspore.network.resnet import Architecture, build_network
from tests import runs
from tests.cli.calls import work

COMMANDS = {
    "evaluate": (evaluate, ["--csv", "x", "--ckpt", "y"]),
    "samples": (samples, ["--csv", "x", "--ckpt", "y"]),
    "mistakes": (mistakes, ["--csv", "x", "--ckpt", "y"]),
    "confusion": (confusion, ["--csv", "x", "--ckpt", "y"]),
    "report": (report, ["run", "--csv", "x"]),
    "verify": (verify, ["--csv", "x", "--ckpt", "y"]),
    "compare": (compare, ["a", "b", "--csv", "x"]),
    "predict": (predict, ["a.jpg", "--ckpt", "y"]),
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """data.csv in a folder of its own, and its PublicTest."""
    path = runs.small_csv(tmp_path_factory.mktemp("tta") / "data.csv")
    return path, load_csv(path, ("PublicTest",), cache=False).splits["PublicTest"]


@pytest.fixture(scope="module")
def evaluator(faces):
    """A random net that tells the faces apart: the mean of its logits is 0 for each emotion."""
    architecture = Architecture("3x3", (8, 16), (1, 1), squeeze_excite=False)
    network = build_network(architecture, seed=9)
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    evaluator = Evaluator(architecture)
    evaluator.load(weights)
    weights["head.bias"] = -evaluator.logits(faces[1].images).mean(axis=0)
    evaluator.load(weights)
    return evaluator


@pytest.fixture(scope="module")
def run(faces, evaluator):
    """The folder of a run whose best model is that net."""
    folder = faces[0].parent / "run"
    folder.mkdir()
    weights = {name: p.asnumpy() for name, p in evaluator.parameters.items()}
    runs.save_weights(folder / "best_model.ckpt", weights, {})
    (folder / "config.yaml").write_text(config_yaml(runs.given(faces[0]).config))
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "loss": 2, "val_accuracy": 0.5}\n')
    with pytest.MonkeyPatch.context() as patch:  # the commands share it, as it takes a second
        for module in ("evaluator", "comparison"):
            name = f"ferspore.evaluation.{module}.load_evaluator"
            patch.setattr(name, lambda path: (evaluator, []))
        yield folder


@pytest.fixture(scope="module")
def accuracy(evaluator, faces):
    """Of PublicTest by ten views, measured apart from the commands; other than without them."""
    plain, averaged = (evaluator.score(faces[1], tta=tta).accuracy for tta in (None, "10"))
    assert plain != averaged
    return averaged


@pytest.mark.parametrize("name", COMMANDS)
def test_the_value_may_be_left_out_and_another_is_refused(name, capsys):
    command, words = COMMANDS[name]

    def tta(*more):
        return command.parser().parse_args([*words, *more]).tta

    given = [(), ("--tta",), ("--tta", "flip"), ("--tta", "10")]
    assert [tta(*more) for more in given] == [None, "flip", "flip", "10"]
    with pytest.raises(SystemExit) as caught:
        tta("--tta", "11")
    assert caught.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "argument --tta: invalid choice: '11' (choose from 'flip', '10')" in line


@pytest.mark.parametrize("name", ["report", "verify", "compare"])
def test_without_faces_it_is_refused(name):
    command, words = COMMANDS[name]
    words = words[: words.index("--csv")] + words[words.index("--csv") + 2 :]
    for more in (["--tta", "10"], ["--skip_bad_rows"]):
        with pytest.raises(
            common.ToolError, match=f"^{' '.join(more)}: needs the faces of a --csv"
        ):
            work(command, *words, *more)


def test_a_split_needs_a_csv():
    with pytest.raises(common.ToolError, match=r"^--usage Training: needs the faces of a --csv"):
        work(compare, "a", "b", "--usage", "Training")


@pytest.mark.parametrize("name", ["samples", "mistakes", "confusion"])
def test_drawn_and_printed_figures_name_the_views(
    faces, run, tmp_path, monkeypatch, capsys, name, accuracy
):
    few = [] if name == "confusion" else ["--num_samples", "1"]
    titles = []
    monkeypatch.setattr(
        "ferspore.pictures.style.save", lambda figure, path: titles.append(figure.get_suptitle())
    )
    ckpt = run / "best_model.ckpt"
    words = ("--csv", faces[0], "--ckpt", ckpt, "--output", tmp_path, "--tta", "10")
    work(COMMANDS[name][0], *words, *few)
    assert titles and all(VIEWS["10"] in " ".join(title.split()) for title in titles)
    said = capsys.readouterr().out
    assert said.count(VIEWS["10"]) == 1
    if name == "confusion":
        assert f"accuracy {accuracy:.4f}" in said


def test_report_names_the_views(faces, run, tmp_path, accuracy):
    path = tmp_path / "report.html"
    work(report, run, "--csv", faces[0], "--output", path, "--tta", "10")
    page = path.read_text()
    assert f"Scores on PublicTest ({VIEWS['10']})" in page
    assert f"Measured again for this page: accuracy {accuracy:.4f}" in page


def test_verify_adds_the_accuracy_and_still_compares_the_plain_one(
    faces, run, tmp_path, capsys, evaluator, accuracy
):
    out = tmp_path / "out.json"
    work(verify, "--ckpt", run, "--csv", faces[0], "--json", out, "--tta", "10")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-3:] == ["measured", "TTA", "state"]
    assert f"{accuracy:.4f}" in lines[1].split()[:7]
    assert lines[2] == f"TTA: {VIEWS['10']}"
    (best,) = json.loads(out.read_text())
    plain = evaluator.score(faces[1]).accuracy
    texts = [one["text"] for one in best["findings"] if one["name"] in ("accuracy", "TTA")]
    assert (best["measured_accuracy"], best["tta_accuracy"]) == (plain, accuracy)
    assert texts[0].startswith(f"PublicTest: {plain:.4f} on 37 faces")
    assert texts[1] == f"PublicTest ({VIEWS['10']}): {accuracy:.4f}"


def test_compare_names_the_views(faces, run, tmp_path, capsys, accuracy):
    out = tmp_path / "out.json"
    work(compare, run, run, "--csv", faces[0], "--json", out, "--tta", "10")
    assert f"PublicTest ({VIEWS['10']}): the same faces" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["views"] == VIEWS["10"]
    paired = written["comparisons"][0]["paired"]
    assert paired["both"] / paired["faces"] == accuracy


def test_predict_names_the_views(faces, run, evaluator, tmp_path, capsys):
    face, out = faces[1].images[:1], tmp_path / "out.json"
    Image.fromarray(face[0]).save(tmp_path / "face.png")
    ckpt = run / "best_model.ckpt"
    work(predict, tmp_path / "face.png", "--ckpt", ckpt, "--no_detect", "--json", out, "--tta")
    assert VIEWS["flip"] in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["views"] == VIEWS["flip"]
    expected = softmax(evaluator.logits(face, tta="flip")).max()
    assert written["images"][0]["faces"][0]["confidence"] == pytest.approx(expected)
