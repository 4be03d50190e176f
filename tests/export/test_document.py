"""The program in docs/export.md runs, and names the emotion that the checkpoint gives the face."""

import re
import shutil

from PIL import Image

from ferspore.labels import EMOTIONS
from tests.runs import ROOT


def test_the_program_names_the_emotion(small, exported, tmp_path, monkeypatch, capsys):
    (program,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    shutil.copy(exported.path, "models/best_model.onnx")
    face = small.table.splits["PublicTest"].images[:1]
    Image.fromarray(face[0]).save("face.png")
    exec(program, {})
    emotion, probability = capsys.readouterr().out.split()
    assert emotion == EMOTIONS[small.evaluator.logits(face)[0].argmax()]
    assert 1 / 7 < float(probability) <= 1


def test_every_text_of_a_file_is_described(exported):
    page = (ROOT / "docs/export.md").read_text()
    keys = re.search(r"\| key \|.*?\n\n", page, re.DOTALL)[0]
    assert set(exported.metadata) <= set(re.findall(r"`(\w+)`", keys))
