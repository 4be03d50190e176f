"""Folders that plain MindSpore wrote with our network are resumed for what they hold."""

import os

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn

from ferspore.data.csv import load_csv
from ferspore.network.resnet import Architecture, build_network
from ferspore.run.asked import RefusalError
from ferspore.run.ckpt import read_ckpt
from ferspore.run.folder import read_snapshot
from ferspore.run.history import history_of
from ferspore.run.sidecar import read_sidecar
from tests import runs

ARCHITECTURE = Architecture("3x3", (8, 16), (1, 1), False)


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


def plain(path, *, seed, optimizer=True, age=0, **info):
    """What a script with nn.Momentum and save_checkpoint would leave behind."""
    network = build_network(ARCHITECTURE, seed)
    saved = network
    if optimizer:
        momentum = nn.Momentum(network.trainable_params(), 0.1, 0.9)
        for value in momentum.moments:
            value.set_data(Tensor(np.full(value.shape, 0.25, np.float32)))
        saved = nn.CellList([network, momentum], auto_prefix=False)
    mindspore.save_checkpoint(saved, str(path), append_dict=info or None)
    path.chmod(0o644)
    os.utime(path, (1e9 - age, 1e9 - age))
    return {parameter.name: parameter.asnumpy() for parameter in saved.get_parameters()}


@pytest.fixture
def folder(tmp_path):
    """`fer-5_4` and the later `fer_1-2_4` side by side, and a best model."""
    folder = tmp_path / "plain"
    folder.mkdir()
    plain(folder / "fer-5_4.ckpt", seed=5, age=100)
    plain(folder / "fer_1-2_4.ckpt", seed=2, age=0)
    plain(folder / "best_model.ckpt", seed=7, optimizer=False)
    return folder


def test_the_latest_by_time_goes_on_and_all_is_said(folder, csv):
    before = {path.name: path.read_bytes() for path in folder.glob("*.ckpt")}
    code, lines = runs.train(
        folder, csv, resume="auto", training__epochs=3, training__lr=1e-9,
        checkpoint__save_checkpoint_steps=1, checkpoint__keep_checkpoint_max=9,
    )  # fmt: skip
    text = "\n".join(lines)
    assert code == 0
    assert "fer_1-2_4.ckpt: a plain MindSpore checkpoint without a sidecar, the latest of 2" in text
    assert "epoch 2, step 4: from its name" in text
    assert "the moving average (it starts at the weights)" in text
    assert "the optimizer's moments" not in text
    assert "at epoch 2, step 4/4: best accuracy" in text and "1 epoch to go" in text
    first = read_snapshot(folder / "fer-3_1.ckpt")
    tensors = first.tensors
    assert first.sidecar.global_step == 9 and tensors["global_step"].item() == 9
    # The moments were taken over: one step at momentum 0.9 leaves 0.9 of them, plus a gradient.
    moments = tensors["accum.head.bias"]
    assert np.abs(moments - 0.9 * 0.25).max() < 0.2 and np.abs(moments).min() > 0.02
    assert [name for name in before if (folder / name).read_bytes() != before[name]] in (
        [],
        ["best_model.ckpt"],
    )


def test_the_best_is_measured_anew(folder, csv):
    faces = load_csv(csv, ("PublicTest",)).splits["PublicTest"]
    code, lines = runs.train(folder, csv, resume="auto", training__epochs=3, training__lr=1e-9)
    assert code == 0
    (line,) = [line for line in lines if "measured again" in line]
    measured = float(line.split("accuracy ")[1].split(";")[0])
    weights = read_ckpt(folder / "best_model.ckpt").tensors
    from ferspore.evaluation.evaluator import Evaluator

    evaluator = Evaluator(ARCHITECTURE)
    evaluator.load(weights)
    accuracy = evaluator.score(faces).accuracy
    best = read_sidecar(folder / "best_model.ckpt")
    assert best.best_accuracy == accuracy and accuracy >= round(measured, 4) - 5e-5


def test_killed_before_its_first_own_snapshot_it_is_still_plain(folder, csv):
    (folder / "config.yaml").write_text("name: x\n")
    code, lines = runs.train(folder, csv, resume="auto", training__epochs=3)
    assert code == 0 and "a plain MindSpore checkpoint" in "\n".join(lines)


def test_epoch_and_step_come_from_append_info_before_the_name(csv, tmp_path):
    plain(tmp_path / "renamed.ckpt", seed=1, epoch_num=2, step_num=7)
    plain(tmp_path / "fer-1_2.ckpt", seed=1, optimizer=False, age=9)
    code, lines = runs.train(tmp_path, csv, resume=tmp_path / "renamed.ckpt", training__epochs=3)
    text = "\n".join(lines)
    assert code == 0
    assert "epoch 2, step 3: from what it holds" in text
    first, _ = history_of(tmp_path).records  # one step of 16 faces was trained of it
    assert first["faces_per_second"] * first["seconds"] == pytest.approx(16, rel=0.1)


def test_weights_only_lists_what_is_not_restored(csv, tmp_path):
    plain(tmp_path / "fer-1_4.ckpt", seed=1, optimizer=False)
    code, lines = runs.train(tmp_path, csv, resume=tmp_path, training__epochs=2)
    text = "\n".join(lines)
    assert code == 0 and "not restored" in text and "the optimizer's moments" in text
    assert "becomes the best" in text


def test_a_longer_epoch_of_its_own_is_taken_as_done(csv, tmp_path):
    plain(tmp_path / "fer-1_5.ckpt", seed=1)
    changes = {"training__epochs": 2, "training__momentum": 0.5}  # it was trained with 0.9
    code, lines = runs.train(tmp_path, csv, resume="auto", **changes)
    assert code == 0
    assert read_snapshot(tmp_path / "fer-2_4.ckpt").tensors["momentum"] == 0.5
    assert "its epoch has 5 steps, here it has 4: epoch 1 counts as done" in "\n".join(lines)


def test_never_silently_from_zero(csv, tmp_path):
    plain(tmp_path / "weights.ckpt", seed=1)
    plain(tmp_path / "fer-1_4.ckpt", seed=1)
    with pytest.raises(RefusalError, match="gives its epoch"):
        runs.train(tmp_path, csv, resume=tmp_path / "weights.ckpt")


def test_another_net_is_refused_with_every_difference(csv, tmp_path):
    plain(tmp_path / "fer-1_4.ckpt", seed=1)
    with pytest.raises(RefusalError, match=r"stem\.0\.weight \(16, 1, 3, 3\): has the shape"):
        runs.train(tmp_path, csv, resume="auto", model__width=16)


def test_a_file_with_mindspores_crc_and_text_inside_is_read(tmp_path):
    network = build_network(ARCHITECTURE, 1)
    path = tmp_path / "fer-1_4.ckpt"
    mindspore.save_checkpoint(network, str(path), append_dict={"note": "hi"}, crc_check=True)
    tensors = read_ckpt(path).tensors
    assert set(tensors) == {parameter.name for parameter in network.get_parameters()}
