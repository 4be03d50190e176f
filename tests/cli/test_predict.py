"""`predict` over image files: its answers are those of the network on the same faces."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image, ImageColor

from ferspore.cli import common, predict
from ferspore.data.practice import draw_faces
from ferspore.evaluation.evaluator import Evaluator
from ferspore.evaluation.scores import softmax
from ferspore.labels import EMOTIONS
from ferspore.network.resnet import Architecture, build_network
from ferspore.pictures.style import EMOTION_COLOURS
from ferspore.use.faces import Square
from ferspore.use.images import ImageError
from ferspore.use.prediction import Prediction, write_copies
from tests import runs
from tests.runs import save_weights

FOUND = 15  # a drawn face that the cascade finds


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return draw_faces(60, np.random.default_rng(1))[0]


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    network = build_network(Architecture("3x3", (8, 16), (1, 1), squeeze_excite=False), seed=5)
    values = {p.name: p.asnumpy() for p in network.get_parameters()}
    return {**values, "head.weight": 20 * values["head.weight"]}  # far from uniform


@pytest.fixture(scope="module")
def evaluator(weights) -> Evaluator:
    made = Evaluator(Architecture("3x3", (8, 16), (1, 1), squeeze_excite=False))
    made.load(weights)
    return made


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory, weights):
    path = tmp_path_factory.mktemp("network") / "tiny.ckpt"
    save_weights(path, weights, {})
    return path


def put(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def predictions(ckpt, folder, *more) -> list[dict]:
    """What the command writes as JSON."""
    words = [
        "--ckpt",
        ckpt,
        "--json",
        folder / "answers" / "out.json",
        "--device_target",
        "CPU",
        *more,
    ]
    predict.work(predict.parser().parse_args([str(word) for word in words]))
    return json.loads((folder / "answers" / "out.json").read_text())["images"]


def test_whole_images_are_judged_as_the_network_judges_them(tmp_path, ckpt, evaluator, faces):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        put(pictures / f"{number}.png", faces[number])
    wide = np.zeros((48, 90), np.uint8)
    wide[:, 21:69] = faces[3]  # the square in the middle
    put(tmp_path / "wide.bmp", wide)
    images = predictions(ckpt, tmp_path, "--no_detect", pictures, tmp_path / "wide.bmp")

    names = [*(pictures / f"{number}.png" for number in range(3)), tmp_path / "wide.bmp"]
    assert [image["image"] for image in images] == [str(name) for name in names]
    expected = softmax(evaluator.logits(faces[:4]))
    assert len(set(expected.argmax(1))) > 1 or expected.max() > 0.5  # no network of one answer
    for image, own in zip(images, expected, strict=True):
        (face,) = image["faces"]
        assert list(face["probabilities"]) == list(EMOTIONS)
        np.testing.assert_allclose(list(face["probabilities"].values()), own, atol=1e-6)
        assert face["emotion"] == EMOTIONS[own.argmax()]
        assert face["confidence"] == max(face["probabilities"].values())
    assert images[3]["faces"][0]["left"] == 21 and images[3]["faces"][0]["side"] == 48


def test_faces_are_found_and_marked(tmp_path, ckpt, faces, capsys):
    picture = np.full((260, 500), 128, np.uint8)
    enlarged = Image.fromarray(faces[FOUND]).resize((160, 160), Image.Resampling.BICUBIC)
    picture[50:210, 40:200] = picture[30:190, 300:460] = enlarged
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "two.png", picture)
    put(tmp_path / "meadow.png", np.full((100, 100), 90, np.uint8))
    given = [tmp_path / "a", tmp_path / "b" / "two.png", tmp_path / "meadow.png"]
    images = predictions(ckpt, tmp_path, *given, "--output", tmp_path / "copies")
    assert [len(image["faces"]) for image in images] == [2, 2, 0]
    left, right = images[0]["faces"]
    assert left["angle"] == right["angle"] == 0
    assert abs(left["left"] + left["side"] / 2 - 120) < 30
    assert abs(right["left"] + right["side"] / 2 - 380) < 30
    said = capsys.readouterr().out
    assert f"{tmp_path / 'meadow.png'}: no face found" in said
    line = next(line.split() for line in said.splitlines() if line.startswith(str(tmp_path / "a")))
    assert line[1:4] == [
        f"{left['left']},{left['top']},{left['side']}",
        left["emotion"],
        f"{left['confidence']:.2f}",
    ]
    assert line[4:] == [f"{value:.2f}" for value in left["probabilities"].values()]
    copies = sorted(path.name for path in (tmp_path / "copies").iterdir())
    assert copies == ["two_emotions.png", "two_emotions_2.png"]
    with Image.open(tmp_path / "copies" / copies[0]) as copy:
        assert copy.size == (500, 260)


def test_the_second_guess_is_named_on_request():
    face = Prediction(Square(0, 0, 9), [0.1, 0.0, 0.2, 0.4, 0.0, 0.3, 0.0])
    assert face.label(1) == "happy 0.40"
    assert face.label(2) == "happy 0.40, surprise 0.30"


def test_uncertain_faces_are_faded_in_the_copies(tmp_path):
    path = put(tmp_path / "grey.png", np.full((500, 600), 128, np.uint8))
    found = [
        Prediction(Square(20, 100, 200), [0.0, 0.0, 0.0, 0.9, 0.1, 0.0, 0.0]),
        Prediction(Square(300, 100, 200), [0.45, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05]),
    ]
    for guesses, name in ((1, "one"), (2, "two")):
        write_copies(tmp_path / name, {path: found}, guesses=guesses)
    one, two = (Image.open(tmp_path / name / "grey_emotions.png") for name in ("one", "two"))
    happy, angry = (one.getpixel((left, 250)) for left in (20, 300))
    assert happy == ImageColor.getrgb(EMOTION_COLOURS["happy"])
    assert sum(angry) > sum(ImageColor.getrgb(EMOTION_COLOURS["angry"]))
    assert one.getpixel((180, 95)) == (128, 128, 128) != two.getpixel((180, 95))  # a longer label


def test_a_copy_overwrites_no_image(tmp_path):
    names = ("a.png", "a_emotions.png")
    paths = [put(tmp_path / name, np.full((60, 60), 128, np.uint8)) for name in names]
    before = paths[1].read_bytes()
    face = Prediction(Square(0, 0, 60), [0.0, 0.0, 0.0, 0.9, 0.1, 0.0, 0.0])
    written = write_copies(tmp_path / "." / "x" / "..", {path: [face] for path in paths})
    assert [path.name for path in written] == ["a_emotions_2.png", "a_emotions_emotions.png"]
    assert paths[1].read_bytes() == before


def test_a_file_that_is_no_image_is_named_and_the_rest_goes_on(tmp_path, ckpt, faces, capsys):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    good = put(tmp_path / "good.png", faces[0])
    given = [tmp_path / "notes.txt", good, tmp_path / "empty", tmp_path / "none.png"]
    with pytest.raises(ImageError, match="3 of 4 images could not be used"):
        predictions(ckpt, tmp_path, "--no_detect", *given)
    written = json.loads((tmp_path / "answers" / "out.json").read_text())
    assert [image["image"] for image in written["images"]] == [str(good)]
    unusable = {item["image"]: item["reason"] for item in written["unusable"]}
    assert set(unusable) == {str(path) for path in given if path != good}
    captured = capsys.readouterr()
    assert str(good) in captured.out
    assert all(reason in captured.err for reason in unusable.values())


def test_a_name_with_line_ends_takes_one_line(tmp_path, ckpt, capsys):
    (tmp_path / "not\nan.png").touch()
    put(tmp_path / "no\nface.png", np.full((60, 60), 128, np.uint8))
    with pytest.raises(ImageError):
        predictions(ckpt, tmp_path, tmp_path)
    said = capsys.readouterr()
    assert r"/no\nface.png: no face found" in said.out
    assert r"/not\nan.png: not an image" in said.err and said.err.count("\n") == 1


def test_the_json_overwrites_no_image(tmp_path, ckpt, faces):
    (tmp_path / "answers").mkdir()
    good = put(tmp_path / "answers" / "good.png", faces[0])
    good = good.rename(good.with_name("out.json"))  # Pillow does not look at the name
    with pytest.raises(common.ToolError, match=r"--json .*out\.json: that is one of the images"):
        predictions(ckpt, tmp_path, "--no_detect", good)
    assert good.read_bytes().startswith(b"\x89PNG")


def test_nothing_but_failures_still_answers(tmp_path, ckpt):
    with pytest.raises(ImageError, match="1 of 1"):
        predictions(ckpt, tmp_path, "--no_detect", tmp_path / "none.png")
    assert json.loads((tmp_path / "answers" / "out.json").read_text())["images"] == []


def test_opencv_is_needed_only_to_find_faces(tmp_path, ckpt, faces, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    good = put(tmp_path / "good.png", faces[0])
    assert len(predictions(ckpt, tmp_path, "--no_detect", good)) == 1
    with pytest.raises(common.ToolError, match="opencv-python-headless"):
        predictions(ckpt, tmp_path, good)


def test_a_network_without_finite_answers_is_refused(tmp_path, weights, faces):
    path = tmp_path / "broken.ckpt"
    save_weights(path, {**weights, "head.bias": np.full(7, np.nan, np.float32)}, {})
    with pytest.raises(common.ToolError, match="not finite"):
        predictions(path, tmp_path, "--no_detect", put(tmp_path / "good.png", faces[0]))


def test_exit_codes(tmp_path, ckpt, faces):
    good = put(tmp_path / "good.png", faces[0])
    odd = tmp_path / os.fsdecode(b"od\xff.png")  # a name that is no UTF-8
    odd.write_bytes(good.read_bytes())
    script = "tools/predict.py"
    some = runs.call("--ckpt", ckpt, "--no-detect", good, odd, ckpt, cwd=tmp_path, script=script)
    assert some.returncode == 1
    assert str(good) in some.stdout and r"od\udcff.png" in some.stdout
    assert some.stderr.splitlines() == [
        f"predict.py: {ckpt}: not an image, expected one of BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP",
        "predict.py: 1 of 3 images could not be used",
    ]
    none = runs.call("--ckpt", tmp_path / "none.ckpt", good, cwd=tmp_path, script=script)
    assert none.returncode == 2
    assert none.stderr == f"predict.py: {tmp_path / 'none.ckpt'}: no such file or directory\n"
