"""Runs in float16: steps that overflow are skipped, and a resume does not forget the scale."""

import shutil

import numpy as np
import pytest

from ferspore.network import precision
from ferspore.run.ckpt import read_ckpt
from ferspore.run.folder import read_snapshot
from tests import runs
from tests.same_run import differences

TOO_HIGH = 2.0**24  # the first steps overflow


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Folder and lines of a run in float16 that was never stopped, a snapshot at each step."""
    folder = tmp_path_factory.mktemp("half") / "run"
    csv = runs.small_csv(folder.parent / "faces.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "FIRST", TOO_HIGH)
        code, lines = runs.train(
            folder, csv, training__amp_level="O2",
            checkpoint__save_checkpoint_steps=1, checkpoint__keep_checkpoint_max=9,
        )  # fmt: skip
    assert code == 0
    return folder, lines


def scale_in(path) -> float:
    return float(read_ckpt(path).tensors["loss_scale.scale"])


def test_steps_that_overflow_are_skipped_and_told(straight):
    folder, lines = straight
    first, second = (read_snapshot(folder / f"fer-1_{step}.ckpt") for step in (1, 2))
    assert scale_in(first.path) == TOO_HIGH / 2
    assert first.sidecar.epoch_loss_steps == 0 and first.sidecar.global_step == 1
    names = [name for name in first.tensors if name.startswith("stages.")]
    scale = scale_in(second.path)
    same = all(np.array_equal(first.tensors[name], second.tensors[name]) for name in names)
    assert same == (scale == TOO_HIGH / 4)
    assert any("skipped: too large for float16" in line for line in lines)
    assert read_snapshot(folder / "fer-2_4.ckpt").tensors["global_step"] == 8
    assert scale_in(folder / "fer-2_4.ckpt") < TOO_HIGH
    assert read_snapshot(folder / "fer-2_4.ckpt").sidecar.hardware["precision"] == "O2 float16"


def test_a_resume_across_steps_that_were_skipped_is_bit_exact(straight, tmp_path):
    folder, _ = straight
    for end in (".ckpt", ".json"):
        (tmp_path / "run").mkdir(exist_ok=True)
        shutil.copy(folder / f"fer-1_1{end}", tmp_path / "run")
    assert runs.train(tmp_path / "run", None, resume="auto")[0] == 0
    assert list(differences(tmp_path / "run", folder)) == []
