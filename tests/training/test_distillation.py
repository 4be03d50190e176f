"""Runs with teachers: checked before the start, told apart by content, resumed bit for bit."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ferspore.files import file_sha256
from ferspore.network.resnet import build_network
from ferspore.run.asked import RefusalError
from ferspore.run.names import LOCK, METRICS, sidecar_path
from ferspore.run.sidecar import read_sidecar
from ferspore.training.setup import architecture_in
from tests import runs
from tests.same_run import differences

EPOCHS = 3
LAST = f"fer-{EPOCHS}_4.ckpt"


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


def save_teacher(path, width, *, face_size=48, bias=0.0):
    """Weights of a net of another size than the student's."""
    config = runs.given(None, model__width=width, model__blocks=[1, 2]).config
    network = build_network(architecture_in(config), seed=width)
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    weights["head.bias"] = weights["head.bias"] + np.float32(bias)
    runs.save_weights(path, weights, {"face_size": face_size})
    return str(path)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Two files, as a configuration names them."""
    folder = tmp_path_factory.mktemp("teachers")
    return [save_teacher(folder / f"{width}.ckpt", width) for width in (4, 12)]


def settings(paths):
    """With a final phase, which a run must resume into and within as exactly."""
    return dict(
        training__teachers=paths, training__teacher_weight=0.7, training__teacher_temperature=2,
        training__epochs=EPOCHS, final_phase__epochs=2,
        checkpoint__save_checkpoint_steps=2, checkpoint__keep_checkpoint_max=99,
    )  # fmt: skip


@pytest.fixture(scope="module")
def straight(csv, teachers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight") / "run"
    code, lines = runs.train(folder, csv, **settings(teachers))
    assert code == 0 and sum("no sidecar" in line for line in lines) == len(teachers)
    return folder


@pytest.fixture
def stopped(straight, tmp_path):
    """A copy of the straight run as it stood within its first epoch."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for suffix in (".ckpt", ".json"):
        shutil.copy(straight / f"fer-1_2{suffix}", folder)
    return folder


def test_a_resumed_student_is_the_same_bit_for_bit_also_with_moved_teachers(
    csv, teachers, straight, stopped, tmp_path
):
    moved = [shutil.copy(path, tmp_path) for path in teachers]
    code, lines = runs.train(stopped, csv, resume="auto", **settings(moved))
    assert code == 0 and "at epoch 1, step 2/4" in "\n".join(lines)
    models = ("best_model", "final_model")
    names = [LAST, METRICS, *(name + end for name in models for end in (".ckpt", ".json"))]
    assert not list(differences(stopped, straight, names))


def test_weight_and_temperature_are_those_of_the_configuration(straight):
    """Untrained nets have a cross-entropy of about log 7, which enters the loss as labels with 0.3
    and as answers with 0.7 T^2."""
    first = read_sidecar(straight / LAST).history[0]["loss"]
    assert first == pytest.approx((0.3 + 0.7 * 2**2) * np.log(7), rel=0.15)


def test_the_sidecars_hold_the_teachers_digests_and_the_models_no_path(straight, teachers):
    digests = [file_sha256(Path(path)) for path in teachers]
    snapshot = read_sidecar(straight / LAST)
    assert (snapshot.teachers, snapshot.config["training"]["teachers"]) == (digests, teachers)
    for name in ("best_model.ckpt", "final_model.ckpt"):
        model = read_sidecar(straight / name)
        assert model.teachers == digests
        assert model.config["training"]["teachers"] == ["4.ckpt", "12.ckpt"]
        assert str(straight.parent.parent) not in sidecar_path(straight / name).read_text()


# --- refused before anything is written -----------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cut short"),
        (lambda path: path.write_text("text"), "not a MindSpore checkpoint"),
        (lambda path: runs.save_weights(path, {"w": np.ones(2)}, {}), "no network of ours"),
        (lambda path: sidecar_path(path).write_text("{}"), "sidecar"),
        (lambda path: save_teacher(path, 4, face_size=24), "faces of 24x24 pixels"),
        (lambda path: save_teacher(path, 4, bias=np.nan), r"not finite, in head\.bias"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(csv, teachers, tmp_path, spoil, told):
    path = tmp_path / "bad.ckpt"
    shutil.copy(teachers[0], path)
    spoil(path)
    with pytest.raises(RefusalError, match=told) as refused:
        runs.train(tmp_path / "run", csv, **settings([teachers[1], str(path)]))
    text = str(refused.value)
    assert text.startswith(f"training.teachers: {path}: ") and "\n" not in text
    assert not (tmp_path / "run").exists()


@pytest.fixture
def kept(stopped):
    """The stopped run, which must stay as it is."""
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    yield stopped
    (stopped / LOCK).unlink()
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before


def test_another_teacher_is_refused_on_a_resume(csv, teachers, kept):
    now, then = (file_sha256(Path(teachers[i]))[:12] for i in (1, 0))
    with pytest.raises(RefusalError) as refused:
        runs.train(kept, csv, resume="auto", **settings(teachers[::-1]))
    assert str(refused.value) == (
        f"training.teachers: {teachers[1]}: its sha256 is {now}...; the run has the teacher with "
        f"sha256 {then}..."
    )


def test_a_missing_teacher_is_named_on_a_resume(csv, teachers, kept, tmp_path):
    gone = str(tmp_path / "gone.ckpt")
    with pytest.raises(RefusalError) as refused:
        runs.train(kept, csv, resume="auto", **settings([gone, teachers[1]]))
    assert str(refused.value) == (
        f"training.teachers: {gone}: No such file or directory; the run has the teacher with "
        f"sha256 {file_sha256(Path(teachers[0]))[:12]}..."
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_teachers_is_refused_on_a_resume(csv, teachers, kept, count):
    with pytest.raises(RefusalError, match=f"the run has 2 teachers, received {count}; they def"):
        runs.train(kept, csv, resume="auto", **settings([*teachers, teachers[0]][:count]))
