"""The run that was stopped is the run that was not: equal bytes, equal metrics, equal best."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from ferspore import files
from ferspore.cli import training as command_line
from ferspore.config.loading import Override, load_config
from ferspore.config.schema import ConfigError
from ferspore.run.asked import Asked, RefusalError, look
from ferspore.run.ckpt import UnsoundError, read_ckpt
from ferspore.run.decision import decide
from ferspore.run.folder import read_snapshot
from ferspore.run.lock import RunLock, RunLockedError
from ferspore.run.names import METRICS, sidecar_path
from ferspore.run.sidecar import describe_file, read_sidecar, seal
from tests import runs
from tests.damage import damaged
from tests.runs import save_weights
from tests.same_run import differences, without_apart

EPOCHS = 4


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.fixture(scope="module")
def straight(csv, tmp_path_factory):
    """The run that was never stopped, in a process of its own."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    result = runs.call(*words(csv, folder), cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def stopped(straight, tmp_path):
    """A copy of the straight run as it stood after its second epoch."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("fer-1_4", "fer-2_4", "best_model"):
        for suffix in (".ckpt", ".json"):
            shutil.copy(straight / (name + suffix), folder)
    return folder


def words(csv, folder, **changes):
    return [*runs.settings_words(csv, training__epochs=EPOCHS, **changes), "--save_dir", folder]


def records(folder):
    return without_apart((folder / METRICS).read_bytes())


def assert_same_run(folder, straight):
    """The last snapshot, both models and the metrics."""
    models = (f"fer-{EPOCHS}_4", "best_model", "final_model")
    names = [METRICS, *(name + ending for name in models for ending in (".ckpt", ".json"))]
    assert not list(differences(folder, straight, names))


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def test_stops_at_epoch_ends_and_in_mid_epoch_change_nothing(csv, straight, tmp_path):
    """1 epoch; a stop in mid-epoch of the second; the rest: three processes."""
    folder = tmp_path / "run"
    process = start(csv, folder)
    wait_for(lambda: (folder / "fer-1_2.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143
    assert "stopped (SIGTERM) in epoch" in output and "--resume" in output
    again = runs.call("--save_dir", folder, "--resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "resumed from" in again.stdout
    last = read_snapshot(folder / f"fer-{EPOCHS}_4.ckpt").sidecar
    assert len(last.resumes) == 1 and 2 <= last.resumes[0] < last.global_step
    assert_same_run(folder, straight)


def start(csv, folder):
    # Snapshots every two steps make mid-epoch states easy to hit. They do not change the run, and
    # neither do workers or losses that are fetched late.
    changes = ("--set", "data.workers=2", "--set", "training.losses_every=3")
    return subprocess.Popen(
        runs.command(*words(csv, folder), "--save_checkpoint_steps", 2, *changes),
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_kill_loses_at_most_the_work_since_the_last_snapshot(csv, straight, tmp_path):
    folder = tmp_path / "run"
    process = start(csv, folder)
    wait_for((folder / "fer-3_4.json").exists, process)
    process.kill()
    process.communicate()
    again = runs.call("--resume", folder, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert_same_run(folder, straight)
    assert not list(folder.glob(".writing-*"))


def test_every_mid_epoch_snapshot_leads_to_the_same_run(csv, straight, tmp_path):
    """Also with a global seed set elsewhere, in this process."""
    import mindspore

    source = tmp_path / "source"
    code, _ = runs.train(
        source, csv, training__epochs=EPOCHS, checkpoint__save_checkpoint_steps=1,
        checkpoint__keep_checkpoint_max=99,
    )  # fmt: skip
    assert code == 0
    for name in ("fer-1_1.ckpt", "fer-2_3.ckpt", "fer-4_4.ckpt"):
        folder = tmp_path / name.removesuffix(".ckpt")
        folder.mkdir()
        for part in (source / name, source / "best_model.ckpt"):
            shutil.copy(part, folder)
            shutil.copy(sidecar_path(part), folder)
        mindspore.set_seed(99)
        np.random.seed(99)
        code, lines = runs.train(folder, None, resume=folder)
        epoch, step = name.removeprefix("fer-").removesuffix(".ckpt").split("_")
        assert code == 0 and f"at epoch {epoch}, step {step}/4" in "\n".join(lines)
        assert_same_run(folder, straight)


def test_a_snapshot_that_was_not_evaluated_is_evaluated_first(straight, stopped):
    path = stopped / "fer-2_4.ckpt"
    values = read_sidecar(path).model_dump()
    values.update(evaluated=False, history=values["history"][:1])
    first = values["history"][0]
    values.update(best_accuracy=first["val_accuracy"], best_loss=first["val_loss"], best_epoch=1)
    files.write_file(sidecar_path(path), seal(values))
    code, lines = runs.train(stopped, None, resume="auto")
    assert code == 0 and "evaluating it first" in "\n".join(lines)
    assert records(stopped) == records(straight)
    assert read_sidecar(path).evaluated


def test_a_better_best_of_the_folder_stays(straight, stopped):
    """From an older snapshot the run may find a lower best: the file keeps the better one."""
    weights = read_ckpt(straight / "best_model.ckpt").tensors
    (stopped / "best_model.ckpt").unlink()
    save_weights(
        stopped / "best_model.ckpt", weights,
        {"best_accuracy": 1.0, "best_epoch": 9, "val_loss": 0.1, "epoch_num": 9},
    )  # fmt: skip
    before = (stopped / "best_model.ckpt").read_bytes()
    code, lines = runs.train(stopped, None, resume="auto")
    assert code == 0
    assert (stopped / "best_model.ckpt").read_bytes() == before
    sidecar = json.loads((stopped / "best_model.json").read_text())
    assert (sidecar["best_accuracy"], sidecar["best_epoch"]) == (1.0, 9)
    assert "rebuilt" in "\n".join(lines)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "bytes where its sidecar says"),
        (lambda path: path.write_bytes(b""), "0 bytes where"),
        (lambda path: sidecar_path(path).unlink(), "json is missing"),
        (lambda path: flip(path, 5000), "sha256"),
        (lambda path: flip(sidecar_path(path), 700), "sidecar"),
        (
            lambda path: shutil.copy(path.with_name("fer-1_4.json"), sidecar_path(path)),
            "that of 'fer-1_4.ckpt'",
        ),
    ],
)
def test_a_damaged_newest_snapshot_is_named_and_passed_over(stopped, damage, told):
    damage(stopped / "fer-2_4.ckpt")
    asked = Asked(stopped, load_config(None), "auto")
    decision = decide(asked, *look(asked))
    assert decision.snapshot.path == stopped / "fer-1_4.ckpt"
    lines = decision.lines
    assert len(lines) == 1 and "fer-2_4.ckpt: passed over" in lines[0] and told in lines[0]


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def test_a_snapshot_with_a_nan_does_not_count(stopped):
    path = stopped / "fer-2_4.ckpt"
    snapshot = read_snapshot(path)
    tensors = {**snapshot.tensors, "head.bias": np.full(7, np.nan, np.float32)}
    save_weights(path, tensors, {})
    values = {**snapshot.sidecar.model_dump(), **describe_file(path, path.name)}
    files.write_file(sidecar_path(path), seal(values))
    with pytest.raises(UnsoundError, match=r"not finite, in head\.bias"):
        read_snapshot(path)


def test_when_no_sound_snapshot_is_left_it_stops(stopped):
    for path in stopped.glob("*.ckpt"):
        flip(path, 5000)
    with pytest.raises(RefusalError, match="no sound snapshot is left"):
        runs.train(stopped, None, resume="auto")


def test_damaged_at_random_never_a_wrong_load(stopped):
    """50 random damages of a snapshot or its sidecar, in one process (soak does 500)."""
    rng = np.random.default_rng(5)
    path = stopped / "fer-2_4.ckpt"
    originals = {part: part.read_bytes() for part in (path, sidecar_path(path))}
    for _ in range(50):
        part = list(originals)[int(rng.integers(2))]
        content = damaged(originals[part], rng)
        if content == originals[part]:
            continue
        part.write_bytes(content)
        with pytest.raises(UnsoundError):
            read_snapshot(path)
        part.write_bytes(originals[part])
    assert read_snapshot(path)


def test_from_an_older_snapshot_of_a_finished_run_the_final_model_is_new(straight, tmp_path):
    folder = shutil.copytree(straight, tmp_path / "run")
    old = (folder / "final_model.ckpt").read_bytes()
    loaded = load_config(None, [Override("training.lr", 0.5, "--lr")])
    lines: list[str] = []
    asked = Asked(folder, loaded, folder / "fer-2_4.ckpt")
    assert command_line.train(asked, lines.append) == 0
    text = "\n".join(lines)
    assert "at epoch 2, step 4/4" in text and "finished: 4 epochs" in text
    assert (folder / "final_model.ckpt").read_bytes() != old
    new = read_ckpt(folder / "final_model.ckpt").tensors
    newest = read_snapshot(folder / "fer-4_4.ckpt").contents.tensors
    np.testing.assert_array_equal(new["head.weight"], newest["ema.head.weight"])
    code, lines = runs.train(folder, None, resume="auto")
    assert code == 0 and lines[0].startswith("already finished: 4 epochs")


def test_a_snapshot_of_another_folder_goes_on_in_an_empty_one(straight, stopped, tmp_path):
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    folder = tmp_path / "elsewhere"
    code, lines = runs.train(folder, None, resume=stopped)
    assert code == 0 and "at epoch 2, step 4/4" in "\n".join(lines)
    assert_same_run(folder, straight)
    assert {p.name: p.read_bytes() for p in stopped.iterdir() if p.name in before} == before


def test_what_defines_the_run_is_refused_with_both_values(stopped, csv):
    with pytest.raises(ConfigError) as caught:
        runs.train(stopped, csv, resume="auto", seed=7, training__batch_size=8)
    text = str(caught.value)
    assert "seed: the run has 1, received 7" in text
    assert "training.batch_size: the run has 16, received 8" in text


def test_the_same_values_given_again_are_no_change(stopped, csv, tmp_path):
    moved = tmp_path / "moved.csv"
    shutil.copy(csv, moved)
    code, lines = runs.train(stopped, moved, resume="auto", training__epochs=EPOCHS)
    assert code == 0 and not [line for line in lines if line.startswith("warning")]


def test_another_csv_is_refused(stopped, tmp_path):
    other = tmp_path / "other.csv"
    runs.write_practice_csv(other, seed=4, counts={"Training": 70, "PublicTest": 37})
    with pytest.raises(RefusalError, match="its content is not what the run was trained on"):
        runs.train(stopped, other, resume="auto", training__epochs=EPOCHS)


def test_a_new_learning_rate_warns_and_more_epochs_are_said(stopped, csv):
    code, lines = runs.train(
        stopped, csv, resume="auto", training__lr=0.01, training__epochs=EPOCHS + 1
    )
    text = "\n".join(lines)
    assert code == 0
    assert "warning: training.lr: the run has 0.05, received 0.01" in text and "moments" in text
    assert "schedule of 5 epochs from step 9 on" in text
    assert records(stopped)[2]["lr"] <= 0.01 and len(records(stopped)) == EPOCHS + 1


def test_fewer_epochs_than_done_are_refused(stopped, csv):
    with pytest.raises(ConfigError, match="received 1, but epoch 2 has begun"):
        runs.train(stopped, csv, resume="auto", training__epochs=1)


def test_an_early_stopped_run_goes_on_with_a_larger_patience(csv, tmp_path):
    folder = tmp_path / "run"
    changes = dict(training__lr=3.0, training__ema_decay=0, training__epochs=6)
    runs.train(folder, csv, training__patience=1, **changes)
    done = len(records(folder))
    assert done < 6
    code, _ = runs.train(folder, csv, resume="auto", training__patience=50, **changes)
    assert code == 0 and len(records(folder)) == 6


@pytest.mark.parametrize(
    ("resume", "told"),
    [
        ("nowhere", "no such file or folder"),
        ("best_model.ckpt", "--init_from"),
        ("final_model.ckpt", "--init_from"),
        ("empty", "no snapshot in this folder"),
    ],
)
def test_what_cannot_be_resumed(straight, tmp_path, resume, told):
    (tmp_path / "empty").mkdir()
    where = straight / resume if resume.endswith(".ckpt") else tmp_path / resume
    with pytest.raises(RefusalError, match=told):
        runs.train(where.parent if resume.endswith(".ckpt") else where, None, resume=where)
    assert not list((tmp_path / "empty").iterdir()) and not (tmp_path / "nowhere").exists()


def test_a_second_trainer_is_refused_while_the_first_lives(stopped, csv):
    with (
        RunLock(stopped),
        pytest.raises(RunLockedError, match=f"process {os.getpid()}"),
    ):
        runs.train(stopped, csv, resume="auto")
    with RunLock(stopped):
        pass


def test_resume_alone_without_a_run_starts_one_and_says_so(csv, tmp_path):
    code, lines = runs.train(tmp_path / "new", csv, resume="auto", training__epochs=1)
    assert code == 0 and "no run in" in "\n".join(lines)
