"""What a folder holds, and faults that lived between a folder and a command."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ferspore.run import sidecar
from ferspore.run.asked import AUTO, RefusalError
from ferspore.run.ckpt import UnsoundError, serialize
from ferspore.run.folder import checked, list_snapshots, read_folder, read_snapshot
from ferspore.run.listing import list_runs
from ferspore.run.names import sidecar_path
from ferspore.run.standing import standing
from tests.run import engine, inspection

STEADY = {"seed": 1, "training.lr": 0.5, "training.epochs": 3}


def newest_names(folder):
    return [path.name for path in list_snapshots(folder)]


# --- reading --------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    holdings = read_folder(tmp_path / "nothing")
    assert not holdings.exists and not holdings.is_trained
    assert standing(holdings) == "empty"


def test_a_finished_run_is_read_whole(tmp_path):
    engine.train(tmp_path, STEADY)
    holdings = checked(read_folder(tmp_path))
    names = [snapshot.path.name for snapshot in holdings.snapshots]
    assert names == ["fer-1_2.ckpt", "fer-2_2.ckpt", "fer-3_2.ckpt"] and not holdings.unsound
    assert holdings.newest.tensors["steps"].tolist() == [1, 2, 3, 4, 5, 6]
    assert holdings.runs == {"run"} and holdings.last_sequence == 3
    assert holdings.best.fault is None and holdings.final.fault is None
    assert holdings.metrics == holdings.newest.sidecar.history and len(holdings.metrics) == 3
    assert holdings.config.training.epochs == 3
    assert standing(holdings) == "finished"


def test_the_number_of_a_lost_snapshot_is_not_given_again(tmp_path):
    """The final model of the lost one would otherwise pass for that of the next."""
    engine.train(tmp_path, STEADY)
    sidecar_path(tmp_path / "fer-3_2.ckpt").unlink()
    assert read_folder(tmp_path).last_sequence == 3


def test_a_snapshot_under_another_name_does_not_count(tmp_path):
    engine.train(tmp_path, STEADY, stop=2)
    for ending in (".ckpt", ".json"):
        (tmp_path / f"fer-1_2{ending}").rename(tmp_path / f"fer-9_1{ending}")
    with pytest.raises(UnsoundError, match=r"that of 'fer-1_2\.ckpt'"):
        read_snapshot(tmp_path / "fer-9_1.ckpt")


def test_the_only_snapshot_without_its_sidecar_is_a_damage(tmp_path):
    """A kill leaves the sidecar beside its place; then, and only then, nothing has begun yet."""
    engine.train(tmp_path, STEADY, stop=1)
    path = sidecar_path(tmp_path / "fer-1_1.ckpt")
    path.rename(path.with_name(".writing-" + path.name))
    assert standing(read_folder(tmp_path)) == "begun"
    path.with_name(".writing-" + path.name).unlink()
    assert standing(read_folder(tmp_path)) == "damaged"
    with pytest.raises(RefusalError, match="no sound snapshot is left"):
        engine.train(tmp_path, resume=AUTO)


def test_plain_mindspores_files_are_told_from_ours_without_a_sidecar(tmp_path):
    engine.train(tmp_path, STEADY, stop=2)
    sidecar_path(tmp_path / "fer-1_2.ckpt").unlink()
    (tmp_path / "fer-1_1.ckpt").write_bytes(serialize({"w": np.ones(2)}, {}))
    ours = {file.path.name: file.ours for file in read_folder(tmp_path).unsound}
    assert ours == {"fer-1_1.ckpt": False, "fer-1_2.ckpt": True}


# --- faults of 1835cce ----------------------------------------------------------------------------


def test_a_folder_receives_no_other_run(tmp_path):
    """--resume A/fer-2_2.ckpt --save_dir B, where B holds another run."""
    a, b = tmp_path / "a", tmp_path / "b"
    engine.train(a, STEADY, run="first")
    engine.train(b, {**STEADY, "seed": 2}, run="second", stop=3)
    before = inspection.tree(tmp_path)
    with pytest.raises(RefusalError, match="already holds another"):
        engine.train(b, resume=a / "fer-2_2.ckpt")
    assert inspection.kept(inspection.tree(tmp_path), {}) == inspection.kept(before, {})


def test_the_folder_that_was_named_is_resumed(tmp_path):
    """--resume A --save_dir B."""
    a, b = tmp_path / "a", tmp_path / "b"
    engine.train(a, STEADY, run="first", stop=3)
    before = inspection.tree(a)
    decision = engine.train(b, resume=a).decision
    assert decision.snapshot.path == a / "fer-2_1.ckpt"
    assert inspection.kept(inspection.tree(a), {}) == inspection.kept(before, {})
    assert read_snapshot(b / "fer-3_2.ckpt").sidecar.resumes == [3]


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
def test_snapshots_are_ordered_by_number_when_the_clock_steps(tmp_path, monkeypatch, step):
    class Clock:
        time = datetime(2026, 1, 1, tzinfo=UTC)

        def now(self, zone):
            self.time += step
            return self.time

    monkeypatch.setattr(sidecar, "datetime", Clock())
    values = {**STEADY, "checkpoint.keep_checkpoint_max": 2}
    engine.train(tmp_path, {**values, "training.epochs": 5}, stop=7)
    assert newest_names(tmp_path) == ["fer-3_2.ckpt", "fer-4_1.ckpt"]
    again = engine.train(tmp_path, resume=AUTO, stop=1)
    assert again.decision.snapshot.path.name == "fer-4_1.ckpt"
    assert newest_names(tmp_path)[-1] == "fer-4_2.ckpt"


def test_epochs_given_anew_survive_a_kill_before_the_next_snapshot(tmp_path, monkeypatch):
    engine.train(tmp_path, STEADY, stop=2)
    disk = engine.Disk()
    disk.install(monkeypatch)
    with disk.dying(12, 0.5), pytest.raises(engine.Killed):
        engine.train(tmp_path, {"training.epochs": 5}, resume=AUTO)
    assert read_folder(tmp_path).newest.sidecar.epoch == 1
    assert engine.train(tmp_path, resume=AUTO).decision.config.training.epochs == 5
    assert newest_names(tmp_path)[-1] == "fer-5_2.ckpt"


@pytest.mark.parametrize("odd", [os.mkfifo, lambda path: path.symlink_to("nowhere"), Path.mkdir])
@pytest.mark.parametrize("sidecar_there", [False, True])
def test_what_is_no_file_under_a_snapshot_s_name_is_passed_over(tmp_path, odd, sidecar_there):
    """Reading a pipe would hang."""
    engine.train(tmp_path, STEADY)
    if sidecar_there:
        (tmp_path / "fer-3_2.ckpt").unlink()
        odd(tmp_path / "fer-3_2.ckpt")
    else:
        odd(tmp_path / "fer-9_9.ckpt")
        odd(tmp_path / "fer-9_9.json")
    holdings = checked(read_folder(tmp_path))
    newest = "fer-2_2.ckpt" if sidecar_there else "fer-3_2.ckpt"
    assert holdings.newest.path.name == newest and len(holdings.unsound) == 1
    assert list_runs(tmp_path)[0].state
