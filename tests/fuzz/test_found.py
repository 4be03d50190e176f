"""What fuzzing and reading found, made in code: read or refused in a line, within bounds."""

import gzip
import hashlib
import io
import json
import os
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ferspore.data import rows
from ferspore.files import LARGEST, read_file
from ferspore.pictures.report import run_page
from ferspore.run.account import account_of
from ferspore.run.history import HistoryError, history_of
from ferspore.run.listing import format_runs, list_runs
from ferspore.run.lock import lock_holder
from ferspore.run.names import BEST, LOCK, METRICS
from ferspore.run.sidecar import seal, unseal
from ferspore.tables import aligned, printable
from tests.fuzz import bounds, mutation
from tests.fuzz.targets import TARGETS, packed, run_files
from tests.run import small_folders

WIPE = "\x1b[2J"  # clears a terminal


def tensor(name: bytes, dims: list[int]) -> bytes:
    message = mutation._Checkpoint()
    value = message.value.add(tag=name)
    value.tensor.dims[:] = dims
    value.tensor.tensor_type, value.tensor.tensor_content = b"Float32", b""
    return message.SerializeToString()


def resealed(name: str = "fer-2_2.json", **changes) -> bytes:
    return seal({**unseal(run_files("stopped")[name]), **changes})


def table(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def merges(levels: int) -> str:
    """Each mapping has the keys of the one before nine times."""
    names = "abcdefghijklmnop"[:levels]
    lines = [f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}" for a, b in pairwise(names)]
    return "\n".join(["a: &a {k0: 1, k1: 2}", *lines])


def zipped(names: list[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return out.getvalue()


KEYS = [f"k{i}: 1" for i in range(2000)]
STAGES = "stages:\n" + "".join(f"- {{name: s{i}, init_from: x{i}}}\n" for i in range(2000))
FOUND = {
    "a shape of 300 dimensions": ("ckpt", tensor(b"w", [2**62] * 300)),
    "a shape of 20,000 dimensions": ("ckpt", tensor(b"w", [2**62] * 20_000)),
    "a tensor's name without end": ("ckpt", tensor(b"x" * 50_000, [2])),
    "a tensor's name": ("ckpt", tensor(WIPE.encode(), [2])),
    "merge keys that multiply": ("yaml", merges(12).encode()),
    "2,000 keys": ("yaml", "\n".join(KEYS).encode()),
    "a section of 200 keys": ("yaml", f"model: {{{', '.join(KEYS[:200])}}}".encode()),
    "2,000 stages": ("yaml", STAGES.encode()),
    "a key": ("yaml", b'"\\x1b[2J": 1\n'),
    "a key given twice": ("yaml", b'"%s": 1\n"%s": 1\n' % (b"x" * 3000, b"x" * 3000)),
    "a base's name without end": ("yaml", b"extends: " + b"x" * 50_000),
    "a column's name": ("csv", WIPE.encode() + b",pixels\n1,2\n"),
    "names of a zip's members": ("zip", zipped(["x" * 3000 + ".csv", "y" * 3000 + ".csv"])),
    "a zip's two names of a member": (
        "zip", zipped(["x" * 3000 + ".csv"]).replace(b"xxx", b"yyy", 1)
    ),
    "a sidecar's key": ("sidecar", resealed(**{WIPE: 1})),
    "a loss above all floats": ("sidecar", resealed(history=[{"epoch": 1, "loss": 10**400}])),
    "a cache's table of nothing": ("cache", table(b"{}")),
    "a cache's table of lists": (
        "cache", table(b'{"counts": {"Training": [[]]}, "crc32": {"Training": 0}, "first_bad": []}')
    ),
    "a cache's table that is none": ("cache", table(b"no JSON")),
    "a lock that is no text": ("run", packed({**run_files("stopped"), LOCK: b"\xff\xff"})),
    "an epoch in a million years": ("run", packed({METRICS: b'{"epoch": 1000000000000}\n'})),
    "a snapshot with another's configuration": (
        "run", packed({**run_files("stopped"), "fer-2_2.json": resealed(
            config={"training": {"monitor": "val_loss"}, "unknown": 1})}),
    ),
    "a snapshot's time": (
        "run", packed({**run_files("stopped"), "fer-2_2.json": resealed(created=f"{WIPE}\n")}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_it_is_refused_in_a_line_or_read(case, tmp_path):
    name, content = FOUND[case]
    bounds.check(TARGETS[name].read, TARGETS[name].refusals, content, tmp_path)


# --- the bounds can be broken ---------------------------------------------------------------------


def starts(content, folder):
    os.system("true")


def writes(content, folder):
    folder.with_name("elsewhere").write_bytes(content)


def wipes(content, folder):
    raise ValueError(WIPE)


def floods(content, folder):
    raise ValueError("x" * 10_000)


def raises(content, folder):
    raise KeyError("x")


def takes_memory(content, folder):
    np.ones(bounds._highest() - bounds._resident() + (1 << 25), np.uint8)


@pytest.mark.parametrize("read", [starts, writes, wipes, floods, raises, takes_memory])
def test_each_bound_can_be_broken(read, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MEMORY", 1 << 24)
    with pytest.raises(bounds.BrokenError):
        bounds.check(read, (ValueError,), b"", tmp_path / "folder")
    assert not (tmp_path / "elsewhere").exists()


# --- files that are none --------------------------------------------------------------------------


MADE = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "dangling link": lambda path: path.symlink_to("gone"),
}


@pytest.mark.parametrize("kind", MADE)
def test_metrics_that_are_no_file_hold_nothing(tmp_path, kind):
    small_folders.finished(tmp_path / "run")
    metrics = tmp_path / "run" / METRICS
    metrics.unlink()
    MADE[kind](metrics)
    (run,) = list_runs(tmp_path)
    assert run.state == "finished"  # this run has no history
    with pytest.raises(HistoryError, match="it has no records"):
        history_of(tmp_path / "run")  # that of its best model


def test_a_lock_that_is_a_pipe_is_held_by_nobody(tmp_path):
    os.mkfifo(tmp_path / LOCK)
    assert lock_holder(tmp_path) is None


def test_a_file_with_holes_is_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(OSError, match="2,147,483,649 bytes, at most 2,147,483,648 are read"):
        read_file(tmp_path / "large")


def test_a_packed_file_of_bad_rows_alone_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MAX_BAD_ROWS", 1000)
    content = gzip.compress(b"emotion,pixels,Usage\n" + b"a\n" * 2000)
    with pytest.raises(
        TARGETS["gz"].refusals, match="more than 1,000 bad rows, expected a FER2013"
    ):
        TARGETS["gz"].read(content, tmp_path)


# --- pages and the terminal -----------------------------------------------------------------------


def test_a_page_shows_what_a_forged_run_says_as_text(tmp_path):
    folder = tmp_path / f"<b>$x{WIPE}"
    data = {"sha256": [1], "counts": {"<i>": "x", "Training": 3}}
    said = {"command": f"<script>alert(1)</script>{WIPE}", "versions": {"<u>": "<s>"}}
    small_folders.trained(folder, 2, data=data, **said)
    (folder / BEST).unlink()
    values = {"loss": 3e38, "val_loss": -3e38, "lr": 3e38, "seconds": 3e38, "eval_seconds": 3e38}
    (folder / METRICS).write_text(json.dumps({"epoch": 9, **values, "best": [1]}))
    shown = run_page(account_of(folder), None)
    assert "&lt;script&gt;alert(1)" in shown and "3 faces" in shown
    assert not [bad for bad in ("<script", "<b>", "<i>", "<u>", "<s>", "\x1b") if bad in shown]


def test_a_cell_of_a_table_is_one_line(tmp_path):
    small_folders.begun(tmp_path / f"a{WIPE}\nb")
    assert len(format_runs(list_runs(tmp_path)).splitlines()) == 2
    assert aligned([["a\nb", "c"]]) == "a\\nb  c"


@pytest.mark.parametrize("code", ["8", "5", "0;8", "38", ""])
def test_of_colours_only_ours_pass(code):
    assert printable(f"\x1b[{code}mx\x1b[0m\x1b[31m") == f"\\x1b[{code}mx\x1b[0m\x1b[31m"
