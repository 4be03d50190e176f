"""The Python interface: what it names, and that its answers are those of the network."""

import re
import subprocess
import sys

import numpy as np
import pytest

import ferspore
from ferspore.data import practice
from ferspore.data.csv import load_csv
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.run.model_of import SHIPPED, model_of
from ferspore.use.faces import cut_face
from tests.photographs import photograph
from tests.runs import ROOT, small_csv


def test_the_names_are_these():
    assert ferspore.__all__ == ["load_faces", "load_model"]
    with pytest.raises(AttributeError, match="module 'ferspore' has no attribute 'train'"):
        ferspore.train  # noqa: B018


def test_importing_it_loads_nothing():
    program = "import sys, ferspore; print({'numpy', 'mindspore'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_probabilities_are_those_of_the_network(tmp_path):
    path = small_csv(tmp_path / "faces.csv")
    faces = ferspore.load_faces(path, "PublicTest")
    expected = load_csv(path, ("PublicTest",), cache=False).splits["PublicTest"]
    assert (faces.images == expected.images).all() and (faces.labels == expected.labels).all()
    model = ferspore.load_model()
    evaluator, _ = load_evaluator(model_of(SHIPPED))
    for tta in (None, "flip"):
        logits = evaluator.logits(faces.images, tta=tta).astype(np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        found = model.predict(faces.images, tta=tta)
        np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-12)
    assert model.emotions[3] == "happy"


def test_the_example_on_the_first_page_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(practice, "COUNTS", {"Training": 7, "PublicTest": 7, "PrivateTest": 7})
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["probabilities"].shape == (7, 7)
    assert np.allclose(names["probabilities"].sum(axis=1), 1)


@pytest.mark.parametrize(
    "faces", [np.zeros((48, 48), np.uint8), np.zeros((1, 48, 48)), np.zeros((1, 64, 64), np.uint8)]
)
def test_other_arrays_are_refused(faces):
    with pytest.raises(ValueError, match=r"faces: received .*, expected uint8 \(N, 48, 48\)"):
        ferspore.load_model().predict(faces)


def test_other_views_are_refused():
    with pytest.raises(ValueError, match="tta: received 'twice', expected None or flip or 10"):
        ferspore.load_model().predict(np.zeros((1, 48, 48), np.uint8), tta="twice")


def test_the_faces_of_an_image_are_judged_as_the_command_judges_them(tmp_path):
    path = tmp_path / "photo.png"
    photograph("astronaut").save(path)
    model = ferspore.load_model()
    (face,) = model.predict_image(path)
    assert (face.emotion, face.square.angle) == ("happy", 0)
    pixels = cut_face(photograph("astronaut"), face.square)
    np.testing.assert_allclose(face.probabilities, model.predict(pixels[None])[0])
    with pytest.raises(ValueError, match="detector: received 'other', expected blazeface or"):
        model.predict_image(path, detector="other")
    with pytest.raises(OSError, match=r"none\.png: no such file"):
        model.predict_image(tmp_path / "none.png")
