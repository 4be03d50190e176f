"""Writing files for good: the old content or the new, never a part, nothing left behind."""

import errno
import hashlib
import os

import pytest

from ferspore import files


def test_the_parts_stand_one_after_another(tmp_path):
    path = tmp_path / "file"
    files.write_file(path, b"one ", memoryview(b"two"))
    assert path.read_bytes() == b"one two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_beside_does_not_touch_the_place(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    waiting = files.write_beside(path, b"new")
    assert waiting == files.beside(path) and waiting.name == ".writing-file"
    assert (path.read_bytes(), waiting.read_bytes()) == (b"old", b"new")
    files.rename(waiting, path)
    assert path.read_bytes() == b"new" and not waiting.exists()


@pytest.mark.parametrize("call", ["_write", "rename"])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(first, *_):
        first.write_bytes(b"n")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, call, full)
    with pytest.raises(OSError, match="No space"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert call == "rename" or not files.beside(path).exists()


def test_content_then_name_reach_the_disk(tmp_path, monkeypatch):
    order = []

    def recorded(module, name):
        real = getattr(module, name)

        def call(*arguments):
            order.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, call)

    for name in ("_write", "rename", "flush_folder"):
        recorded(files, name)
    recorded(os, "fsync")
    files.write_file(tmp_path / "file", b"new")
    assert order == ["_write", "fsync", "rename", "flush_folder", "fsync"]


def test_what_is_no_regular_file_is_written_to_and_stays(tmp_path):
    """As root, renaming over /dev/null would replace the device."""
    pipe, link, target = (tmp_path / name for name in ("pipe", "link", "target"))
    os.mkfifo(pipe)
    link.symlink_to(target)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:  # noqa: PTH123
        files.write_output(pipe, b"told")
        assert reader.read() == b"told" and pipe.is_fifo()
    files.write_output(link, b"one")
    files.write_output(link, b"two")
    assert link.is_symlink() and target.read_bytes() == b"two"
    files.write_output(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_removing_what_is_not_there_is_no_error(tmp_path):
    files.remove(tmp_path / "nothing")


def test_the_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert files.file_sha256(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()


def without_a_home(monkeypatch):
    def unknown(_):
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_cache_folder_follows_the_xdg_specification(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "ferspore"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_folder() == tmp_path / "home" / ".cache" / "ferspore"


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    """As with docker run --user 12345."""
    without_a_home(monkeypatch)
    assert files.cache_folder() is None


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        files.read_file(tmp_path / "pipe")
