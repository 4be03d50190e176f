"""What a process finds out about its cluster, and that it ends with its launcher."""

import os
import subprocess
import sys
import time

import pytest

from ferspore import cluster

MIDDLE = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
child.wait()
"""
RANK = """
import time
from ferspore import cluster
cluster.end_with_launcher()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("told", "role"),
    [({}, None), ({"MS_ROLE": "MS_SCHED"}, "scheduler"), ({"MS_ROLE": "MS_WORKER"}, "worker")],
)
def test_mindspore_s_environment_tells_the_role(told, role, monkeypatch):
    monkeypatch.delenv("MS_ROLE", raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert cluster.role() == role


def test_ancestors_and_descendants_are_found():
    me, parent = os.getpid(), os.getppid()
    assert next(cluster.ancestors(me, cluster.living())) == parent
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in cluster.descendants(me)
        assert me in cluster.ancestors(child.pid, cluster.living())
        assert me not in cluster.descendants(me)
    assert child.pid not in cluster.living()


def test_a_process_may_have_any_name():
    """Linux cuts one after 15 bytes, and so within a letter."""
    code = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\xe8\\xae) Z 1', 0, 0, 0); "
        "print('named', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        assert child.stdout.readline() == b"named\n"
        assert cluster.living()[child.pid] == os.getpid()
        child.stdin.close()


def test_the_processes_are_read_once_however_many_there_are(monkeypatch):
    readings = iter([{1: 0, 2: 1, 3: 2, 4: 1}])
    monkeypatch.setattr(cluster, "living", lambda: next(readings))
    assert cluster.descendants(2) == [3]


def test_a_rank_leaves_its_exit_code_where_a_launcher_wants_it(tmp_path, monkeypatch):
    cluster.leave_exit_code(3)  # nobody does
    monkeypatch.setenv(cluster.EXIT_CODES, str(tmp_path))
    monkeypatch.setenv("RANK_ID", "1")
    cluster.leave_exit_code(143)
    assert cluster.exit_code_in(tmp_path, 1) == 143
    assert cluster.exit_code_in(tmp_path, 0) is None


def test_a_full_disk_does_not_end_a_rank_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv(cluster.EXIT_CODES, str(tmp_path))
    monkeypatch.setenv("RANK_ID", "0")
    (tmp_path / "rank_0.code").symlink_to("/dev/full")
    cluster.leave_exit_code(1)
    (tmp_path / "rank_1.code").touch()  # what is left on a real disk
    assert cluster.exit_code_in(tmp_path, 1) == 1


def started(launcher):
    """A process below another one, and that other one; ``launcher``: what both hold for it."""
    environment = {**os.environ, cluster.LAUNCHER: str(launcher)}
    middle = subprocess.Popen(
        [sys.executable, "-c", MIDDLE, RANK], env=environment, stdout=subprocess.PIPE, text=True
    )
    process, _, said = middle.stdout.readline().partition(" ")
    return middle, int(process), said.strip()


def test_a_rank_ends_with_the_process_above_it():
    middle, rank, said = started(os.getpid())
    assert said == "ready" and rank in cluster.living()
    middle.kill()
    middle.wait()
    deadline = time.monotonic() + 60
    while rank in cluster.living():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_rank_whose_launcher_has_ended_does_not_begin():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    middle, _, said = started(ended.pid)
    assert said == ""
    middle.wait()
