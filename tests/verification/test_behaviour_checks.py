"""Predictions, and the accuracy and epoch that were recorded."""

import json
import shutil

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from ferspore.data.csv import load_csv
from ferspore.data.practice import write_practice_csv
from ferspore.evaluation.evaluator import Evaluator
from ferspore.labels import EMOTIONS
from ferspore.run.ckpt import read_ckpt
from ferspore.verification.behaviour_checks import check_accuracy, check_variety
from ferspore.verification.verifier import Verifier
from tests.runs import save_weights
from tests.verification.cases import (
    ARCHITECTURE,
    SNAPSHOT,
    failed,
    findings,
    names,
    rewrite,
    seal_again,
)


@pytest.mark.parametrize("name, level", [("best_model", "FAIL"), (SNAPSHOT[:-5], "WARN")])
def test_all_of_one_class(run, tmp_path, verifier, name, level):
    for suffix in (".ckpt", ".json"):
        shutil.copy(run / (name + suffix), tmp_path)
    path = tmp_path / f"{name}.ckpt"

    def collapse(tensors):
        for bias in ("head.bias", "ema.head.bias"):
            if bias in tensors:
                tensors[bias][EMOTIONS.index("sad")] = 1000

    rewrite(path, collapse)
    assert "'sad'" in findings(verifier.verify(path), level)["predictions"]


def test_accuracy_that_is_not_the_recorded_one(best, judge, csv):
    faces = len(load_csv(csv, ("PublicTest",)).splits["PublicTest"])
    recorded = read_ckpt(best).info["best_accuracy"]
    for apart, level in ((1, "PASS"), (2, "FAIL")):
        contents = read_ckpt(best)
        told = {"best_accuracy": recorded + apart / faces}
        save_weights(best, contents.tensors, contents.info | told)
        seal_again(best, **told)
        report = judge.verify(best)
        assert "accuracy" in findings(report, level)
        assert report.measured_accuracy == recorded


def test_accuracy_on_other_faces_is_a_warning(best, tmp_path):
    other = tmp_path / "other.csv"
    write_practice_csv(other, seed=12, counts={"PublicTest": 300})
    text = findings(Verifier(other).verify(best), "WARN")["accuracy"]
    assert "not the one of the run" in text


@pytest.mark.parametrize(("right", "level"), [(7, "WARN"), (8, "PASS")])
def test_an_accuracy_of_the_commonest_emotion_is_a_warning(right, level):
    labels = np.repeat([3, 0, 1, 2], [7, 6, 6, 6])
    assert 7 / 25 * 25 > 7  # in floats
    found = check_accuracy("Training", right / 25, labels, None, same_data=True, assumed=False)
    assert found.level == level and ("always saying 'happy'" in found.text) == (level == "WARN")


def test_without_a_sidecar_the_csv_may_be_another():
    labels = np.arange(10) % 7
    found = check_accuracy("PublicTest", 0.5, labels, 0.9, same_data=None, assumed=False)
    assert found.level == "FAIL"
    assert found.text.endswith("4 faces apart: not the weights recorded, or not the CSV")


@pytest.mark.parametrize(("emotions", "level"), [(2, "WARN"), (3, "PASS")])
def test_fewer_than_three_emotions_ever_predicted_are_a_warning(emotions, level):
    confusion = np.zeros((7, 7), int)
    confusion[:, :emotions] = 5
    found = check_variety("PublicTest", confusion)
    assert (found.level, found.name) == (level, "variety")
    if level == "WARN":
        assert "PublicTest: nothing but angry and disgust is ever predicted" in found.text


def accuracy_at_24(contents, csv):
    """The accuracy of the net on faces that Pillow made small."""
    faces = load_csv(csv, ("PublicTest",)).splits["PublicTest"]
    small = [Image.fromarray(face).resize((24, 24), Image.BILINEAR) for face in faces.images]
    evaluator = Evaluator(ARCHITECTURE)
    evaluator.load(contents.tensors)
    logits = evaluator.network(Tensor(np.stack(small)[:, None].astype(np.float32))).asnumpy()
    return float((logits.argmax(1) == faces.labels).sum() / len(faces))


@pytest.mark.parametrize("told_by", ["sidecar", "file", "nothing"])
def test_accuracy_is_measured_at_the_size_that_the_net_was_trained_on(best, judge, csv, told_by):
    contents = read_ckpt(best)
    recorded = accuracy_at_24(contents, csv)
    assert abs(recorded - contents.info["best_accuracy"]) > 0.05  # at 48
    inside = {"face_size": 24} if told_by == "file" else {}
    info = {key: value for key, value in contents.info.items() if key != "face_size"}
    save_weights(best, contents.tensors, info | {"best_accuracy": recorded} | inside)
    (best.parent / "metrics.jsonl").unlink()
    if told_by == "sidecar":
        seal_again(best, best_accuracy=recorded, face_size=24)
    else:
        best.with_suffix(".json").unlink()
    report = judge.verify(best)
    assert report.recorded_accuracy == recorded
    if told_by == "nothing":
        assert "48x48 faces were wrongly assumed" in failed(report)["accuracy"]
    else:
        assert report.sound and "as recorded" in findings(report)["accuracy"]
        assert report.measured_accuracy == recorded


@pytest.mark.parametrize("told_by", ["sidecar", "file"])
def test_a_face_size_that_no_configuration_allows(best, verifier, told_by):
    if told_by == "sidecar":
        seal_again(best, face_size=1000)
    else:
        best.with_suffix(".json").unlink()
        contents = read_ckpt(best)
        save_weights(best, contents.tensors, contents.info | {"face_size": 1000})
    report = verifier.verify(best)
    assert "its face_size 1000: " in failed(report)["network"]
    assert names(report)[-1] == "network"


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf"), 1e308, 10**18, -1])
@pytest.mark.parametrize("epoch", [float("nan"), -(10**18), 2])
def test_a_record_that_is_none_has_no_accuracy(bare, judge, accuracy, epoch):
    info = {"best_accuracy": accuracy, "best_epoch": epoch}
    save_weights(bare, read_ckpt(bare).tensors, info)
    report = judge.verify(bare)
    assert "expected a fraction in 0..1" in failed(report)["record"]
    assert json.dumps(report.to_dict(), allow_nan=False)


def test_sidecar_and_file_disagree(best, verifier):
    seal_again(best, best_epoch=17)
    assert "at 17 in its sidecar" in failed(verifier.verify(best))["record"]


def test_metrics_know_a_better_epoch(best, verifier):
    line = {"epoch": 9, "val_accuracy": 0.99, "val_loss": 0.1}
    with (best.parent / "metrics.jsonl").open("a") as file:
        file.write("damaged\n[]\n" + json.dumps(line) + "\n")
    assert "epoch 9 is better" in failed(verifier.verify(best))["record"]


def test_metrics_of_another_run(best, verifier):
    (best.parent / "metrics.jsonl").write_text('{"epoch": 500, "val_accuracy": 0.5}\n')
    assert "no such epoch" in findings(verifier.verify(best), "WARN")["record"]
