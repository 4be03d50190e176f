"""`verify` of an exported ONNX file: its accuracy, by ONNX Runtime, against the one it tells."""

import json
import shutil
import subprocess
import sys

import pytest

from ferspore.cli import common, verify
from ferspore.export.onnx_file import parse, seal
from ferspore.verification.onnx_verifier import verify_onnx


def levels(report):
    return {finding.name: finding.level for finding in report.findings}


def test_a_sound_file_has_the_accuracy_that_it_tells(small, exported):
    report = verify_onnx(exported.path, small.csv, "flip", skip_bad_rows=False)
    assert report.measured_accuracy == report.recorded_accuracy == small.accuracy
    assert (report.kind, report.epoch) == ("onnx", 3) and report.tta_accuracy is not None
    assert levels(report).keys() == {
        "format", "origin", "predictions", "accuracy", "variety", "TTA",
    }  # fmt: skip


@pytest.mark.parametrize(("same_csv", "level"), [(True, "FAIL"), (False, "WARN")])
def test_another_accuracy_than_told_is_found(same_csv, level, small, exported, tmp_path):
    told = {**exported.metadata, "accuracy": "0.9", "usage": "PublicTest"}
    if same_csv:
        told["csv_sha256"] = small.table.sha256
    path = tmp_path / "model.onnx"
    path.write_bytes(seal(parse(exported.path.read_bytes()), told))
    report = verify_onnx(path, small.csv, None, skip_bad_rows=False)
    assert levels(report)["accuracy"] == level
    assert "recorded is 0.9000" in next(f.text for f in report.findings if f.name == "accuracy")


@pytest.mark.parametrize("value", ["nan", "many"])
def test_an_accuracy_that_is_none_is_not_compared(value, small, exported, tmp_path):
    path = tmp_path / "model.onnx"
    told = {**exported.metadata, "accuracy": value, "epoch": value}
    path.write_bytes(seal(parse(exported.path.read_bytes()), told))
    report = verify_onnx(path, None, None, skip_bad_rows=False)
    assert report.recorded_accuracy is None and report.epoch is None


def test_the_command_needs_no_mindspore(small, exported, tmp_path):
    """It loads in a second what MindSpore takes several for."""
    out = tmp_path / "out.json"
    code = """if True:
        import sys
        from ferspore.cli.verify import main
        code = main(sys.argv[1:])
        assert "mindspore" not in sys.modules
        sys.exit(code)"""
    words = ["--ckpt", exported.path, "--csv", small.csv, "--json", out]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True
    )
    assert done.stderr == "" and done.stdout.splitlines()[0] == str(exported.path)
    told = json.loads(out.read_text())
    assert told["measured_accuracy"] == small.accuracy
    assert done.returncode == (0 if told["sound"] else 1)


def test_a_damaged_file_is_not_sound(exported, tmp_path, capsys):
    path = tmp_path / "a.onnx"
    path.write_bytes(exported.path.read_bytes()[:-100])
    assert verify.work(verify.parser().parse_args(["--ckpt", str(path)])) == 1
    said = capsys.readouterr().out
    assert "FAIL  format" in said and said.endswith("NOT sound: format\n")


def test_a_missing_package_is_named(exported, tmp_path, monkeypatch):
    shutil.copy(exported.path, tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    arguments = verify.parser().parse_args(["--ckpt", str(tmp_path / "a.onnx")])
    with pytest.raises(common.ToolError, match="python -m pip install"):
        verify.work(arguments)
