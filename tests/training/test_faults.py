"""Full disks, read-only folders, signals and rivals: one clear line, and all earlier work whole.

Real file systems and real signals. Where mounting is not allowed the full disk is skipped, with
the reason; the read-only folder is then one without write permission.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from ferspore import runtime
from ferspore.run.folder import checked, read_folder, read_snapshot
from ferspore.run.names import LOCK, METRICS
from ferspore.run.sidecar import read_sound
from tests import runs
from tests.same_run import differences
from tests.training.test_resume import wait_for

EPOCHS = 3


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return runs.small_csv(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.fixture(scope="module")
def straight(csv, tmp_path_factory):
    """The run that met no fault."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    assert runs.train(folder, csv, training__epochs=EPOCHS)[0] == 0
    return folder


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own; ``disk(size)`` mounts it or gives it another size."""
    point = tmp_path / "disk"
    point.mkdir()

    def mount(options):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        return point

    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("a tmpfs can only be mounted by root")
    yield mount
    subprocess.run(["umount", str(point)], capture_output=True)


def words(csv, folder, **changes):
    settings = runs.settings_words(csv, **{"training__epochs": EPOCHS, **changes})
    return [*settings, "--save_dir", folder, "--resume"]


def assert_all_whole(folder):
    """Every file that counts can be read; none is half written."""
    for path in folder.glob("fer-*.ckpt"):
        read_snapshot(path)
    for path in folder.glob("*_model.ckpt"):
        read_sound(path)
    assert not list(folder.glob(".writing-*"))


def assert_one_line(result, *told):
    """A failure that is not the user's mistake, told in one line and without a traceback."""
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for text in ("train.py: ", *map(str, told)):
        assert text in result.stderr


# --- disks ----------------------------------------------------------------------------------------


def test_a_full_disk_costs_no_earlier_snapshot(csv, straight, disk, tmp_path):
    """The disk fills up, again and again while it is made larger; then the run is the straight one.

    The sizes make the disk end within snapshots, models, sidecars and metrics.
    """
    folder = disk("size=140k") / "run"
    assert_one_line(runs.call(*words(csv, folder), cwd=tmp_path), folder, os.strerror(errno.ENOSPC))
    assert_all_whole(folder)
    assert list(folder.glob("fer-1_4.ckpt"))
    reached = failures = 0
    for size in range(150, 600, 90):
        disk(f"remount,size={size}k")
        with contextlib.suppress(OSError):
            runs.train(folder, csv, resume="auto", training__epochs=EPOCHS)
            break
        failures += 1
        assert_all_whole(folder)
        holdings = checked(read_folder(folder))
        snapshot = holdings.newest
        assert snapshot == holdings.snapshots[-1] and snapshot.sidecar.global_step >= reached
        reached = snapshot.sidecar.global_step
    assert failures >= 2
    assert not list(differences(folder, straight))


def test_a_read_only_folder(csv, straight, tmp_path, request):
    if os.geteuid() == 0:  # root may write wherever modes forbid it
        mount = request.getfixturevalue("disk")
        folder, reason = mount("size=4m") / "run", errno.EROFS
        shutil.copytree(straight, folder)
        mount("remount,ro")
    else:
        folder, reason = tmp_path / "run", errno.EACCES
        shutil.copytree(straight, folder)
        (folder / LOCK).chmod(0o444)
        folder.chmod(0o555)
    assert_one_line(runs.call(*words(csv, folder), cwd=tmp_path), folder, os.strerror(reason))
    assert not list(differences(folder, straight))


# --- signals and rivals ---------------------------------------------------------------------------


class Trainer:
    """A trainer of its own process, whose output is a pipe that can be made to stall it."""

    def __init__(self, words, cwd):
        reading, self.writing = os.pipe()
        self.output = os.fdopen(reading)
        self.process = subprocess.Popen(
            runs.command(*words), cwd=cwd, stdout=self.writing, stderr=subprocess.PIPE, text=True
        )

    def wait_until_it_trains(self):
        while " parameters, " not in (line := self.output.readline()):
            assert line, self.process.stderr.read()

    def stall(self):
        """Fill the pipe: the trainer stays at its next line, the one of its first epoch."""
        # Opened anew, because the flag would otherwise hold for the trainer's end, too.
        descriptor = os.open(f"/proc/self/fd/{self.writing}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(descriptor, b"\n" * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(descriptor, b"\n")
        os.close(descriptor)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def close(self):
        self.process.kill()
        self.process.communicate()
        os.close(self.writing)
        self.output.close()


@pytest.fixture
def trainer():
    """Starts trainers that do not outlive the test."""
    with contextlib.ExitStack() as stack:

        def start(words, cwd):
            trainer = Trainer(words, cwd)
            stack.callback(trainer.close)
            return trainer

        yield start


def test_a_rival_is_refused_while_the_first_lives_and_may_follow_it(
    csv, straight, tmp_path, trainer
):
    folder = tmp_path / "run"
    first = trainer(words(csv, folder), tmp_path)
    first.wait_until_it_trains()
    first.stall()
    wait_for((folder / METRICS).exists, first.process)
    rival = runs.call(*words(csv, folder), cwd=tmp_path)
    assert rival.returncode == 2
    assert len(rival.stderr.splitlines()) == 1
    assert f"{folder}: another trainer (process {first.process.pid})" in rival.stderr

    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    for name in (".writing-fer-2_1.tmp", ".writing-best_model.json", "fer-9_9.json"):
        (folder / name).write_text("cut short")
    code, lines = runs.train(folder, csv, resume="auto", training__epochs=EPOCHS)
    assert code == 0 and "at epoch 1, step 4/4" in "\n".join(lines)
    assert_all_whole(folder)
    assert not list(differences(folder, straight))


def test_an_interrupt_saves_and_says_how_to_go_on(csv, tmp_path, trainer):
    folder = tmp_path / "run"
    process = trainer(words(csv, folder, training__epochs=500), tmp_path)
    process.wait_until_it_trains()
    wait_for((folder / "fer-1_4.json").exists, process.process)
    assert process.end(signal.SIGINT) == 130
    assert process.process.stderr.read() == ""
    os.set_blocking(process.output.fileno(), False)
    text = process.output.read()
    assert "stopped (Ctrl-C) in epoch" in text and f"--save_dir {folder} --resume" in text
    assert_all_whole(folder)


def test_no_thread_but_the_waiting_one_can_receive_a_signal(csv, tmp_path, trainer):
    """A signal that reached a thread of numpy's or MindSpore's would end the run unsaved."""
    folder = tmp_path / "run"
    process = trainer(words(csv, folder, training__epochs=500), tmp_path)
    wait_for((folder / "fer-2_4.json").exists, process.process)
    masks = {}
    for status in Path(f"/proc/{process.process.pid}/task").glob("*/status"):
        (line,) = [text for text in status.read_text().splitlines() if text.startswith("SigBlk")]
        masks[status.parent.name] = int(line.split()[1], 16)
    process.end(signal.SIGKILL)
    for number in runtime.StopSignals.SIGNALS:
        open_to_it = [thread for thread, mask in masks.items() if not mask >> (number - 1) & 1]
        assert len(masks) > 3 and len(open_to_it) == 1


def test_a_second_interrupt_ends_it_at_once(csv, tmp_path, trainer):
    """The trainer hangs in a write when the first comes; only the second gets it out of there."""
    folder = tmp_path / "run"
    process = trainer(words(csv, folder), tmp_path)
    process.wait_until_it_trains()
    process.stall()
    wait_for((folder / METRICS).exists, process.process)
    process.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.process.wait(timeout=0.5)
    assert process.end(signal.SIGINT) == 130
    assert_all_whole(folder)


def test_an_interrupt_during_the_imports_is_quiet(csv, tmp_path, trainer):
    process = trainer(words(csv, tmp_path / "run"), tmp_path)
    maps = Path(f"/proc/{process.process.pid}/maps")
    wait_for(lambda: "mindspore" in maps.read_text(), process.process)
    assert process.end(signal.SIGINT) == 130
    assert process.process.stderr.read() == "interrupted\n"


def test_without_its_output_it_trains_on_and_a_hangup_saves(csv, tmp_path):
    folder, words_ = tmp_path / "run", words(csv, tmp_path / "run", training__epochs=500)
    process = subprocess.Popen(
        runs.command(*words_), cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1)
    )
    wait_for((folder / "fer-1_4.json").exists, process)
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (129, b"")
    assert_all_whole(folder)
