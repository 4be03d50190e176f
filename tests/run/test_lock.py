"""One trainer a folder."""

import errno
import fcntl
import os

import pytest

from ferspore.config.loading import Override, load_config
from ferspore.run.asked import Asked
from ferspore.run.lock import RunLock, RunLockedError, lock_holder
from ferspore.run.names import LOCK
from ferspore.run.opening import opened


def test_a_second_trainer_is_refused_and_told_of_the_first(tmp_path):
    with RunLock(tmp_path):
        assert lock_holder(tmp_path) == os.getpid()
        with pytest.raises(RunLockedError, match=rf"process {os.getpid()}\) is at work"):
            RunLock(tmp_path).__enter__()
        assert lock_holder(tmp_path) == os.getpid()
        (tmp_path / "file").touch()
    assert lock_holder(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_nothing_written_leaves_no_trace(tmp_path):
    folder = tmp_path / "run"
    with RunLock(folder):
        assert (folder / LOCK).exists()
    assert not folder.exists()


def test_an_empty_folder_that_was_there_stays(tmp_path):
    with RunLock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_stays(tmp_path):
    folder = tmp_path / "run"
    with RunLock(folder):
        (folder / "file").write_text("content")
    assert (folder / "file").read_text() == "content"


def test_the_lock_of_a_dead_trainer_is_free(tmp_path):
    (tmp_path / LOCK).write_text("999999\n")
    assert lock_holder(tmp_path) is None
    with RunLock(tmp_path):
        assert lock_holder(tmp_path) == os.getpid()


def test_a_lock_that_its_holder_deletes_meanwhile_is_not_held(tmp_path, monkeypatch):
    """A refused trainer deletes the file between this one's opening and locking it."""
    lock, flock = tmp_path / LOCK, fcntl.flock

    def late(file, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        lock.unlink()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with RunLock(tmp_path):
        assert lock_holder(tmp_path) == os.getpid()
        with pytest.raises(RunLockedError):
            RunLock(tmp_path).__enter__()


def test_a_link_is_not_followed(tmp_path):
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("content")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK).symlink_to(elsewhere)
    with pytest.raises(OSError):
        RunLock(folder).__enter__()
    assert elsewhere.read_text() == "content"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_it_trains_with_a_warning(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    asked = Asked(tmp_path / "run", load_config(None, [Override("data.csv", "practice", "test")]))
    with opened(asked) as decision:
        assert decision.action == "start"
        assert "has no locks" in decision.lines[0] and os.strerror(number) in decision.lines[0]
        assert lock_holder(asked.folder) is None
