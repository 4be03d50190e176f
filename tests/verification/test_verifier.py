"""A sound run passes every check; a folder's checkpoints are found, ordered and compared."""

import json
import shutil

import pytest

from ferspore.verification.findings import best_of
from ferspore.verification.text import format_table
from ferspore.verification.verifier import NoCheckpointError
from tests import runs
from tests.verification.cases import EARLIER, SNAPSHOT, findings, names


@pytest.mark.parametrize("name", ["best_model.ckpt", "final_model.ckpt", SNAPSHOT])
def test_a_file_of_a_run_passes_every_check(run, judge, name):
    report = judge.verify(run / name)
    assert findings(report, "WARN", "FAIL") == {}
    assert report.sound and report.verdict == "sound"
    assert names(report) == [
        *("file", "sidecar", "format", "network", "size", "contents", "values"),
        *("statistics", "trained", "predictions", "accuracy", "variety", "record"),
    ]


def test_measures_the_accuracy_that_was_recorded(run, judge):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    accuracies = [line["val_accuracy"] for line in lines]
    best, final, earlier, latest = judge.verify_folder(run)
    assert best.recorded_accuracy == best.measured_accuracy == max(accuracies)
    assert final.recorded_accuracy == final.measured_accuracy == accuracies[2]
    assert earlier.recorded_accuracy == earlier.measured_accuracy == accuracies[1]
    assert latest.recorded_accuracy == latest.measured_accuracy == accuracies[2]


def test_a_file_without_sidecar_is_verified_as_far_as_it_can_be(bare, judge):
    report = judge.verify(bare)
    assert list(findings(report, "WARN")) == ["sidecar"]
    assert report.verdict == "sound, with 1 warning"
    assert report.measured_accuracy == report.recorded_accuracy


def test_plain_mindspore_checkpoint_of_weights_and_optimizer(run, verifier, tmp_path):
    shutil.copy(run / SNAPSHOT, tmp_path / "resnet-3_8.ckpt")
    report = verifier.verify(tmp_path / "resnet-3_8.ckpt")
    assert list(findings(report, "WARN")) == ["sidecar"] and report.sound
    assert "optimizer state" in findings(report)["contents"]


def test_snapshot_of_the_other_optimizer(verifier, tmp_path):
    csv = runs.small_csv(tmp_path / "faces.csv")
    code, _ = runs.train(tmp_path / "run", csv, training__epochs=1)
    assert code == 0
    report = verifier.verify(tmp_path / "run" / "fer-1_4.ckpt")
    assert "(accum, ema, global_step, momentum, stat)" in findings(report)["contents"]
    assert "contents" in findings(report, "PASS")


def test_folder_table_names_the_best_and_the_damaged(run, tmp_path, verifier):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / SNAPSHOT).write_bytes((folder / SNAPSHOT).read_bytes()[:50_000])
    (folder / ".writing-fer-4_35.ckpt").write_bytes(b"half")
    reports = verifier.verify_folder(folder)
    lines = format_table(reports).splitlines()
    order = ["best_model.ckpt", "final_model.ckpt", EARLIER, SNAPSHOT]
    assert [line[3:].split()[0] for line in lines[1:-1]] == order
    assert [report.sound for report in reports] == [True, True, True, False]
    assert lines[1].startswith("*") and best_of(reports) is reports[0]
    assert "NOT sound" in lines[4] and "cut short" in lines[4]
    assert lines[-1].startswith("4 checkpoints: 3 sound, 1 NOT sound; * the best is best_model")


def test_folder_without_checkpoint(tmp_path, verifier):
    with pytest.raises(NoCheckpointError, match="no checkpoint"):
        verifier.verify_folder(tmp_path)
