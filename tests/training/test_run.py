"""A whole small run writes what the design says, and refuses what it should."""

import json
import os

import numpy as np
import pytest
import yaml

from ferspore.config.schema import ConfigError
from ferspore.data.csv import DataError, load_csv
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.run.asked import RefusalError
from ferspore.run.ckpt import not_finite, read_ckpt
from ferspore.run.folder import list_snapshots, read_snapshot
from ferspore.run.sidecar import read_sound
from tests import runs


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.fixture(scope="module")
def finished(csv, tmp_path_factory):
    """A run of three epochs that keeps two snapshots: (folder, lines)."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    code, lines = runs.train(folder, csv, training__epochs=3, checkpoint__keep_checkpoint_max=2)
    assert code == 0
    return folder, lines


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_writes_exactly_the_files_of_the_design(finished):
    folder, _ = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        "best_model.ckpt",
        "best_model.json",
        "config.yaml",
        "fer-2_4.ckpt",
        "fer-2_4.json",
        "fer-3_4.ckpt",
        "fer-3_4.json",
        "final_model.ckpt",
        "final_model.json",
        "metrics.jsonl",
        "run.lock",
    ]


def test_best_sidecar_is_the_best_line_of_the_metrics(finished):
    folder, lines = finished
    records = metrics(folder)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    best = max(records, key=lambda record: (record["val_accuracy"], -record["epoch"]))
    sidecar = json.loads((folder / "best_model.json").read_text())
    assert sidecar["best_accuracy"] == best["val_accuracy"]
    assert sidecar["best_epoch"] == sidecar["epoch"] == best["epoch"]
    assert sidecar["val_loss"] == best["val_loss"]
    assert (
        f"New best val_accuracy {best['val_accuracy']:.4f} at epoch {best['epoch']}"
        in "\n".join(lines)
    )


def test_the_training_accuracy_is_that_of_the_first_faces_as_they_are(finished, csv):
    folder, _ = finished
    faces = load_csv(csv, ("Training",), cache=False).splits["Training"]  # fewer than SEEN_FACES
    evaluator, _ = load_evaluator(folder / "best_model.ckpt")
    best = next(line for line in reversed(metrics(folder)) if line["best"])
    assert best["train_accuracy"] == evaluator.score(faces).accuracy


def test_best_accuracy_stands_inside_the_file_and_is_measured_again(finished, csv):
    folder, _ = finished
    contents, sidecar = read_sound(folder / "best_model.ckpt")
    assert contents.info["best_accuracy"] == sidecar.best_accuracy
    assert contents.info["best_epoch"] == sidecar.best_epoch
    evaluator, lines = load_evaluator(folder / "best_model.ckpt")
    table = load_csv(csv, ("PublicTest",))
    scores = evaluator.score(table.splits["PublicTest"])
    assert scores.count == 37 and lines == []
    assert scores.accuracy == sidecar.best_accuracy
    assert scores.loss == pytest.approx(sidecar.val_loss, abs=1e-12)


def test_sidecars_of_models_name_no_path(finished, csv):
    folder, _ = finished
    for name in ("best_model.json", "final_model.json"):
        assert str(csv.parent) not in (folder / name).read_text()
        assert json.loads((folder / name).read_text())["data"]["csv"] == csv.name


def test_a_model_holds_weights_only_and_a_snapshot_everything(finished):
    folder, _ = finished
    model = read_ckpt(folder / "final_model.ckpt").tensors
    snapshot = read_ckpt(folder / "fer-3_4.ckpt").tensors
    assert not [name for name in model if name.startswith(("accum.", "ema."))]
    for name, value in model.items():
        averaged = snapshot.get("ema." + name, snapshot.get(name))
        np.testing.assert_array_equal(value, averaged)
    assert int(snapshot["global_step"].item()) == 12
    assert any(name.startswith("accum.") for name in snapshot)


def test_normalisation_is_that_of_the_training_split(finished, csv):
    folder, _ = finished
    images = load_csv(csv, ("Training",)).splits["Training"].images
    tensors = read_ckpt(folder / "best_model.ckpt").tensors
    assert tensors["normalize.mean"].item() == pytest.approx(images.mean(), rel=1e-6)
    assert tensors["normalize.deviation"].item() == pytest.approx(images.std(), rel=1e-6)


def test_without_a_sidecar_the_net_is_built_from_the_shapes(finished, csv, tmp_path):
    folder, _ = finished
    bare = tmp_path / "anything.ckpt"
    bare.write_bytes((folder / "best_model.ckpt").read_bytes())
    faces = load_csv(csv, ("PublicTest",)).splits["PublicTest"]
    with_sidecar, _ = load_evaluator(folder / "best_model.ckpt")
    without, lines = load_evaluator(bare)
    np.testing.assert_array_equal(without.logits(faces.images), with_sidecar.logits(faces.images))
    assert "no sidecar" in lines[0]


def test_logits_do_not_depend_on_how_the_faces_are_batched(finished, csv):
    evaluator, _ = load_evaluator(finished[0] / "best_model.ckpt")
    images = load_csv(csv, ("PublicTest",)).splits["PublicTest"].images
    many = np.concatenate([images] * 8)  # 296 faces: one full batch and a part of one
    logits = evaluator.logits(many)
    np.testing.assert_allclose(logits[:37], evaluator.logits(images), atol=1e-5)
    np.testing.assert_allclose(logits[259:], evaluator.logits(images), atol=1e-5)
    mirrored = evaluator.logits(images[:, :, ::-1])
    np.testing.assert_allclose(
        evaluator.logits(images, tta="flip"), (logits[:37] + mirrored) / 2, atol=1e-5
    )


def test_mindspore_loads_our_files(finished):
    import mindspore

    path = finished[0] / "best_model.ckpt"
    theirs, ours = mindspore.load_checkpoint(str(path)), read_ckpt(path)
    assert set(theirs) == set(ours.tensors) | set(ours.info)
    for name, value in ours.tensors.items():
        np.testing.assert_array_equal(theirs[name].asnumpy(), value)


def test_config_of_the_folder_is_the_whole_configuration(finished):
    values = yaml.safe_load((finished[0] / "config.yaml").read_text())
    assert values["training"]["epochs"] == 3 and values["model"]["blocks"] == [1, 1]
    assert values == runs.load_config(finished[0] / "config.yaml").config.to_dict()


def test_a_finished_run_says_so_and_changes_nothing(finished):
    folder, _ = finished
    before = {path.name: path.read_bytes() for path in folder.glob("*.ckpt")}
    code, lines = runs.train(folder, None, resume="auto")
    assert code == 0 and "already finished: 3 epochs" in "\n".join(lines)
    assert {path.name: path.read_bytes() for path in folder.glob("*.ckpt")} == before


def test_a_folder_with_a_run_is_not_touched_without_resume(finished, csv):
    folder, _ = finished
    before = sorted((p.name, p.stat().st_mtime_ns) for p in folder.iterdir() if p.suffix != ".lock")
    with pytest.raises(RefusalError, match="already holds a run: --resume continues it"):
        runs.train(folder, csv)
    after = sorted((p.name, p.stat().st_mtime_ns) for p in folder.iterdir() if p.suffix != ".lock")
    assert after == before


def test_private_test_changes_nothing(finished, csv, tmp_path):
    """Other PrivateTest faces and labels, the same run."""
    altered = tmp_path / "altered.csv"
    altered.write_text("\n".join(map(inverted, csv.read_text().splitlines())) + "\n")
    assert altered.read_text() != csv.read_text()
    code, _ = runs.train(
        tmp_path / "run", altered, training__epochs=3, checkpoint__keep_checkpoint_max=2
    )
    assert code == 0
    for name in ("best_model.ckpt", "final_model.ckpt", "fer-3_4.ckpt"):
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / name).read_bytes()


def inverted(line: str) -> str:
    emotion, pixels, usage = line.split(",")
    if usage != "PrivateTest":
        return line
    negative = " ".join(str(255 - int(pixel)) for pixel in pixels.split())
    return f"{(int(emotion) + 1) % 7},{negative},{usage}"


def test_weights_that_diverge_at_an_epoch_s_last_step_are_never_a_snapshot(csv, tmp_path):
    """The loss is that of the weights before the step: it is finite, they are not any more."""
    folder = tmp_path / "run"
    code, lines = runs.train(
        folder, csv, training__batch_size=70, training__lr=1e30, training__warmup_epochs=0,
        checkpoint__keep_checkpoint_max=1, training__epochs=4,
    )  # fmt: skip
    assert code == 1 and "try a lower --lr (now 1e+30)" in lines[-1]
    assert "not finite" in lines[-1] or "the loss is" in lines[-1]
    for path in folder.glob("*.ckpt"):
        assert not not_finite(read_ckpt(path).tensors)


def test_val_loss_as_the_monitor_and_early_stopping(csv, tmp_path):
    folder = tmp_path / "run"
    code, lines = runs.train(
        folder, csv, training__epochs=8, training__monitor="val_loss", training__patience=1,
        training__lr=3.0, training__ema_decay=0,
    )  # fmt: skip
    records = metrics(folder)
    losses = [record["val_loss"] for record in records]
    assert code == 0 and len(records) < 8
    assert losses[-1] >= min(losses[:-1]) and "stopped early" in "\n".join(lines)
    sidecar = json.loads((folder / "best_model.json").read_text())
    assert sidecar["val_loss"] == min(losses)
    best = records[losses.index(min(losses))]
    told = f"val_loss {best['val_loss']:.4f}"
    said = f"accuracy {best['val_accuracy']:.4f}"
    assert any(line.startswith(f"New best {told} ({said}) at epoch") for line in lines)
    assert f"best {told}, {said} at epoch {best['epoch']}" in "\n".join(lines[-6:])


@pytest.mark.parametrize("every", [1, 3])
def test_a_loss_that_is_not_finite_stops_the_run(csv, tmp_path, every):
    folder = tmp_path / "run"
    code, lines = runs.train(
        folder, csv, training__epochs=3, training__lr=1e30, training__warmup_epochs=0,
        checkpoint__save_checkpoint_steps=every, training__losses_every=every,
    )  # fmt: skip
    assert code == 1
    assert "stopped: the loss is" in lines[-1] or "not finite" in lines[-1]
    assert "snapshot" in lines[-1] and "try a lower --lr (now 1e+30)" in lines[-1]
    assert not (folder / "final_model.ckpt").exists()


def test_mid_epoch_snapshots_roll(csv, tmp_path):
    folder = tmp_path / "run"
    runs.train(folder, csv, checkpoint__save_checkpoint_steps=3, checkpoint__keep_checkpoint_max=3)
    names = [path.name for path in list_snapshots(folder)]
    assert names == ["fer-1_4.ckpt", "fer-2_2.ckpt", "fer-2_4.ckpt"]
    assert all(read_snapshot(folder / name) for name in names)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training__batch_size": 71}, "training.batch_size: received 71, more than the 70 faces"),
        ({"training__amp_level": "O2"}, "mixed precision is for GPU and Ascend"),
        ({"data__csv": None}, "--data_csv fer2013.csv names one"),
    ],
)
def test_refusals(csv, tmp_path, changes, told):
    with pytest.raises(ConfigError, match=told):
        runs.train(tmp_path / "run", csv, **changes)
    assert not (tmp_path / "run").exists()


def test_a_missing_csv_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        runs.train(tmp_path / "run", tmp_path / "nowhere.csv")


def test_a_missing_device_is_one_line_and_exit_code_2(csv, tmp_path):
    result = runs.call("--data_csv", csv, "--device_target", "Ascend", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "Ascend is not available" in line and "available: CPU" in line


def test_init_from_takes_weights_only(finished, csv, tmp_path):
    code, lines = runs.train(
        tmp_path / "run", csv, init_from=finished[0] / "best_model.ckpt", training__epochs=1,
        training__lr=1e-12, training__ema_decay=0,
    )  # fmt: skip
    assert code == 0 and "a new optimizer" in "\n".join(lines)
    old = read_ckpt(finished[0] / "best_model.ckpt").tensors
    new = read_ckpt(tmp_path / "run" / "final_model.ckpt").tensors
    np.testing.assert_allclose(new["head.weight"], old["head.weight"], atol=1e-6)
    assert read_ckpt(tmp_path / "run" / "fer-1_4.ckpt").tensors["global_step"].item() == 4


def test_init_from_another_net_names_the_keys_and_the_first_tensors(finished, csv, tmp_path):
    with pytest.raises(RefusalError) as caught:
        runs.train(
            tmp_path / "run", csv, init_from=finished[0] / "best_model.ckpt", model__width=16
        )
    first, *lines, last = str(caught.value).splitlines()
    assert first == f"--init_from {finished[0] / 'best_model.ckpt'}: another net:"
    assert lines[:2] == [
        "  model.width is 8 there, 16 here",
        "  stem.0.weight has the shape (8, 1, 3, 3), expected (16, 1, 3, 3)",
    ]
    same = {"normalize.mean", "normalize.deviation", "head.bias"}
    different = read_ckpt(finished[0] / "best_model.ckpt").tensors.keys() - same
    assert len(lines) == 4 and last == f"  and {len(different) - 3} more"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_line(csv, tmp_path):
    tmp_path.chmod(0o555)
    result = runs.call(*runs.settings_words(csv), "--save_dir", tmp_path / "run", cwd=tmp_path)
    tmp_path.chmod(0o755)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
