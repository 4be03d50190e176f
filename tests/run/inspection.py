"""What lies in a folder after a command or a kill, judged without the code that wrote it."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ferspore.files import WRITING
from ferspore.run import ckpt
from ferspore.run.names import LOCK, SNAPSHOT_NAME
from ferspore.run.sidecar import unseal
from tests.run import toy

Tree = dict[str, tuple[int, ...]]  # relative path -> what changes when the file does


@dataclass(frozen=True)
class Found:
    """A checkpoint that its sidecar vouches for."""

    values: dict[str, Any]
    tensors: toy.Tensors
    info: dict[str, float | int]


def tree(folder: Path, prefix: str = "") -> Tree:
    """Every file in ``folder`` and below."""
    found: Tree = {}
    if not folder.is_dir():
        return found
    for entry in os.scandir(folder):
        if entry.is_dir():
            found |= tree(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            stat = entry.stat()
            found[prefix + entry.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def kept(found: Tree, before: Tree) -> Tree:
    """Without what a refused command may touch: its lock, and what a kill left half done: files
    that were being written ``before``, their places, a pruned snapshot's sidecar."""
    return {
        path: state
        for path, state in found.items()
        if Path(path).name != LOCK
        and not Path(path).name.startswith(WRITING)
        and str(Path(path).with_name(WRITING + Path(path).name)) not in before
        and not _is_orphan(path, before)
    }


def _is_orphan(path: str, found: Tree) -> bool:
    """Whether a kill within pruning left the sidecar of a snapshot that is gone."""
    snapshot = path.removesuffix(".json") + ".ckpt"
    return bool(SNAPSHOT_NAME.fullmatch(Path(snapshot).name)) and snapshot not in found


def snapshots(folder: Path) -> dict[str, Found]:
    """The sound snapshots by name. One whose publication was cut between its two renames counts:
    the sidecar that waits beside it vouches for it."""
    found = {}
    for name in tree(folder):
        if SNAPSHOT_NAME.fullmatch(name) and (one := sound(folder / name)):
            found[name] = one
    return found


def sound(path: Path) -> Found | None:
    sidecar = path.with_suffix(".json")
    for text in (sidecar, sidecar.with_name(WRITING + sidecar.name)):
        try:
            found = _found(path.read_bytes(), text.read_bytes())
        except OSError:
            continue
        if found and found.values.get("checkpoint") == path.name:
            return found
    return None


@lru_cache(maxsize=5_000)
def _found(content: bytes, text: bytes) -> Found | None:
    try:
        values = unseal(text)
        if values.get("sha256") != hashlib.sha256(content).hexdigest():
            return None
        contents = ckpt.parse_ckpt(content)
    except ckpt.UnsoundError:
        return None
    return Found(values, contents.tensors, contents.info)


def inside(path: Path) -> Found | None:
    """A model without its sidecar; None where it is missing or cannot be parsed."""
    try:
        contents = ckpt.parse_ckpt(path.read_bytes())
    except (OSError, ckpt.UnsoundError):
        return None
    return Found({}, contents.tensors, contents.info)


def assert_same_life(found: Found, seed: int, monitor: str) -> None:
    """A snapshot is that of the run of the same seed and rates that was never stopped."""
    values, tensors = found.values, found.tensors
    assert all(np.isfinite(value).all() for value in tensors.values()), "not finite"
    steps = values["global_step"]
    assert tensors["steps"].tolist() == list(range(1, steps + 1)), "a step repeated or skipped"
    judged = values["step"] == toy.STEPS and values["evaluated"]
    life = toy.replayed(tensors, seed, monitor, judged=judged)
    for name in ("w", "moments"):
        assert life.tensors[name].tobytes() == tensors[name].tobytes(), name
    assert values["history"] == list(life.history)
    best = (values["best_accuracy"], values["best_loss"], values["best_epoch"])
    assert best == (life.best or (None, None, None))
    assert values["epochs_since_best"] == life.since_best
    assert values["epoch_loss_sum"] == sum(life.losses)


def assert_same_model(found: Found, seed: int, monitor: str) -> toy.Life:
    """A best or final model is that of the never-stopped run at its epoch."""
    judged = len(found.tensors["steps"]) % toy.STEPS == 0  # patience may end a run in mid-epoch
    life = toy.replayed(found.tensors, seed, monitor, judged=judged)
    steps = list(range(1, len(life.tensors["steps"]) + 1))
    assert found.tensors["steps"].tolist() == steps, "a step repeated or skipped"
    assert life.tensors["w"].tobytes() == found.tensors["w"].tobytes()
    accuracy, _, epoch = life.best or (None, None, None)
    assert (found.info.get("best_accuracy"), found.info.get("best_epoch")) == (accuracy, epoch)
    return life


def metrics(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
