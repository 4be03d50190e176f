"""verify_model.py as a user runs it, and the report that it prints."""

import json
import subprocess
import sys

import pytest

from ferspore.verification.text import format_report
from tests import runs


def test_report_is_aligned_and_coloured_only_on_request(best, verifier):
    report = verifier.verify(best)
    plain = format_report(report)
    _, *lines, verdict = plain.splitlines()
    pairs = zip(lines, report.findings, strict=True)
    assert len({line.index(finding.text) for line, finding in pairs}) == 1
    assert verdict == "sound" and "\x1b" not in plain
    paint = {level: f"\x1b[{code}m" for code, level in enumerate(("PASS", "WARN", "FAIL"), 31)}
    assert format_report(report, paint).startswith(f"{best}\n\x1b[31mPASS\x1b[0m  file")


def call(*words, cwd):
    return runs.call(*words, cwd=cwd, script="verify_model.py")


def test_script_on_a_sound_file(best, csv, tmp_path):
    out = tmp_path / "out.json"
    done = call("--ckpt", best, "--csv", csv, "--json", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "sound" and "\x1b" not in done.stdout
    told = json.loads(out.read_text())
    assert told["sound"] and told["recorded_accuracy"] == told["measured_accuracy"]
    assert {finding["level"] for finding in told["findings"]} == {"PASS"}


def test_script_on_a_run_with_a_damaged_file(best, tmp_path):
    best.write_bytes(best.read_bytes()[:-100])
    done = call("--ckpt", tmp_path, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert "1 checkpoint: 0 sound, 1 NOT sound" in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        (["--ckpt", "no.ckpt"], "no.ckpt: no such file"),
        (["--ckpt", "best_model.ckpt", "--csv", "no.csv"], "no.csv: no such file"),
        (["--ckpt", "empty"], "empty: no checkpoint"),
        (["--ckpt", "best_model.ckpt", "--json", "no/x.json"], "--json no/x.json: No such file"),
    ],
)
def test_script_misuse(best, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_goes_ends_it_quietly(tmp_path):
    ckpt = runs.ROOT / "checkpoints" / "fer2013-small" / "best_model.ckpt"
    script = f"{sys.executable} {runs.ROOT / 'verify_model.py'} --ckpt {ckpt} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
