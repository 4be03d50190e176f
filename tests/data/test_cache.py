"""The parsed arrays in the user's cache: keyed by content, checked, rebuilt, shared."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ferspore.data.cache import locked
from tests.data.csv_files import ALL, PX, ROWS, check, error_of, official, quiet, write
from tests.test_files import without_a_home

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


def cache_files(home: Path) -> dict[str, Path]:
    return {path.name: path for path in home.rglob("*") if path.is_file()}


def test_cache_holds_one_file_a_split_and_no_leftovers(tmp_path, cache_home):
    quiet(write(tmp_path / "faces.csv", official()), ("Training",))
    names = {f"{split}.faces" for split in ALL} | {"table.json"}
    assert set(cache_files(cache_home)) == names


def test_cache_is_keyed_by_content(tmp_path):
    """Same size, same times, same inode: only the content tells."""
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    before = path.stat()
    changed = [("6", ROWS[0][1], "Training"), *ROWS[1:]]
    write(path, official(changed))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    check(quiet(path)[0], changed)
    # and a copy elsewhere is the same file
    table, said = quiet(write(tmp_path / "copy.csv", official()))
    assert "from the cache" in said[0]
    check(table)


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["table.json", "Training.faces"])
@pytest.mark.parametrize("damage", [damage_flip, damage_cut, damage_empty])
def test_damaged_cache_is_reported_and_rebuilt(tmp_path, cache_home, name, damage):
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    damage(cache_files(cache_home)[name])
    table, said = quiet(path)
    check(table)
    assert "its cache is damaged" in said[0]
    assert name in said[0]
    table, said = quiet(path)
    check(table)
    assert len(said) == 1
    assert "from the cache" in said[0]


def test_lost_split_is_rebuilt_when_it_is_asked_for(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    cache_files(cache_home)["PublicTest.faces"].unlink()
    assert "from the cache" in quiet(path, ("Training",))[1][0]
    table, said = quiet(path, ("PublicTest",))
    check(table, splits=("PublicTest",))
    assert "its cache is damaged" in said[0]


def test_writing_into_the_arrays_leaves_the_cache_alone(tmp_path):
    path = write(tmp_path / "faces.csv", official())
    for _ in ("parsed", "cached"):
        faces = quiet(path)[0].splits["Training"]
        faces.images[:] = 1
        faces.labels[:] = 1
        check(quiet(path)[0])


def test_cache_never_hides_bad_rows(tmp_path):
    path = write(tmp_path / "faces.csv", official([*ROWS, ("7", PX, "Training")] * 7))
    refused = error_of(path)
    table, said = quiet(path, skip_bad_rows=True)
    check(table, ROWS * 7)
    assert table.skipped == 7
    assert "from the cache" in said[0]
    assert said[1].startswith("faces.csv: 7 bad rows dropped")
    assert error_of(path) == refused == error_of(path, cache=False)
    assert "7 bad rows" in refused


def test_cache_off_neither_reads_nor_writes(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official())
    check(quiet(path, cache=False)[0])
    assert not cache_home.exists()
    quiet(path)
    _, said = quiet(path, cache=False)
    assert "read in" in said[0]


def test_unwritable_cache_is_a_line_not_an_error(tmp_path, cache_home):
    cache_home.write_text("a file where the folder should be")
    table, said = quiet(write(tmp_path / "faces.csv", official()))
    check(table)
    assert len(said) == 2
    assert "not cached" in said[0]


def test_relative_cache_home_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    quiet(write(tmp_path / "faces.csv", official()))
    assert not (tmp_path / "here").exists()
    assert (tmp_path / "home" / ".cache" / "ferspore").is_dir()


def test_processes_that_build_the_same_cache_at_once(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official(ROWS * 30))
    code = f"from ferspore.data.csv import load_csv; load_csv({str(path)!r}, ['Training'])"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    table, said = quiet(path)
    check(table, ROWS * 30)
    assert "from the cache" in said[0]
    assert len(cache_files(cache_home)) == 4


def test_what_a_killed_writer_left_is_overwritten(tmp_path, cache_home):
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    faces = cache_files(cache_home)["Training.faces"]
    (faces.parent / "table.json").unlink()
    faces.rename(faces.with_name(".writing-Training.faces"))
    quiet(path)
    assert set(cache_files(cache_home)) == {f"{split}.faces" for split in ALL} | {"table.json"}


def test_a_second_writer_waits_for_the_first(tmp_path):
    entered = threading.Event()

    def second():
        with locked(tmp_path):
            entered.set()

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    thread.join(10)
    assert entered.is_set()
    assert not list(tmp_path.iterdir())


def test_without_locks_the_cache_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = write(tmp_path / "faces.csv", official())
    quiet(path)
    assert "from the cache" in quiet(path)[1][0]


def test_what_killed_writers_left_of_other_files_goes_with_the_next_write(tmp_path, cache_home):
    left = [cache_home / "ferspore" / name for name in ("0-v1/.writing-a", ".writing-b", "0-v1/c")]
    young = cache_home / "ferspore" / "0-v1" / ".writing-young"
    left[0].parent.mkdir(parents=True)
    for path in (*left, young):
        path.touch()
    for path in left:
        os.utime(path, (0, 0))
    quiet(write(tmp_path / "faces.csv", official()))
    assert [path.exists() for path in (*left, young)] == [False, False, True, True]


def test_a_user_without_a_home_reads_a_file_all_the_same(tmp_path, monkeypatch):
    without_a_home(monkeypatch)
    assert quiet(write(tmp_path / "faces.csv", official()))
    assert "no such file" in error_of(Path("~/faces.csv"))
