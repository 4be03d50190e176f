"""`audit` prints, writes and draws what it finds in a CSV."""

import json

import pytest

from ferspore.cli import audit, common
from ferspore.data.csv import DataError
from tests import runs
from tests.cli.calls import work
from tests.data.planted import planted


def write_csv(path, splits):
    lines = ["emotion,pixels,Usage"]
    for split, faces in splits.items():
        for image, label in zip(faces.images, faces.labels, strict=True):
            lines.append(f"{label},{' '.join(map(str, image.ravel()))},{split}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_findings_are_printed_written_and_drawn(tmp_path):
    write_csv(tmp_path / "faces.csv", planted())
    words = ("--csv", "faces.csv", "--json", "out.json", "--output", "drawn")
    done = runs.call(*words, cwd=tmp_path, script="tools/audit_data.py")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["PublicTest", "Training", "2", "25.0%", "1", "4", "50.0%", "1"] in rows
    assert "constant images: 1 in Training, 2 in PublicTest" in done.stdout
    assert len(json.loads((tmp_path / "out.json").read_text())["conflicting_groups"]) == 1
    assert (tmp_path / "drawn" / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_one_split_is_enough(tmp_path, capsys):
    csv = write_csv(tmp_path / "faces.csv", {"PublicTest": planted()["PublicTest"]})
    work(audit, "--csv", csv, "--output", tmp_path)
    told = capsys.readouterr().out
    assert "constant images: 2 in PublicTest" in told and "Training" not in told


def test_a_file_without_good_rows_is_refused(tmp_path):
    csv = tmp_path / "bad.csv"
    csv.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    with pytest.raises(DataError, match="1 bad row"):
        work(audit, "--csv", csv)
    with pytest.raises(common.ToolError, match=r"bad\.csv: no good rows, expected at least one"):
        work(audit, "--csv", csv, "--skip_bad_rows")
