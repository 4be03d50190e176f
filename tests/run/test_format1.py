"""Files of format 1, which ferspore wrote up to 1835cce: read, upgraded, and resumed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ferspore.cli import training as command_line
from ferspore.config.loading import load_config
from ferspore.data.practice import write_practice_csv
from ferspore.run.asked import AUTO, Asked, look
from ferspore.run.ckpt import read_ckpt
from ferspore.run.decision import decide
from ferspore.run.folder import read_folder, read_snapshot
from ferspore.run.sidecar import read_sidecar
from tests.run import engine, inspection

FORMAT1 = Path(__file__).parent / "format1"


@pytest.mark.parametrize("path", sorted(FORMAT1.glob("*/*.ckpt")), ids=lambda path: path.stem)
def test_a_sidecar_is_upgraded(path):
    sidecar = read_sidecar(path)
    assert (sidecar.format, sidecar.run, sidecar.sequence, sidecar.face_size) == (2, "", 0, 48)
    assert sidecar.config["model"]["width"] == 4


def test_snapshots_are_ordered_by_their_time():
    names = [s.path.name for s in read_folder(FORMAT1 / "stopped").snapshots]
    assert names == ["fer-1_2.ckpt", "fer-1_4.ckpt", "fer-2_2.ckpt"]
    assert read_snapshot(FORMAT1 / "stopped" / "fer-2_2.ckpt").sidecar.global_step == 6


def test_a_stopped_run_ends_as_it_would_have_then(tmp_path):
    """Bit for bit where the sums round as on the machine that wrote it."""
    csv = tmp_path / "faces.csv"
    write_practice_csv(csv, seed=3, counts={"Training": 64, "PublicTest": 32, "PrivateTest": 7})
    folder, then = tmp_path / "run", FORMAT1 / "finished"
    shutil.copytree(FORMAT1 / "stopped", folder)
    lines: list[str] = []
    asked = Asked(folder, engine.given({"data.csv": str(csv)}), AUTO)
    assert command_line.train(asked, lines.append) == 0
    assert "at epoch 2, step 2/4" in "\n".join(lines)
    for name in ("best_model.ckpt", "final_model.ckpt", "fer-3_4.ckpt"):
        mine, theirs = read_ckpt(folder / name).tensors, read_ckpt(then / name).tensors
        assert list(mine) == list(theirs)
        for tensor, value in theirs.items():
            np.testing.assert_allclose(mine[tensor], value, rtol=1e-5, atol=1e-6, err_msg=tensor)
    kept = [(line["epoch"], line["best"]) for line in inspection.metrics(folder)]
    assert kept == [(line["epoch"], line["best"]) for line in inspection.metrics(then)]
    newest = read_sidecar(folder / "fer-3_4.ckpt")
    assert (newest.format, newest.sequence, newest.resumes) == (2, 3, [6])


def test_a_finished_run_gets_the_rest_of_its_end(tmp_path):
    """Its sequence number is that of its last snapshot: both have none."""
    folder = tmp_path / "run"
    shutil.copytree(FORMAT1 / "finished", folder)
    asked = Asked(folder, load_config(None), AUTO)
    assert decide(asked, *look(asked)).action == "finished"
