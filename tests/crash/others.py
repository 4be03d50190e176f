"""What is written outside a run's folder: the caches, and files that replace an earlier one."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferspore import files
from ferspore.data import cache, practice
from ferspore.data.faces import Faces
from ferspore.data.rows import Parsed
from tests.crash.disk import Recorder, State, key_of, put
from tests.crash.power import Power

FACES = Faces(np.arange(2 * 2304, dtype=np.uint8).reshape(2, 48, 48), np.uint8([3, 4]))
PARSED = Parsed({"Training": 2}, 1, [(3, "a fault")], {"Training": FACES})
COUNTS = {"Training": 1, "PublicTest": 1}


@dataclass(frozen=True)
class Other:
    """``check`` raises unless a folder is as a cut may leave it; ``done``: ``write`` came to its
    end before. Then ``write`` is called again. ``lasts``: what was done may not be lost."""

    write: Callable[[Path], None]
    check: Callable[[Path, bool], None]
    prepare: Callable[[Path], None] = lambda folder: None
    lasts: bool = False


def write_arrays(folder: Path) -> None:
    cache.write_arrays(folder / "arrays", PARSED)


def check_arrays(folder: Path, done: bool) -> None:
    """The right ones, none, or an error that has the CSV read again; never others."""
    try:
        found = cache.read_arrays(folder / "arrays", ["Training"])
    except cache.DamagedCacheError:
        found = None
    assert found is not None or not done, "what was kept is gone"
    if found is not None:
        assert (found.counts, found.bad) == (PARSED.counts, PARSED.bad)
        assert found.splits["Training"].images.tobytes() == FACES.images.tobytes()


def draw_practice(folder: Path) -> None:
    practice.practice_csv(folder / "cache")


def check_practice(folder: Path, _: bool) -> None:
    path, right = practice.practice_csv(folder / "cache"), b"".join(practice._csv_lines(0, COUNTS))
    assert path.read_bytes() == right


def put_old_output(folder: Path) -> None:
    files.write_file(folder / "sweep.json", b"old")


def write_output(folder: Path) -> None:
    files.write_output(folder / "sweep.json", b"new" * 400)


def check_output(folder: Path, done: bool) -> None:
    found = (folder / "sweep.json").read_bytes()
    assert found == b"new" * 400 or (found == b"old" and not done), found[:20]


OTHERS = (
    Other(write_arrays, check_arrays),
    Other(draw_practice, check_practice),
    Other(write_output, check_output, put_old_output, lasts=True),
)


def check_all(power: Power) -> int:
    """The number of states, all of which held.

    Raises:
        AssertionError, or anything else: one did not.
    """
    kept, practice.COUNTS = practice.COUNTS, COUNTS
    try:
        return sum(_check(power, other) for other in OTHERS)
    finally:
        practice.COUNTS = kept


def _check(power: Power, other: Other) -> int:
    checked = 0
    for state, done in _states(power, other):
        power.root.mkdir()
        put(state, power.root)
        other.check(power.root, done and other.lasts)
        other.write(power.root)
        other.check(power.root, True)
        shutil.rmtree(power.root)
        checked += 1
    return checked


def _states(power: Power, other: Other) -> Iterator[tuple[State, bool]]:
    power.root.mkdir()
    other.prepare(power.root)
    recorder = Recorder(power.root)
    found: dict[bytes, tuple[State, bool]] = {}

    def collect(done: bool = False) -> None:
        found.update({key_of(state): (state, done) for state in recorder.states()})

    recorder.on_change = collect
    with power.calls.heard_by(recorder):
        other.write(power.root)
    collect(done=True)
    power.counted += recorder.calls
    shutil.rmtree(power.root)
    yield from found.values()
