"""The files of a living run, in an order that no kill can break; a toy training writes them."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ferspore import files
from ferspore.config.loading import load_config
from ferspore.run.asked import AUTO, Asked, RefusalError, look
from ferspore.run.best import best_value
from ferspore.run.ckpt import read_ckpt, serialize
from ferspore.run.decision import decide
from ferspore.run.folder import list_snapshots
from ferspore.run.names import BEST, FINAL, METRICS, sidecar_path
from ferspore.run.sidecar import read_sidecar, read_sound
from ferspore.run.writer import NotFiniteError, clean_leftovers
from tests.run import engine, inspection, toy

STEADY = {"seed": 1, "training.lr": 0.5, "training.epochs": 3}


def names(folder):
    return [path.name for path in list_snapshots(folder)]


def decided(folder, resume=AUTO):
    asked = Asked(folder, load_config(None), resume)
    return decide(asked, *look(asked))


@pytest.fixture
def disk(monkeypatch):
    disk = engine.Disk()
    disk.install(monkeypatch)
    return disk


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# --- kills ----------------------------------------------------------------------------------------


def assert_equal_ends(folder, straight):
    for name in (BEST, FINAL, METRICS):
        assert (folder / name).read_bytes() == (straight / name).read_bytes(), name


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_killed_at_any_change_of_the_disk_the_run_ends_the_same(tmp_path, disk, share):
    straight, values = tmp_path / "straight", {**STEADY, "training.epochs": 2}
    engine.train(straight, values)
    disk.changes = 0
    engine.train(tmp_path / "counted", values)
    for at in range(1, disk.changes + 1):
        folder = tmp_path / str(at)
        with disk.dying(at, share), pytest.raises(engine.Killed):
            engine.train(folder, values)
        engine.train(folder, values, resume=AUTO)
        assert_equal_ends(folder, straight)


def test_a_copy_killed_anywhere_is_made_anew_or_goes_on_with_its_best(tmp_path, disk):
    """The snapshot is copied last: a copy that can be resumed has its best model."""
    source = tmp_path / "source"
    engine.train(source, STEADY, stop=5)
    assert (source / BEST).exists()
    for at in range(1, 60):
        folder = tmp_path / str(at)
        with disk.dying(at, 0.5):
            try:
                engine.train(folder, resume=source)
                return
            except engine.Killed:
                pass
        try:
            engine.train(folder, resume=source)
        except RefusalError as refusal:
            assert f"a copy of that run: --save_dir {folder} --resume" in str(refusal)
            assert engine.train(folder, resume=AUTO).decision.snapshot is not None
        assert read_sound(folder / BEST) and read_sound(folder / FINAL)
    pytest.fail("it never came to its end")


def test_what_a_kill_left_is_cleaned_and_nothing_else(tmp_path):
    ours = [".writing-fer-1_2.ckpt", ".writing-best_model.json", "fer-3_4.json"]
    others = ["fer-notes.json", "fer-0_1.json", "notes.txt"]
    for name in [*ours, *others]:
        (tmp_path / name).write_text("text")
    clean_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


# --- snapshots ------------------------------------------------------------------------------------


def test_weights_that_are_not_finite_never_become_a_snapshot(tmp_path):
    writer = engine.writer_in(tmp_path, engine.given(STEADY).config)
    tensors = toy.first_tensors(1)
    for value in (1.0, np.nan):
        tensors["w"] = np.float32([value, 0])
        writer.progress.finish_step(1.0, 0.0)
        text = engine.serialize(tensors, {})
        if np.isfinite(value):
            writer.snapshot(lambda path, text=text: path.write_bytes(text))
            continue
        with pytest.raises(NotFiniteError, match="not finite, in w"):
            writer.snapshot(lambda path, text=text: path.write_bytes(text))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fer-1_1.ckpt", "fer-1_1.json"]
    assert writer.newest == tmp_path / "fer-1_1.ckpt" and writer.sequence == 1


def test_the_window_holds_the_newest(tmp_path):
    values = {**STEADY, "checkpoint.save_checkpoint_steps": 1}
    engine.train(tmp_path / "run", {**values, "checkpoint.keep_checkpoint_max": 2})
    assert names(tmp_path / "run") == ["fer-3_1.ckpt", "fer-3_2.ckpt"]
    engine.train(tmp_path / "run", {"training.epochs": 4}, resume=AUTO)
    assert names(tmp_path / "run") == ["fer-4_1.ckpt", "fer-4_2.ckpt"]
    sequence = [read_sidecar(path).sequence for path in list_snapshots(tmp_path / "run")]
    assert sequence == [7, 8]


def test_a_copied_snapshot_is_in_the_window(tmp_path):
    values = {**STEADY, "checkpoint.keep_checkpoint_max": 1}
    engine.train(tmp_path / "source", values, stop=2)
    engine.train(tmp_path / "copy", resume=tmp_path / "source")
    assert names(tmp_path / "copy") == ["fer-3_2.ckpt"]


def test_pruning_leaves_plain_mindspores_files(tmp_path):
    engine.train(tmp_path, {**STEADY, "checkpoint.keep_checkpoint_max": 1}, stop=2)
    plain = [tmp_path / name for name in ("fer-1_1.ckpt", "fer_1-2_2.ckpt", "notes.txt")]
    for path in plain:
        path.write_bytes(engine.serialize({"w": np.ones(2, np.float32)}, {}))
    engine.train(tmp_path, resume=AUTO)
    assert all(path.exists() for path in plain)
    assert [n for n in names(tmp_path) if n != "fer-1_1.ckpt"] == ["fer-3_2.ckpt"]


def test_a_snapshot_is_gone_for_good_before_its_sidecar_is(tmp_path, monkeypatch):
    """A power cut may keep a later deletion and undo an earlier one; a sidecar alone is cleaned up,
    a snapshot alone is a damaged one."""
    done, remove, flush = [], files.remove, files.flush_folder
    monkeypatch.setattr(files, "remove", lambda path: (done.append(path.name), remove(path)))
    monkeypatch.setattr(files, "flush_folder", lambda path: (done.append("flushed"), flush(path)))
    engine.train(tmp_path, {**STEADY, "checkpoint.keep_checkpoint_max": 1})
    at = done.index("fer-1_2.ckpt")
    assert done[at : at + 3] == ["fer-1_2.ckpt", "flushed", "fer-1_2.json"]


def test_a_snapshot_that_a_power_cut_brought_back_is_pruned_at_the_end(tmp_path):
    engine.train(tmp_path, STEADY)
    (tmp_path / FINAL).unlink()
    engine.train(tmp_path, {"checkpoint.keep_checkpoint_max": 1}, resume=AUTO)
    assert names(tmp_path) == ["fer-3_2.ckpt"] and (tmp_path / FINAL).exists()


def test_a_new_folder_lasts_with_those_above_it(tmp_path, monkeypatch):
    flushed, real = set(), files.flush_folder
    monkeypatch.setattr(files, "flush_folder", lambda path: flushed.add(path) or real(path))
    engine.train(tmp_path / "checkpoints" / "run", STEADY, stop=1)
    assert flushed >= {tmp_path / "checkpoints" / "run", tmp_path / "checkpoints", tmp_path}


def test_a_snapshot_that_cannot_be_deleted_does_not_stop_the_run(tmp_path, monkeypatch):
    real = files.remove

    def refused(path):
        if path.name.startswith("fer-1_"):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        real(path)

    monkeypatch.setattr(files, "remove", refused)
    lines = engine.train(tmp_path, {**STEADY, "checkpoint.keep_checkpoint_max": 1}).lines
    assert any("fer-1_2.ckpt could not be deleted (Operation not" in line for line in lines)
    assert names(tmp_path) == ["fer-1_2.ckpt", "fer-3_2.ckpt"] and (tmp_path / FINAL).exists()


# --- the best model -------------------------------------------------------------------------------


def test_a_best_model_that_cannot_be_read_is_not_replaced(tmp_path, monkeypatch):
    engine.train(tmp_path, STEADY, stop=5)
    before = (tmp_path / BEST).read_bytes()

    def refused(path):
        if path.name == BEST:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_ckpt(path)

    monkeypatch.setattr("ferspore.run.best.read_ckpt", refused)
    with pytest.raises(OSError, match="Input/output"):
        best_value(tmp_path, "val_accuracy")
    monkeypatch.undo()
    assert (tmp_path / BEST).read_bytes() == before
    assert best_value(tmp_path / "nothing", "val_accuracy") is None


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("name", [BEST, "best_model.json"])
def test_a_best_model_that_cannot_be_read_now_is_not_taken_for_a_bad_one(
    tmp_path, monkeypatch, number, name
):
    """Neither where the run goes on, nor where it is copied."""
    run = tmp_path / "run"
    engine.train(run, STEADY, stop=5)
    before = sidecar_path(run / BEST).read_bytes()
    real = Path.read_bytes

    def refused(path):
        if path == run / name:
            raise OSError(number, os.strerror(number))
        return real(path)

    for folder, resume in ((run, AUTO), (tmp_path / "copy", run)):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="is not replaced"):
            patch.setattr(Path, "read_bytes", refused)
            engine.train(folder, resume=resume)
    assert sidecar_path(run / BEST).read_bytes() == before
    assert not list((tmp_path / "copy").glob("fer-*"))


def test_a_publication_that_cannot_be_read_now_is_not_thrown_away(tmp_path, monkeypatch):
    engine.train(tmp_path, STEADY, stop=2)
    waiting = tmp_path / ".writing-fer-1_2.json"
    (tmp_path / "fer-1_2.json").rename(waiting)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input"):
        patch.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(OSError(5, "Input")))
        clean_leftovers(tmp_path)
    clean_leftovers(tmp_path)
    assert names(tmp_path) == ["fer-1_2.ckpt"] and not waiting.exists()


def test_a_best_model_whose_weights_were_damaged_is_not_vouched_for(tmp_path):
    """Its sidecar tells: the file says that it is the same model, and it is not."""
    engine.train(tmp_path, STEADY, stop=5)
    path = tmp_path / BEST
    at = path.read_bytes().index(read_ckpt(path).tensors["w"].tobytes())
    flip(path, at)
    before = sidecar_path(path).read_bytes()
    lines = engine.train(tmp_path, resume=AUTO, stop=0).lines
    assert "sha256" in lines[0] and "it is not used" in lines[0]
    assert sidecar_path(path).read_bytes() == before
    assert best_value(tmp_path, "val_accuracy") is None


def test_a_sidecar_is_not_made_anew_from_what_is_not_finite(tmp_path):
    engine.train(tmp_path, STEADY, stop=5)
    path = tmp_path / BEST
    contents = read_ckpt(path)
    path.write_bytes(serialize(contents.tensors, {**contents.info, "best_accuracy": np.nan}))
    sidecar_path(path).unlink()
    engine.train(tmp_path, resume=AUTO, stop=0)
    assert not sidecar_path(path).exists()


def test_a_lost_sidecar_of_the_best_model_is_made_anew(tmp_path):
    engine.train(tmp_path, STEADY, stop=5)
    path = tmp_path / BEST
    there = read_sidecar(path)
    sidecar_path(path).unlink()
    assert "rebuilt" in engine.train(tmp_path, resume=AUTO, stop=0).lines[0]
    _, sidecar = read_sound(path)
    same = {"sha256", "best_accuracy", "best_epoch", "val_loss", "parameters", "run", "face_size"}
    assert sidecar.model_dump(include=same) == there.model_dump(include=same)


# --- the end --------------------------------------------------------------------------------------


def test_metrics_that_an_older_snapshot_cut_short_are_completed(tmp_path, disk):
    """A finished run; then an older snapshot is named, and the process dies at its first step."""
    engine.train(tmp_path, STEADY)
    whole = (tmp_path / METRICS).read_bytes()
    engine.train(tmp_path, resume=tmp_path / "fer-1_2.ckpt", stop=0)
    assert len(inspection.metrics(tmp_path)) == 1
    assert decided(tmp_path).action == "finish"
    engine.train(tmp_path, resume=AUTO)
    assert (tmp_path / METRICS).read_bytes() == whole
    assert decided(tmp_path).is_finished


def test_metrics_of_steps_that_are_trained_anew_do_not_stay(tmp_path):
    engine.train(tmp_path, {**STEADY, "checkpoint.save_checkpoint_steps": 1})
    engine.train(tmp_path, resume=tmp_path / "fer-1_2.ckpt", stop=0)
    assert len(inspection.metrics(tmp_path)) == 1
    values = {**STEADY, "checkpoint.save_checkpoint_steps": 1, "checkpoint.keep_checkpoint_max": 9}
    engine.train(tmp_path / "other", values)
    engine.train(tmp_path / "other", resume=tmp_path / "other" / "fer-1_1.ckpt", stop=0)
    assert not (tmp_path / "other" / METRICS).exists()


def test_a_final_model_does_not_outlive_the_epoch_that_is_trained_anew(tmp_path, disk):
    """The newest snapshot is lost and its epoch trained anew at another rate; wherever the process
    dies, the next one does not take the final model that is there for its own."""
    finished = tmp_path / "finished"
    engine.train(finished, STEADY)
    sidecar_path(finished / "fer-3_2.ckpt").unlink()
    for at in range(1, 60):
        folder = tmp_path / str(at)
        shutil.copytree(finished, folder)
        with disk.dying(at, 0.5):
            try:
                engine.train(folder, {"training.lr": 0.3}, resume=AUTO)
                return
            except engine.Killed:
                pass
        engine.train(folder, {"training.lr": 0.3}, resume=AUTO)
        rates = read_ckpt(folder / FINAL).tensors["rates"].tolist()
        assert rates[4:] == [toy.rate(0.3, 3, step) for step in (4, 5)], at
    pytest.fail("it never came to its end")


def test_the_final_model_is_that_of_the_snapshot_it_was_made_from(tmp_path):
    """A newer snapshot is damaged, fewer epochs are wanted: it ends, and it has ended then."""
    engine.train(tmp_path, {**STEADY, "training.epochs": 4}, stop=6)
    engine.train(tmp_path, resume=AUTO, stop=0)
    flip(tmp_path / "fer-3_2.ckpt", 40)
    assert engine.train(tmp_path, {"training.epochs": 2}, resume=AUTO).decision.action == "finish"
    assert decided(tmp_path).is_finished
