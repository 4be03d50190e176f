"""Stages: hand-over checked before the first starts, each resumable, finished ones passed over."""

import json
import shutil

import mindspore
import numpy as np
import pytest
import yaml

from ferspore.cli import training as command_line
from ferspore.config.loading import Override, load_config, stage_config
from ferspore.config.schema import ConfigError
from ferspore.data.resize import resize
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.network.resnet import build_network
from ferspore.run.asked import Asked, RefusalError
from ferspore.run.ckpt import read_ckpt
from ferspore.run.folder import read_snapshot
from ferspore.training.setup import architecture_in
from ferspore.training.stages import check_hand_overs
from tests import runs
from tests.same_run import differences

STAGES = [
    {
        "name": "small",
        "data": {"face_size": 24},
        "training": {"epochs": 2},
        "augment": {"shift": 2},
    },
    {"name": "full", "init_from": "small", "training": {"lr": 1e-12, "ema_decay": 0}},
]


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


def given(csv, tmp_path, stages):
    """As a user gives them: the run in a file with stages, so that their keys have an origin."""
    loaded = runs.given(csv)
    path = tmp_path / "staged.yaml"
    path.write_text(yaml.safe_dump({**loaded.config.to_dict(), "stages": stages}))
    return load_config(path)


def staged(folder, loaded, *, resume=None, only=None):
    lines = []
    asked = Asked(folder, loaded, resume, only, only is None)
    return command_line.train(asked, lines.append), "\n".join(lines)


@pytest.fixture(scope="module")
def straight(csv, tmp_path_factory):
    """Both stages, never stopped: the folder, and what was said."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    code, text = staged(folder, given(csv, folder.parent, STAGES))
    assert code == 0
    return folder, text


@pytest.fixture
def copied(straight, tmp_path):
    return shutil.copytree(straight[0], tmp_path / "run")


def delete(*paths):
    for path in paths:
        path.unlink()


def test_all_stages_run_hand_over_and_are_passed_over_when_finished(straight):
    folder, text = straight
    assert "stage small (1 of 2)" in text and "stage full (2 of 2)" in text
    small, full = (
        json.loads((folder / s / "best_model.json").read_text()) for s in ("small", "full")
    )
    assert small["config"]["data"]["face_size"] == 24 and full["config"]["data"]["face_size"] == 48
    first = read_snapshot(folder / "full" / "fer-1_4.ckpt")
    assert first.sidecar.stage == "full"
    handed = read_ckpt(folder / "small" / "best_model.ckpt").tensors
    np.testing.assert_allclose(first.tensors["stem.0.weight"], handed["stem.0.weight"], atol=1e-7)

    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/*.ckpt")}
    code, text = staged(folder, load_config(None), resume="auto")
    assert code == 0 and text.count("already finished") == 2
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*/*.ckpt")} == before


def test_a_stop_in_the_second_stage_goes_on_there(straight, copied):
    delete(*(copied / "full").glob("fer-2*"), *(copied / "full").glob("final*"))
    code, text = staged(copied, load_config(None), resume="auto")
    assert code == 0 and text.count("already finished") == 1
    assert "at epoch 1, step 4/4" in text
    assert not list(differences(copied / "full", straight[0] / "full"))


def test_a_stop_in_the_first_stage_goes_on_through_all(straight, copied):
    """As it was after the first stage's first snapshot; the second had not begun."""
    shutil.rmtree(copied / "full")
    delete(*(copied / "small").glob("fer-2*"), *(copied / "small").glob("final*"))
    code, lines = runs.train(copied, None, resume="auto")  # without --run_all_stages
    text = "\n".join(lines)
    assert code == 0 and "at epoch 1, step 4/4" in text and "stage full (2 of 2)" in text
    for stage in ("small", "full"):
        assert not list(differences(copied / stage, straight[0] / stage))


def test_what_is_given_for_one_stage_leaves_the_others(copied):
    kept = (copied / "config.yaml").read_bytes()
    small = {path.name: path.read_bytes() for path in (copied / "small").glob("*.*")}
    longer = load_config(None, [Override("training.epochs", 3, "--epochs")])
    assert staged(copied, longer, resume="auto", only="full")[0] == 0
    assert len((copied / "full" / "metrics.jsonl").read_text().splitlines()) == 3
    assert (copied / "config.yaml").read_bytes() == kept
    code, text = staged(copied, load_config(None), resume="auto")
    assert code == 0 and text.count("already finished") == 2
    assert {path.name: path.read_bytes() for path in (copied / "small").glob("*.*")} == small


def test_a_hand_over_that_cannot_be_is_refused_before_the_first_stage(csv, tmp_path):
    stages = [STAGES[0], {"name": "full", "init_from": "small", "model": {"width": 16}}]
    with pytest.raises(ConfigError) as caught:
        staged(tmp_path / "run", given(csv, tmp_path, stages))
    first, second, *_ = str(caught.value).splitlines()
    assert first == "stage full from small: another net:"
    assert second == "  model.width is 8 there, 16 here"
    assert not (tmp_path / "run").exists()


def test_teachers_that_are_not_there_are_refused_before_the_first_stage(csv, tmp_path):
    stages = [STAGES[0], {"name": "full", "training": {"teachers": ["gone.ckpt"]}}]
    with pytest.raises(RefusalError, match=r"stage full: training\.teachers: gone\.ckpt: No such"):
        staged(tmp_path / "run", given(csv, tmp_path, stages))
    assert not (tmp_path / "run").exists()


def test_one_stage_by_name_and_an_unknown_one(csv, tmp_path):
    loaded = given(csv, tmp_path, STAGES)
    assert staged(tmp_path / "run", loaded, only="small")[0] == 0
    assert not (tmp_path / "run" / "full").exists()
    with pytest.raises(ConfigError, match="expected one of: small, full"):
        staged(tmp_path / "run", loaded, only="smal", resume="auto")


def test_without_stages_it_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the configuration has none"):
        staged(tmp_path / "run", load_config(None, [Override("seed", 2, "--seed")]))


def test_a_model_of_small_faces_judges_full_ones(straight):
    evaluator, _ = load_evaluator(straight[0] / "small" / "best_model.ckpt")
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    np.testing.assert_array_equal(evaluator.logits(faces), evaluator.logits(resize(faces, 24)))


@pytest.mark.parametrize(
    "path", sorted((runs.ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_shipped_configuration_builds(path, tmp_path):
    config = load_config(path).config
    for part in (config, *(stage_config(config, stage.name) for stage in config.stages)):
        size = part.data.face_size
        faces = mindspore.Tensor(np.zeros((1, 1, size, size), np.float32))
        network = build_network(architecture_in(part), part.seed)
        network.set_train(False)
        assert network(faces).shape == (1, 7)
    check_hand_overs(config, tmp_path)
