"""Launching several ranks, as far as no MindSpore is needed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ferspore import cluster
from ferspore.cli import common, launch, train, training
from ferspore.run.asked import Asked, Decision
from ferspore.run.lock import RunLock, RunLockedError
from ferspore.run.names import CONFIG, RANKS
from tests import runs
from tests.run import small_folders

SCHEDULER_AND_RANKS = """
import os, subprocess, sys, time
children = []
first = sys.argv[1]
for role, rank, code in ("MS_SCHED", 0, "600"), ("MS_WORKER", 0, first), ("MS_WORKER", 1, "600"):
    told = {**os.environ, "MS_ROLE": role, "RANK_ID": str(rank)}
    program = "import sys, time; time.sleep(float(sys.argv[1]))"
    children.append(subprocess.Popen([sys.executable, "-c", program, code], env=told))
for child in children:
    child.wait()
"""


@pytest.fixture
def csv(tmp_path):
    return runs.small_csv(tmp_path / "faces.csv")


def run(*words):
    arguments = train.parser().parse_args(common.with_underscores([str(word) for word in words]))
    return training.run(arguments, "command")


# --- before anything is launched ------------------------------------------------------------------


def test_a_batch_that_cannot_be_shared_is_refused(csv, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(*runs.settings_words(csv), "--save_dir", folder, "--devices", 3) == 2
    assert capsys.readouterr().err.endswith(
        "training.batch_size: 16 faces cannot be shared evenly by 3 devices; expected a number of "
        "devices out of 1, 2, 4, 8, 16\n"
    )
    assert not folder.exists()


def test_one_device_for_all_ranks_is_refused(tmp_path, capsys):
    words = runs.settings_words(tmp_path / "none.csv", device_id=0)
    assert run(*words, "--save_dir", tmp_path / "run", "--devices", 2) == 2
    assert "device_id: received 0, but each of 2 ranks takes a device" in capsys.readouterr().err


def test_a_csv_that_is_not_there_is_found_before_the_launch(tmp_path, capsys):
    words = [*runs.settings_words(tmp_path / "none.csv"), "--save_dir", tmp_path / "run"]
    assert run(*words, "--devices", 2) == 2
    assert "none.csv" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_second_launch_leaves_the_logs_of_the_first(tmp_path):
    log = tmp_path / RANKS / "rank_0.log"
    with RunLock(log.parent):  # whose first rank does not hold the run's lock yet
        log.touch()
        with pytest.raises(RunLockedError, match=f"{RANKS}: another trainer"):
            launch.launch(Asked(tmp_path, runs.given(None)), None, 2, print)
    assert log.exists()


@pytest.mark.parametrize(
    ("code", "written", "stays"), [(1, [], True), (2, [], False), (2, [CONFIG], True)]
)
def test_what_a_rank_refuses_leaves_no_trace(code, written, stays, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def ranks(logs, *_):
        for path in (logs / "rank_0.log", *(folder / name for name in written)):
            path.touch()
        with RunLock(folder):  # the first one's
            return code

    monkeypatch.setattr(launch, "watched", ranks)
    asked = Asked(folder, runs.given(None))
    assert launch.launch(asked, Decision("start", folder, asked.given), 2, print) == code
    assert (folder / RANKS / "rank_0.log").exists() == folder.exists() == stays


def test_a_finished_run_is_not_launched(tmp_path, capsys):
    folder = tmp_path / "run"
    small_folders.BUILDERS["finished"](folder)
    assert run("--save_dir", folder, "--resume", "--devices", 2) == 0
    assert "already finished" in capsys.readouterr().out and not (folder / RANKS).exists()


@pytest.mark.parametrize("word", ["0", "-1", "two", "1.5"])
def test_the_number_of_devices_is_a_whole_one(word, capsys):
    with pytest.raises(SystemExit):
        run("--devices", word)
    assert "expected a whole number from 1 to 1024" in capsys.readouterr().err


# --- msrun ----------------------------------------------------------------------------------------


def test_the_ranks_run_the_command_that_was_typed(tmp_path):
    words = ["src/train.py", "--devices", "2", "--resume"]
    command = launch.msrun_command(2, 23456, tmp_path, words)
    assert command[-5] in ("python", "python3") and command[-4:] == words
    assert {"--worker_num=2", "--master_port=23456", f"--log_dir={tmp_path}"} <= set(command)


def test_the_ranks_are_told_what_the_run_computes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "src/train.py", "--resume"])
    asked = Asked(tmp_path, runs.given(None, device=None))
    same, other = asked.given.config, runs.given(None, device="GPU", tf32=True).config
    words = ["src/train.py", "--resume"]
    assert launch.words_of_ranks(asked, same) == words
    more = launch.words_of_ranks(asked, other)
    loaded = training.asked_for(train.parser().parse_args(more[2:]), "command").given.config
    assert more[:2] == words and (loaded.device, loaded.tf32) == ("GPU", True)


def test_msrun_finds_this_python_and_this_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.delenv("PYTHONPATH")
    told = launch.environment(tmp_path)
    assert told["PATH"].split(":") == [str(Path(sys.executable).parent), "/usr/bin"]
    assert told["PYTHONPATH"] == str(runs.ROOT / "src")
    assert told[cluster.LAUNCHER] == str(os.getpid())
    assert told[cluster.USERS_PATH] == "/usr/bin"


def test_a_port_in_use_is_not_taken(monkeypatch):
    with socket.socket() as taken:
        taken.bind((launch.HOST, 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], launch.free_port()])
        monkeypatch.setattr(launch.random, "choice", lambda _: next(ports))
        assert launch.free_port() != taken.getsockname()[1]


def test_without_a_loopback_no_port_is_looked_for_without_end(monkeypatch):
    monkeypatch.setattr(launch, "HOST", "192.0.2.1")  # for documentation (RFC 5737): nobody has it
    with pytest.raises(OSError, match="assign"):
        launch.free_port()


@pytest.mark.parametrize(
    ("left", "code"), [({}, None), ({0: 143, 1: 143}, 143), ({1: 2}, 2), ({0: 0, 1: 1}, 0)]
)
def test_the_first_rank_that_left_a_code_decides(left, code, tmp_path):
    for rank, number in left.items():
        (tmp_path / f"rank_{rank}.code").write_text(str(number))
    assert launch.exit_code(tmp_path, 2) == code


# --- watching -------------------------------------------------------------------------------------


def test_the_tail_passes_on_whole_lines_without_mindspore_s(tmp_path):
    said = []
    tail = launch.Tail(tmp_path / "rank_0.log", said.append)
    tail.show()
    tail.path.write_text("epoch 1\n[ERROR] DISTRIBUTED(12,7f,python): x\nepo")
    tail.show()
    with tail.path.open("a") as log:
        log.write("ch 2\n")
    tail.show()
    assert said == ["epoch 1", "epoch 2"]


def test_what_a_follower_said_is_shown(tmp_path, capsys):
    (tmp_path / "rank_1.log").write_text("[INFO] RPC(1,2,x): y\ntrain.py: no such file\n")
    launch.tell_of_followers(tmp_path, 3)
    assert capsys.readouterr().err == "rank 1: train.py: no such file\n"


class Received:
    def __init__(self, number=None):
        self.received = number


def watched(tmp_path, seconds, number=None):
    """A process with a scheduler and two ranks below it, watched to its end; rank 0 ends after
    ``seconds``."""
    command = [sys.executable, "-c", SCHEDULER_AND_RANKS, str(seconds)]
    top = subprocess.Popen(command, env=launch.environment(tmp_path), start_new_session=True)
    watch = launch.Watch(top, Received(number), launch.Tail(tmp_path / "none", print))
    watch.until_end()
    return watch


@pytest.fixture
def _adopts(monkeypatch):
    monkeypatch.setattr(launch, "POLL_SECONDS", 0.05)
    cluster.adopt_orphans()


def test_when_one_process_ends_the_others_have_a_while_and_are_killed(
    tmp_path, monkeypatch, _adopts
):
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.2)
    watch = watched(tmp_path, seconds=1)
    assert watch.first_lost.startswith("rank 0 (process ")
    assert watch.msrun.returncode == -signal.SIGKILL
    assert nobody_left()


def test_a_signal_before_there_is_a_rank_ends_everything(tmp_path, _adopts):
    watch = watched(tmp_path, seconds=600, number=signal.SIGTERM)
    assert watch.msrun.returncode == -signal.SIGKILL and nobody_left()


def test_a_process_that_ends_before_it_is_killed_is_no_error(tmp_path, monkeypatch):
    top = subprocess.Popen(["true"])
    top.wait()
    monkeypatch.setattr(cluster, "descendants", lambda _: [top.pid])
    launch.Watch(top, Received(), launch.Tail(tmp_path / "none", print)).until_end()


def nobody_left():
    deadline = time.monotonic() + 60
    mine = str(os.getpid())
    while time.monotonic() < deadline:
        told = [cluster.environment_of(p).get(cluster.LAUNCHER) for p in cluster.living()]
        if mine not in told:
            return True
        time.sleep(0.05)
    return False
