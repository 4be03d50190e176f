"""Runs in float16: steps that overflow are skipped, and a resume does not forget the scale."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ferspore import drivers
from ferspore.network import precision
from ferspore.run.ckpt import read_ckpt
from ferspore.run.folder import read_snapshot
from ferspore.training.restore import restore
from tests import runs
from tests.golden import cases
from tests.network.golden_step import Run
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
            folder, csv, training__amp_level="O2", model__width=4, model__blocks=[1],
            checkpoint__save_checkpoint_steps=1, checkpoint__keep_checkpoint_max=9,
        )  # fmt: skip
    assert code == 0
    return folder, lines


def copy(folder: Path, name: str, target: Path) -> None:
    """Copy a snapshot into a new folder."""
    target.mkdir()
    for end in (".ckpt", ".json"):
        shutil.copy(folder / (name + end), target)


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
    copy(folder, "fer-1_1", tmp_path / "run")
    assert runs.train(tmp_path / "run", None, resume="auto")[0] == 0
    assert list(differences(tmp_path / "run", folder)) == []


def test_a_resume_on_another_chip_is_told(straight, tmp_path, monkeypatch):
    folder, _ = straight
    copy(folder, "fer-2_4", tmp_path / "run")  # nothing is left but the final model
    monkeypatch.setattr(drivers, "chip", lambda: "another")
    code, lines = runs.train(tmp_path / "run", None, resume="auto")
    (told,) = (line for line in lines if line.startswith("warning: the snapshot was written with"))
    assert code == 0 and told.endswith("this process has chip another: the bits may differ")


def test_a_snapshot_from_before_there_was_a_scale_starts_with_the_first():
    run = Run(cases.STEPS["step_sgd"], scaled=True)
    older = {name: value + 1 for name, value in run.state().items() if "loss_scale" not in name}
    restore(run.step, older, Path("older.ckpt"))
    state = run.state()
    assert state["loss_scale.scale"] == precision.FIRST
    assert all(np.array_equal(state[name], value) for name, value in older.items())
