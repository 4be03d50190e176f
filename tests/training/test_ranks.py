"""A run on two ranks, which are real processes: two launches for all that is asserted here."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from ferspore import cluster
from ferspore.evaluation.evaluator import load_evaluator
from ferspore.run.folder import read_folder, read_snapshot
from ferspore.run.names import METRICS
from tests import runs
from tests.same_run import differences
from tests.training.ranks_case import FIRST


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """The folder of `ranks_case.py` after it has run, and what it printed."""
    work = tmp_path_factory.mktemp("ranks")
    runs.small_csv(work / "faces.csv")
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(runs.ROOT / "src"), str(runs.ROOT)])}
    command = [sys.executable, str(runs.ROOT / "tests/training/ranks_case.py"), str(work)]
    done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=400)
    return work, done


@pytest.fixture(scope="module")
def found(case):
    """What the first rank found out."""
    _, done = case
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0])


def test_the_state_is_equal_on_all_ranks_and_after_a_resume(found):
    straight, resumed, *others = found["states"]
    assert found["codes"] == [0, 0]
    assert straight == resumed and others == [straight, straight]


def test_the_resumed_run_is_the_straight_one(case):
    work, _ = case
    names = ["fer-2_2.ckpt", "final_model.ckpt", "final_model.json", METRICS]
    assert not list(differences(work / "resumed", work / "straight", names))
    assert read_snapshot(work / "resumed" / "fer-2_2.ckpt").sidecar.resumes == [1]


def test_the_snapshot_says_how_many_devices_trained(case):
    work, done = case
    assert read_snapshot(work / "straight" / "fer-2_2.ckpt").sidecar.world_size == 2
    assert "2 steps of 32 an epoch" in done.stdout and "2 x CPU" in done.stdout
    assert FIRST in done.stdout


def test_validation_counts_each_face_once(case):
    work, _ = case
    from ferspore.data.csv import load_csv

    faces = load_csv(work / "faces.csv", ("PublicTest",)).splits["PublicTest"]
    evaluator, _ = load_evaluator(work / "straight" / "final_model.ckpt")
    scores = evaluator.score(faces)
    last = read_folder(work / "straight").newest.sidecar.history[-1]
    assert scores.count == 37
    assert (last["val_accuracy"], last["val_loss"]) == (scores.accuracy, scores.loss)


def test_a_rank_that_fails_shows_its_message(case):
    _, done = case
    assert done.returncode == 1
    assert "rank 1: ValueError: on purpose" in done.stderr
    assert "--resume --devices 2" in done.stderr


def test_sigterm_to_the_command_stops_all_ranks_after_a_snapshot(tmp_path):
    """The scheduler receives it, too, as under systemd and Slurm."""
    csv, folder = runs.small_csv(tmp_path / "faces.csv"), tmp_path / "run"
    words = runs.settings_words(csv, training__epochs=500, model__blocks="[1]")
    process = subprocess.Popen(
        runs.command(*words, "--save_dir", folder, "--devices", 2, "--save_checkpoint_steps", 1),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (folder / "fer-1_1.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    told = {other: cluster.environment_of(other) for other in cluster.living()}
    below = {other for other in told if told[other].get(cluster.LAUNCHER) == str(process.pid)}
    (scheduler,) = [other for other in below if told[other].get("MS_ROLE") == "MS_SCHED"]
    os.kill(scheduler, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 143, output
    assert "stopped (SIGTERM) in epoch" in output and "--resume --devices 2" in output
    newest = read_folder(folder).newest
    assert newest.path.name in output and read_snapshot(newest.path).sidecar.world_size == 2
    launchers = [cluster.environment_of(p).get(cluster.LAUNCHER) for p in cluster.living()]
    assert str(process.pid) not in launchers


def test_a_cluster_that_does_not_come_together_is_told_in_one_line(tmp_path):
    """The scheduler finds its port taken."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        cluster_of = {
            "MS_ROLE": "MS_SCHED", "MS_WORKER_NUM": "2", "MS_SCHED_HOST": "127.0.0.1",
            "MS_SCHED_PORT": str(other.getsockname()[1]),
        }  # fmt: skip
        done = subprocess.run(
            runs.command("--data_csv", "practice"), env={**os.environ, **cluster_of}, cwd=tmp_path,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the ranks have not found each other: Failed to initialize" in done.stderr
