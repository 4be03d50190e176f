"""An exported ONNX file answers as its checkpoint; one that does not is never published."""

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from ferspore.cli import common, export
from ferspore.data.resize import resize
from ferspore.evaluation.probes import probes
from ferspore.evaluation.scores import softmax
from ferspore.export.onnx_model import MissingPackageError, require_packages
from ferspore.export.parity import LIMIT, ParityError, publish
from ferspore.export.source import Source, _usage
from ferspore.files import file_sha256
from ferspore.labels import EMOTIONS
from tests.cli.calls import work
from tests.export.conftest import FACE_SIZE


@pytest.fixture(scope="module")
def session(exported):
    """As another program opens the file."""
    return onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("count", [1, 5, 300])
def test_any_number_of_faces_gets_the_logits_of_the_checkpoint(count, session, small):
    images = np.random.default_rng(count).integers(0, 256, (count, 48, 48), np.uint8)
    faces = resize(images, FACE_SIZE)[:, None].astype(np.float32)
    logits, probabilities = session.run(["logits", "probabilities"], {"faces": faces})
    expected = small.evaluator.logits(images)
    assert np.abs(logits - expected).max() <= LIMIT
    np.testing.assert_allclose(probabilities, softmax(expected), atol=LIMIT)


def test_it_says_what_it_takes_and_gives(session):
    ends = {one.name: (one.type, one.shape) for one in session.get_inputs() + session.get_outputs()}
    assert ends == {
        "faces": ("tensor(float)", ["batch", 1, FACE_SIZE, FACE_SIZE]),
        "logits": ("tensor(float)", ["batch", 7]),
        "probabilities": ("tensor(float)", ["batch", 7]),
    }


def test_it_tells_its_origin(session, small, exported):
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["labels"]) == list(EMOTIONS)
    assert (told["face_size"], told["mean"], told["deviation"]) == ("16", "127.5", "64.0")
    assert (float(told["accuracy"]), told["epoch"]) == (small.accuracy, "3")
    assert told["checkpoint_sha256"] == file_sha256(small.ckpt)
    assert "0 to 255" in told["input"]
    assert str(small.ckpt.parent) not in exported.path.read_bytes().decode("latin-1")


def test_the_command_writes_the_same_bytes_as_often_as_it_is_called(
    exported, small, tmp_path, capsys
):
    umask = os.umask(0o022)
    try:
        work(export, "--ckpt", small.ckpt, "--output", tmp_path / "new")
    finally:
        os.umask(umask)
    written = tmp_path / "new" / "small.onnx"
    assert written.read_bytes() == exported.path.read_bytes()
    assert written.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in written.parent.iterdir()] == ["small.onnx"]
    said = capsys.readouterr().out
    assert f"{exported.difference:.1e} from the checkpoint's" in said and f"-> {written}" in said


# --- what is refused ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(small):
    return small.evaluator.logits(probes())


def answers(expected, *, apart, alone):
    """What a file would say of the probes, ``apart`` from the checkpoint: of all at once, then
    ``alone`` of each."""
    rows = iter(expected[:, None])
    return lambda faces: next(rows) + alone if len(faces) == 1 else expected + apart


@pytest.mark.parametrize(
    ("apart", "alone"), [(2 * LIMIT, 0), (-2 * LIMIT, 0), (0, 2 * LIMIT), (0, np.nan), (np.inf, 0)]
)
def test_nothing_is_published_above_the_limit(apart, alone, expected, small, tmp_path):
    def load(path):
        assert path.read_bytes() == b"new"
        return answers(expected, apart=np.float32(apart), alone=np.float32(alone))

    output, source = tmp_path / "model.onnx", Source(small.evaluator, {}, [])
    output.write_bytes(b"old")
    with pytest.raises(ParityError, match="from the checkpoint's, expected at most 1e-05"):
        publish(b"new", output, source, load, LIMIT)
    assert output.read_bytes() == b"old" and list(tmp_path.iterdir()) == [output]
    if np.isfinite(apart + alone):
        published = publish(b"new", output, source, load, 3 * LIMIT)
        assert published.difference == pytest.approx(2 * LIMIT, rel=0.1)
        assert output.read_bytes() == b"new" and list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("config", [{}, {"data": None}, {"data": 5}])
def test_a_forged_configuration_tells_no_usage(config):
    assert _usage(SimpleNamespace(config=config)) is None


def test_a_place_that_cannot_be_taken_leaves_nothing(expected, small, tmp_path):
    output, source = tmp_path / "model.onnx", Source(small.evaluator, {}, [])
    output.mkdir()
    with pytest.raises(IsADirectoryError):
        publish(b"new", output, source, lambda _: answers(expected, apart=0, alone=0), LIMIT)
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--int8"], "--int8 and --csv: expected both or neither"),
        (["--csv", "practice"], "--int8 and --csv: expected both or neither"),
        (
            ["--int8", "--csv", "practice", "--format", "mindir"],
            "8-bit nets are written as onnx only",
        ),
        (["--ckpt", "no_such.ckpt"], "no_such.ckpt: no such file"),
    ],
)
def test_misuse_is_told(words, said):
    with pytest.raises(common.ToolError, match=said):
        work(export, *words)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_gets_it(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)  # Python's own way to refuse an import
    with pytest.raises(MissingPackageError, match=rf"{package}.*python -m pip install 'onnx>"):
        require_packages()
    with pytest.raises(common.ToolError, match="python -m pip install"):
        work(export, "--output", tmp_path / "new")
    assert not (tmp_path / "new").exists()
